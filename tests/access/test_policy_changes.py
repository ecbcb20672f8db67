"""Changes of policies, tags and queues: the next request obeys them, on every server."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.access.access_server import AccessServer, StartAccessServer
from tests.access.calls import (
    BY_ACTION,
    OTHER,
    OWNER,
    Target,
    document,
    rejected,
    statement,
    user_arn,
    user_with,
)
from tests.access.declared_users import User, admin
from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Sqs, bodies, rejection

ADMIN = admin()
GUEST = User("guest")
STRANGER = User("stranger", ["AmazonSQSFullAccess"], {"account": OTHER})
DENIED = (403, "AccessDenied")

DIRECT_ACTIONS = (
    "SendMessage",
    "SendMessageBatch",
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
)
OTHER_ACTIONS = ("GetQueueAttributes", "PurgeQueue", "TagQueue")


def for_guest(effect: str) -> str:
    """Return a policy that allows or denies everything to the guest."""
    return document(statement(effect, "sqs:*", {"AWS": user_arn(GUEST)}))


@pytest.fixture(params=[False, True], ids=["both ways", "tasks only"])
def servers(
    request: pytest.FixtureRequest, start: StartAccessServer, postgresql: str
) -> tuple[AccessServer, AccessServer]:
    """Run two servers on one database; the first one answers some requests without a task."""
    users = (ADMIN, GUEST, user_with("blue", BLUE))
    first, second = (start(*users, database=postgresql) for _ in range(2))
    if request.param:
        first.live.answer_with_tasks_only()
    return first, second


BLUE = statement("Allow", "sqs:*", Condition={"StringEquals": {"aws:ResourceTag/team": "blue"}})


def prepared(server: AccessServer, policy: str, name: str = "q") -> Target:
    """Create a queue with a message in flight, and put it into the server's cache."""
    sqs = server.client(ADMIN)
    sqs.create_queue(QueueName=name, Attributes={"Policy": policy, "VisibilityTimeout": "600"})
    sqs.send_message(QueueUrl=name, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=name)["Messages"]
    return Target(server.url, name, message["ReceiptHandle"])


