"""Move tasks without a destination: the sender needs the rights for each queue they move to."""

from __future__ import annotations

import pytest

from tests.access.access_server import AccessServer, StartAccessServer
from tests.access.declared_users import User, admin
from tests.api.dead_letters import arn_of, create, redrive
from tests.api.sqs_clients import Sqs, bodies, receive, rejection
from tests.waiting import wait_until

ADMIN = admin()
MOVER = User("mover", ["admin:dead", "send:open"])


@pytest.fixture
def server(start: StartAccessServer) -> AccessServer:
    """Start a server where the mover may send to one of two queues with dead letters."""
    server = start(ADMIN, MOVER)
    sqs = server.client(ADMIN)
    dead = create(sqs, "dead")
    for name in ("open", "closed"):
        create(sqs, name, redrive(dead))
    return server


def dead_letter(sqs: Sqs, source: str) -> None:
    sqs.send_message(QueueUrl=source, MessageBody=source)
    for _ in range(2):
        receive(sqs, source, VisibilityTimeout=0)


def start_of_task(server: AccessServer) -> tuple[int, str]:
    mover = server.client(MOVER)
    source = arn_of(f"{server.url}/000000000000/dead")
    return rejection(mover.start_message_move_task, SourceArn=source)[:2]


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        pytest.param("set_queue_attributes", {"Attributes": {"RedrivePolicy": ""}}, id="detached"),
        pytest.param("delete_queue", {}, id="deleted"),
    ],
)
def test_messages_do_not_move_to_a_queue_that_had_the_dead_letter_queue(
    server: AccessServer, call: str, parameters: dict[str, object]
) -> None:
    sqs = server.client(ADMIN)
    dead_letter(sqs, "closed")
    getattr(sqs, call)(QueueUrl="closed", **parameters)
    assert start_of_task(server) == (403, "AccessDenied")


def test_messages_move_to_queues_that_the_sender_may_send_to(server: AccessServer) -> None:
    sqs = server.client(ADMIN)
    sqs.set_queue_attributes(QueueUrl="closed", Attributes={"RedrivePolicy": ""})
    dead_letter(sqs, "open")
    sqs.send_message(QueueUrl="dead", MessageBody="without an origin", DelaySeconds=900)
    source = arn_of(f"{server.url}/000000000000/dead")
    server.client(MOVER).start_message_move_task(SourceArn=source)
    wait_until(
        lambda: bodies(sqs.receive_message(QueueUrl="open")) == ["open"],
        "the message does not move",
    )
