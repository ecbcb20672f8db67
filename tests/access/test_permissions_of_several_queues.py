"""Actions that reach more than the queue that they name: the sender needs the rights for all."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from queueserver.rules.move_task_parameters import TaskHandle, parse_task_handle
from tests.access.access_server import AccessServer, StartAccessServer
from tests.access.calls import (
    BY_IDENTITY,
    DENIED_BY_QUEUE,
    OWNER,
    REGION,
    denial,
    document,
    prefixed,
    statement,
    user_arn,
    user_with,
)
from tests.access.declared_users import User, admin
from tests.api.sqs_clients import Sqs, bodies, rejection

ADMIN = admin()
MOVER = User("mover", ["AmazonSQSFullAccess"])
MOVE = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def arn(name: str, region: str = REGION) -> str:
    return f"arn:aws:sqs:{region}:{OWNER}:{name}"


def deny_mover(permission: str) -> str:
    """Return a policy that denies one permission to the mover."""
    return document(statement("Deny", f"sqs:{permission}", {"AWS": user_arn(MOVER)}))


def create_queues(server: AccessServer, policies: dict[str, str]) -> None:
    """Create the dead-letter queue `dead` of `a` and `b`, and the queue `other`."""
    sqs = server.client(ADMIN)
    redrive = json.dumps({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 1})
    for name in ("dead", "a", "b", "other"):
        attributes = {"Policy": policies[name]} if name in policies else {}
        if name in ("a", "b"):
            attributes["RedrivePolicy"] = redrive
        sqs.create_queue(QueueName=name, Attributes=attributes)


def start_slow_task(server: AccessServer) -> str:
    """Start a move task that does not end, and return its handle."""
    sqs = server.client(ADMIN)
    for _ in range(2):
        sqs.send_message(QueueUrl="dead", MessageBody="x")
    started = sqs.start_message_move_task(
        SourceArn=arn("dead"), DestinationArn=arn("other"), MaxNumberOfMessagesPerSecond=1
    )
    handle: str = started["TaskHandle"]
    return handle


def status_of_tasks(server: AccessServer) -> list[str]:
    tasks = server.client(ADMIN).list_message_move_tasks(SourceArn=arn("dead"), MaxResults=10)
    return [task["Status"] for task in tasks["Results"]]


def start_task(sqs: Sqs, **parameters: str) -> Callable[[], object]:
    return lambda: sqs.start_message_move_task(SourceArn=arn("dead"), **parameters)


# Move tasks


@pytest.mark.parametrize("to_destination", [False, True], ids=["sources", "destination"])
@pytest.mark.parametrize("permission", ["StartMessageMoveTask", *MOVE])
def test_start_of_a_move_task_needs_all_permissions_on_the_dead_letter_queue(
    permission: str, to_destination: bool, start: StartAccessServer
) -> None:
    server = start(ADMIN, MOVER)
    create_queues(server, {"dead": deny_mover(permission)})
    parameters = {"DestinationArn": arn("other")} if to_destination else {}
    error = rejection(start_task(server.client(MOVER), **parameters))
    assert error == denial(MOVER, permission, arn("dead"), DENIED_BY_QUEUE)
    assert status_of_tasks(server) == []


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_start_of_a_move_task_needs_send_message_on_the_destination(
    protocol: str, start: StartAccessServer
) -> None:
    server = start(ADMIN, MOVER)
    create_queues(server, {"other": deny_mover("SendMessage")})
    sqs = server.client(MOVER, protocol)
    error = rejection(start_task(sqs, DestinationArn=arn("other")))
    assert error == denial(MOVER, "SendMessage", arn("other"), DENIED_BY_QUEUE)
    assert status_of_tasks(server) == []
    start_task(sqs)()


@pytest.mark.parametrize("source", ["a", "b"])
def test_start_of_a_move_task_needs_send_message_on_each_source(
    source: str, start: StartAccessServer
) -> None:
    server = start(ADMIN, MOVER)
    create_queues(server, {source: deny_mover("SendMessage")})
    sqs = server.client(MOVER)
    error = rejection(start_task(sqs))
    assert error == denial(MOVER, "SendMessage", arn(source), DENIED_BY_QUEUE)
    assert status_of_tasks(server) == []
    start_task(sqs, DestinationArn=arn("other"))()


def test_missing_destination_gets_the_error_of_a_forbidden_one(start: StartAccessServer) -> None:
    mover = user_with("mover", statement("Allow", prefixed(["StartMessageMoveTask", *MOVE])))
    server = start(ADMIN, mover)
    create_queues(server, {})
    for name in ("other", "missing"):
        error = rejection(start_task(server.client(mover), DestinationArn=arn(name)))
        assert error == denial(mover, "SendMessage", arn(name), BY_IDENTITY)


@pytest.mark.parametrize("permission", ["CancelMessageMoveTask", *MOVE])
def test_cancel_of_a_move_task_needs_all_permissions_on_the_dead_letter_queue(
    permission: str, start: StartAccessServer
) -> None:
    server = start(ADMIN, MOVER)
    create_queues(server, {"dead": deny_mover(permission)})
    handle = start_slow_task(server)
    error = rejection(server.client(MOVER).cancel_message_move_task, TaskHandle=handle)
    assert error == denial(MOVER, permission, arn("dead"), DENIED_BY_QUEUE)
    assert status_of_tasks(server) == ["RUNNING"]


def test_handle_that_names_another_queue_does_not_cancel_a_move_task(
    start: StartAccessServer,
) -> None:
    mover = user_with("mover", statement("Allow", "sqs:*", Resource=arn("other")))
    server = start(ADMIN, mover)
    create_queues(server, {})
    task_id = parse_task_handle(start_slow_task(server)).task_id
    forged = TaskHandle(task_id, arn("other")).encode()
    error = rejection(server.client(mover).cancel_message_move_task, TaskHandle=forged)
    assert error.code == "ResourceNotFoundException"
    assert status_of_tasks(server) == ["RUNNING"]


@pytest.mark.parametrize("permission", ["ListMessageMoveTasks", "GetQueueAttributes"])
def test_list_of_move_tasks_needs_both_permissions(
    permission: str, start: StartAccessServer
) -> None:
    server = start(ADMIN, MOVER)
    create_queues(server, {"dead": deny_mover(permission)})
    error = rejection(server.client(MOVER).list_message_move_tasks, SourceArn=arn("dead"))
    assert error == denial(MOVER, permission, arn("dead"), DENIED_BY_QUEUE)


def test_requested_region_of_a_move_task_is_that_of_its_queue(start: StartAccessServer) -> None:
    mover = user_with(
        "mover",
        statement("Allow", "sqs:*", Condition={"StringEquals": {"aws:RequestedRegion": REGION}}),
    )
    server = start(ADMIN, mover)
    elsewhere = arn("dead", "eu-west-1")
    server.client(ADMIN, region="eu-west-1").create_queue(QueueName="dead")
    error = rejection(server.client(mover).list_message_move_tasks, SourceArn=elsewhere)
    assert error == denial(mover, "ListMessageMoveTasks", elsewhere, BY_IDENTITY)


# Redrive policies


REDRIVE = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 1})}


@pytest.mark.parametrize("exists", [True, False], ids=["existing", "missing"])
def test_redrive_policy_needs_send_message_on_the_dead_letter_queue(
    exists: bool, start: StartAccessServer
) -> None:
    owner = user_with("owner", statement("Allow", "sqs:*", Resource=arn("own*")))
    server = start(ADMIN, owner)
    keeper, sqs = server.client(ADMIN), server.client(owner)
    if exists:
        keeper.create_queue(QueueName="dead")
    sqs.create_queue(QueueName="own")
    expected = denial(owner, "SendMessage", arn("dead"), BY_IDENTITY)
    assert rejection(sqs.create_queue, QueueName="own2", Attributes=REDRIVE) == expected
    assert rejection(sqs.set_queue_attributes, QueueUrl="own", Attributes=REDRIVE) == expected
    assert [url.rpartition("/")[2] for url in keeper.list_queues()["QueueUrls"]] == (
        ["dead", "own"] if exists else ["own"]
    )
    attributes = keeper.get_queue_attributes(QueueUrl="own", AttributeNames=["All"])["Attributes"]
    assert "RedrivePolicy" not in attributes


def test_redrive_policy_is_allowed_with_send_message_on_the_dead_letter_queue(
    start: StartAccessServer,
) -> None:
    owner = user_with(
        "owner",
        statement("Allow", "sqs:*", Resource=arn("own*")),
        statement("Allow", "sqs:SendMessage", Resource=arn("dead")),
    )
    server = start(ADMIN, owner)
    server.client(ADMIN).create_queue(QueueName="dead")
    sqs = server.client(owner)
    sqs.create_queue(QueueName="own")
    sqs.create_queue(QueueName="own2", Attributes=REDRIVE)
    sqs.set_queue_attributes(QueueUrl="own", Attributes=REDRIVE)


def test_receive_moves_to_a_dead_letter_queue_without_a_right_of_the_receiver(
    start: StartAccessServer,
) -> None:
    consumer = User("consumer", ["receive:own"])
    server = start(ADMIN, consumer)
    keeper, sqs = server.client(ADMIN), server.client(consumer)
    keeper.create_queue(QueueName="dead")
    keeper.create_queue(QueueName="own", Attributes={**REDRIVE, "VisibilityTimeout": "0"})
    keeper.send_message(QueueUrl="own", MessageBody="x")
    received = [bodies(sqs.receive_message(QueueUrl="own")) for _ in range(2)]
    assert received == [["x"], []]
    assert bodies(keeper.receive_message(QueueUrl="dead")) == ["x"]


# Tags on creation


def test_creation_with_tags_needs_tag_queue(start: StartAccessServer) -> None:
    creator = user_with("creator", statement("Allow", "sqs:CreateQueue"))
    server = start(ADMIN, creator)
    sqs = server.client(creator)
    error = rejection(sqs.create_queue, QueueName="q", tags={"team": "blue"})
    assert error == denial(creator, "TagQueue", arn("q"), BY_IDENTITY)
    assert "QueueUrls" not in server.client(ADMIN).list_queues()
    sqs.create_queue(QueueName="q")