def lines(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    """Return the lines of a level since the last call, without the requests' own IDs."""
    found = [record.message for record in caplog.records if record.levelname == level]
    caplog.clear()
    return [re.sub("request_id=[0-9a-f-]{36}", "request_id=", line) for line in found]


def set_policy(server: AccessServer, policy: str, name: str = "q") -> None:
    attributes = {"Policy": policy}
    server.client(ADMIN).set_queue_attributes(QueueUrl=name, Attributes=attributes)


def test_policy_that_another_server_has_changed_decides_about_the_next_request(
    servers: tuple[AccessServer, AccessServer],
) -> None:
    server, other = servers
    guest = server.client(GUEST)
    for action in (*DIRECT_ACTIONS, *OTHER_ACTIONS):
        call, target = BY_ACTION[action], prepared(server, for_guest("Deny"), action)
        assert rejected(guest, call, target)[:2] == DENIED
        set_policy(other, for_guest("Allow"), action)
        call.make(guest, target)
        set_policy(other, for_guest("Deny"), action)
        assert rejected(guest, call, target)[:2] == DENIED


def test_new_queue_of_a_deleted_name_does_not_inherit_the_policy(
    servers: tuple[AccessServer, AccessServer],
) -> None:
    server, other = servers
    target = prepared(server, for_guest("Allow"))
    guest = server.client(GUEST)
    for delete in (DIRECT_ACTIONS, OTHER_ACTIONS):
        guest.send_message(QueueUrl="q", MessageBody="x")
        other.client(ADMIN).delete_queue(QueueUrl="q")
        other.client(ADMIN).create_queue(QueueName="q")
        for action in delete:
            assert rejected(guest, BY_ACTION[action], target)[:2] == DENIED
        set_policy(other, for_guest("Allow"))


def test_handle_of_a_deleted_queue_deletes_nothing_from_the_new_one(
    servers: tuple[AccessServer, AccessServer],
) -> None:
    server, other = servers
    target = prepared(server, for_guest("Allow"))
    keeper = other.client(ADMIN)
    keeper.delete_queue(QueueUrl="q")
    keeper.create_queue(QueueName="q", Attributes={"Policy": for_guest("Allow")})
    keeper.send_message(QueueUrl="q", MessageBody="new")
    server.client(GUEST).delete_message(QueueUrl="q", ReceiptHandle=target.receipt_handle)
    assert bodies(keeper.receive_message(QueueUrl="q")) == ["new"]


def test_tags_that_another_server_has_changed_decide_about_the_next_request(
    servers: tuple[AccessServer, AccessServer],
) -> None:
    server, other = servers
    prepared(server, for_guest("Deny"))
    blue, keeper = server.client(User("blue")), other.client(ADMIN)
    for _ in range(2):
        assert rejection(blue.send_message, QueueUrl="q", MessageBody="x")[:2] == DENIED
        keeper.tag_queue(QueueUrl="q", Tags={"team": "blue"})
        blue.send_message(QueueUrl="q", MessageBody="x")
        keeper.untag_queue(QueueUrl="q", TagKeys=["team"])


# One server


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_added_permission_counts_until_it_is_removed(
    protocol: str, start: StartAccessServer
) -> None:
    server = start(ADMIN, STRANGER)
    keeper, stranger = server.client(ADMIN, protocol), server.client(STRANGER, protocol)
    url = keeper.create_queue(QueueName="q")["QueueUrl"]
    for _ in range(2):
        assert rejection(stranger.send_message, QueueUrl=url, MessageBody="x")[:2] == DENIED
        keeper.add_permission(
            QueueUrl=url, Label="send", AWSAccountIds=[OTHER], Actions=["SendMessage"]
        )
        stranger.send_message(QueueUrl=url, MessageBody="x")
        assert rejection(stranger.receive_message, QueueUrl=url)[:2] == DENIED
        keeper.remove_permission(QueueUrl=url, Label="send")


@pytest.mark.parametrize("tasks_only", [False, True], ids=["both ways", "tasks only"])
def test_reload_of_users_decides_about_the_next_request_of_an_open_connection(
    tasks_only: bool, start: StartAccessServer
) -> None:
    sender, receiver = User("guest", ["send:q"]), User("guest", ["receive:q"])
    server = start(ADMIN, sender)
    if tasks_only:
        server.live.answer_with_tasks_only()
    server.client(ADMIN).create_queue(QueueName="q")
    guest = server.client(GUEST)
    for _ in range(2):
        guest.send_message(QueueUrl="q", MessageBody="x")
        assert rejection(guest.receive_message, QueueUrl="q")[:2] == DENIED
        server.reload(ADMIN, receiver)
        assert rejection(guest.send_message, QueueUrl="q", MessageBody="x")[:2] == DENIED
        guest.receive_message(QueueUrl="q")
        server.reload(ADMIN)
        unknown_key = (403, "InvalidClientTokenId")
        assert rejection(guest.send_message, QueueUrl="q", MessageBody="x")[:2] == unknown_key
        assert rejection(guest.receive_message, QueueUrl="q")[:2] == unknown_key
        server.reload(ADMIN, sender)


CHANGES: dict[str, Callable[[Sqs], object]] = {
    "policy": lambda sqs: sqs.set_queue_attributes(
        QueueUrl="q", Attributes={"Policy": for_guest("Deny")}
    ),
    "permission": lambda sqs: sqs.remove_permission(QueueUrl="q", Label="all"),
    "queue": lambda sqs: (sqs.delete_queue(QueueUrl="q"), sqs.create_queue(QueueName="q")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_receiver_that_waits_gets_no_message_after_its_right_has_ended(
    change: Callable[[Sqs], object], clock: AlarmCountingClock, start: StartAccessServer
) -> None:
    server = start(ADMIN, GUEST)
    keeper, guest = server.client(ADMIN), server.client(GUEST)
    allowed = statement("Allow", "sqs:*", {"AWS": user_arn(GUEST)}, Sid="all")
    keeper.create_queue(QueueName="q", Attributes={"Policy": document(allowed)})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(rejection, guest.receive_message, QueueUrl="q", WaitTimeSeconds=20)
        clock.wait_for_alarms(20)
        change(keeper)
        keeper.send_message(QueueUrl="q", MessageBody="secret")
        clock.advance(20)
        assert waiting.result()[:2] == DENIED
    assert bodies(keeper.receive_message(QueueUrl="q")) == ["secret"]


def test_receiver_that_waits_is_of_its_user_until_it_ends(
    clock: AlarmCountingClock, start: StartAccessServer
) -> None:
    guest = User("guest", ["receive:q"])
    server = start(ADMIN, guest)
    keeper = server.client(ADMIN)
    keeper.create_queue(QueueName="q")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            server.client(guest).receive_message, QueueUrl="q", WaitTimeSeconds=20
        )
        clock.wait_for_alarms(20)
        server.reload(ADMIN)
        keeper.send_message(QueueUrl="q", MessageBody="x")
        assert bodies(waiting.result()) == ["x"]
    error = rejection(server.client(guest).receive_message, QueueUrl="q")
    assert error[:2] == (403, "InvalidClientTokenId")


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_handle_is_a_right_at_its_own_queue_alone(protocol: str, start: StartAccessServer) -> None:
    only_b = statement("Allow", "sqs:*", Resource=f"arn:aws:sqs:*:{OWNER}:b")
    guest = user_with("guest", only_b)
    server = start(ADMIN, guest)
    keeper, sqs = server.client(ADMIN), server.client(guest, protocol)
    for name in ("a", "b"):
        keeper.create_queue(QueueName=name)
        keeper.send_message(QueueUrl=name, MessageBody=name)
    (message,) = keeper.receive_message(QueueUrl="a")["Messages"]
    for name in ("a", "b"):
        target = Target(server.url, name, message["ReceiptHandle"])
        expected = DENIED if name == "a" else (404, "ReceiptHandleIsInvalid")
        for action in ("DeleteMessage", "ChangeMessageVisibility"):
            assert rejected(sqs, BY_ACTION[action], target)[:2] == expected
    for action in ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        answer = BY_ACTION[action].make(sqs, target)
        assert [failed["Code"] for failed in answer["Failed"]] == ["ReceiptHandleIsInvalid"]
    keeper.change_message_visibility(
        QueueUrl="a", ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    for name in ("a", "b"):
        assert bodies(keeper.receive_message(QueueUrl=name)) == [name]


# Mistakes in policies


MISSPELLED = "statement 1: Condition: 'aws:SourceIpp' is not a condition key"
TEXT = "Invalid value for the parameter Policy."


@pytest.mark.parametrize("access", ["on", "off"])
def test_log_says_why_a_policy_is_rejected(
    access: str, start: StartAccessServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = start(ADMIN, access=access)
    sqs = server.client(ADMIN)
    sqs.create_queue(QueueName="q")
    condition = {"IpAddress": {"aws:SourceIpp": "10.0.0.0/8"}}
    attributes = {"Policy": document(statement("Allow", "sqs:*", "*", Condition=condition))}
    arn = f"arn:aws:sqs:us-east-1:{OWNER}:"
    for call, arguments, queue in (
        (sqs.set_queue_attributes, {"QueueUrl": "q"}, f"{arn}q"),
        (sqs.create_queue, {"QueueName": "new"}, f"{arn}new"),
        (sqs.create_queue, {"QueueName": "a b\n"}, f"{arn}a%20b%0A"),
    ):
        lines(caplog, "INFO")
        error = rejection(call, **arguments, Attributes=attributes)
        assert error == (400, "InvalidAttributeValue", TEXT)
        (line,) = lines(caplog, "INFO")
        assert line == (
            "request rejected, answering InvalidAttributeValue (400): request_id= "
            f"queue={queue} reason={MISSPELLED}"
        )


def test_allow_of_an_action_that_sqs_does_not_have_is_a_warning(
    start: StartAccessServer, caplog: pytest.LogCaptureFixture
) -> None:
    sqs = start(ADMIN).client(ADMIN)
    policy = {"Policy": document(statement("Allow", ["sqs:SendMesage", "sqs:GetQueueUrl"], "*"))}
    warning = "statement 1: 'sqs:SendMesage' is not an action of SQS"
    sqs.create_queue(QueueName="q", Attributes=policy)
    sqs.set_queue_attributes(QueueUrl="q", Attributes=policy)
    line = f"new policy of a queue: queue=arn:aws:sqs:us-east-1:{OWNER}:q warning={warning}"
    assert lines(caplog, "WARNING") == [line] * 2
