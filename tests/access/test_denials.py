"""Denials: what the log says of them, mode `log`, and policies or databases that cannot be read."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest

from tests.access.access_server import AccessServer, StartAccessServer, access_server
from tests.access.calls import (
    BY_ACTION,
    CALLS,
    DENIED_BY_QUEUE,
    OTHER,
    OWNER,
    Statement,
    Target,
    denial,
    document,
    rejected,
    statement,
    user_arn,
    user_with,
)
from tests.access.declared_users import KeyPair, User, admin, key_pair
from tests.api.sqs_clients import Clients, Sqs, rejection
from tests.clock import ManualClock
from tests.databases import execute

ADMIN = admin()
NEWCOMER = User("newcomer")
FULL = User("full", ["AmazonSQSFullAccess"])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the log since the last call."""
    lines = [record.message for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return lines


def create(server: AccessServer, *statements: Statement, name: str = "q") -> Target:
    """Create a queue, and put it into the server's cache."""
    attributes = {"Policy": document(*statements)} if statements else {}
    sqs = server.client(ADMIN)
    sqs.create_queue(QueueName=name, Attributes=attributes)
    sqs.receive_message(QueueUrl=name)
    return Target(server.url, name)


# Log lines


def test_log_names_user_action_queue_policy_statement_and_request(
    start: StartAccessServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(ADMIN, NEWCOMER, user_with("barred", {"Sid": "stop", **statement("Deny", "*")}))
    barred = statement("Deny", "sqs:SendMessage", {"AWS": user_arn(ADMIN)}, Sid="no-admins")
    target = create(server, barred)
    in_user, in_queue = "an identity-based policy", "a resource-based policy"
    cases: list[tuple[User | None, str, str, str]] = [
        (ADMIN, "queue", "no-admins", f"explicit deny in {in_queue}"),
        (NEWCOMER, "none", "none", "no identity-based policy allows the action"),
        (User("barred"), "policy_documents[0]", "stop", f"explicit deny in {in_user}"),
        (None, "none", "none", "no resource-based policy allows the action"),
    ]
    for user, policy, sid, reason in cases:
        caplog.clear()
        sqs = server.anonymous() if user is None else server.client(user)
        with pytest.raises(sqs.exceptions.ClientError) as caught:
            sqs.send_message_batch(QueueUrl="q", Entries=[{"Id": "1", "MessageBody": "x"}])
        request_id = caught.value.response["ResponseMetadata"]["RequestId"]
        arn = "anonymous" if user is None else user_arn(user)
        key = "none" if user is None else user.key_pairs[0].access_key_id
        (line,) = warnings(caplog)
        assert line == (
            f"access denied, answering AccessDenied (403): request_id={request_id} user={arn} "
            f"access_key_id={key} action=sqs:SendMessage queue={target.arn} client=127.0.0.1 "
            f"policy={policy} statement={sid} reason={reason}"
        )


def test_log_names_the_allow_whose_condition_is_not_met(
    start: StartAccessServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(ADMIN, NEWCOMER)
    over_tls = {"Bool": {"aws:SecureTransport": "true"}}
    allowed = statement("Allow", "sqs:SendMessage", "*", Sid="tls", Condition=over_tls)
    target = create(server, statement("Allow", "sqs:GetQueueUrl", "*"), allowed)
    for sqs, side in ((server.client(NEWCOMER), "identity"), (server.anonymous(), "resource")):
        caplog.clear()
        error = rejected(sqs, BY_ACTION["SendMessage"], target)
        (line,) = warnings(caplog)
        assert line.endswith(
            " policy=none statement=none unmet_policy=queue unmet_statement=tls "
            f"unmet_condition=Bool/aws:SecureTransport reason=no {side}-based policy allows the "
            "action"
        )
        assert "SecureTransport" not in error.message


def test_hidden_queue_of_another_account_is_in_the_log(
    start: StartAccessServer, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = User("stranger", ["AmazonSQSFullAccess"], {"account": OTHER})
    server = start(ADMIN, stranger)
    target = create(server)
    caplog.clear()
    rejected(server.client(stranger), BY_ACTION["GetQueueUrl"], target)
    (line,) = warnings(caplog)
    assert f"action=sqs:GetQueueUrl queue={target.arn} " in line
    assert "reason=no resource-based policy allows the action" in line


# Mode log


FAILING = {
    "CancelMessageMoveTask": "ResourceNotFoundException",
    "ChangeMessageVisibility": "ReceiptHandleIsInvalid",
    "DeleteMessage": "ReceiptHandleIsInvalid",
    "RemovePermission": "InvalidParameterValue",
    "StartMessageMoveTask": "InvalidParameterValue",
}
"""Actions that fail on the queue of the test, after their permissions are checked."""


def test_mode_log_allows_each_action_and_logs_each_missing_permission_once(
    start: StartAccessServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(ADMIN, NEWCOMER, access="log")
    sqs = server.client(NEWCOMER)
    for call in CALLS:
        target = create(server, name=call.action)
        caplog.clear()
        if call.action in FAILING:
            assert rejected(sqs, call, target).code == FAILING[call.action]
        else:
            call.make(sqs, target)
        found = [line.partition(" action=")[2].partition(" ")[0] for line in warnings(caplog)]
        expected = [f"sqs:{permission}" for permission in call.permissions]
        if call.action == "StartMessageMoveTask":
            expected.remove("sqs:SendMessage")  # the queue has no source
        assert found == expected


SENDS = {
    "request that breaks a rule": {"MessageBody": "x", "DelaySeconds": 901},
    "request that succeeds": {"MessageBody": "x"},
}


@pytest.mark.parametrize("sent", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize(
    ("pair", "line"),
    [
        pytest.param(NEWCOMER.key_pairs[0], "access would be denied", id="no rights"),
        pytest.param(key_pair("unknown"), "request would be denied", id="unknown key"),
        pytest.param(None, "access would be denied", id="anonymous"),
    ],
)
def test_mode_log_logs_a_request_once(
    sent: dict[str, object],
    pair: KeyPair | None,
    line: str,
    start: StartAccessServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start(ADMIN, NEWCOMER, access="log")
    create(server)
    sqs = server.anonymous() if pair is None else server.client_with(pair)
    for _ in range(2):
        caplog.clear()
        with contextlib.suppress(sqs.exceptions.ClientError):
            sqs.send_message(QueueUrl="q", **sent)
        (logged,) = warnings(caplog)
        assert logged.startswith(line)
    received = server.client(ADMIN).receive_message(QueueUrl="q", MaxNumberOfMessages=10)
    assert len(received.get("Messages", [])) == (0 if "DelaySeconds" in sent else 2)


# Policies that cannot be read


DAMAGED = {
    "not JSON": "{",
    "no policy": "[]",
    "no statement": "{}",
    "statement that is a number": '{"Statement": 7}',
    "statements that are numbers": '{"Statement": [7]}',
    "unknown operator": document(
        statement("Allow", "sqs:*", "*", Condition={"StringEqualz": {"aws:username": "a"}})
    ),
    "unknown element": document({**statement("Allow", "sqs:*", "*"), "Resources": "*"}),
}
"""Texts that a database may contain, but that no client can set."""


StartDamaged: TypeAlias = Callable[..., AccessServer]
"""Starts a server with the given users, on a database whose queue `q` has the given policy."""


@pytest.fixture
def start_damaged(
    start: StartAccessServer, clients: Clients, clock: ManualClock, tmp_path: Path
) -> StartDamaged:
    def start_on(policy: str, *users: User) -> AccessServer:
        with access_server(tmp_path, clients, clock, ADMIN) as server:
            create(server)
        connection = sqlite3.connect(tmp_path / "queueserver.db")
        with contextlib.closing(connection), connection:
            attributes = json.dumps({"Policy": policy})
            connection.execute("UPDATE queues SET attributes = ?", [attributes])
        return start(ADMIN, *users)

    return start_on


@pytest.mark.parametrize("policy", DAMAGED.values(), ids=DAMAGED)
def test_queue_whose_policy_cannot_be_read_is_closed_to_all_but_admins(
    policy: str, start_damaged: StartDamaged, caplog: pytest.LogCaptureFixture
) -> None:
    foreign_admin = User("foreign", settings={"account": OTHER, "admin": True})
    server = start_damaged(policy, FULL, foreign_admin)
    target = Target(server.url, "q")
    for user, account in ((FULL, OWNER), (foreign_admin, OTHER)):
        for action in ("SendMessage", "ReceiveMessage", "GetQueueAttributes", "ListQueueTags"):
            expected = denial(user, action, target.arn, DENIED_BY_QUEUE, account)
            assert rejected(server.client(user), BY_ACTION[action], target) == expected
    anonymous = rejected(server.anonymous(), BY_ACTION["SendMessage"], target)
    assert anonymous[:2] == (403, "AccessDenied")
    assert "the resource-based policy cannot be read" in warnings(caplog)[-1]
    server.client(ADMIN).send_message(QueueUrl=target.url, MessageBody="x")


REPAIRS: dict[str, Callable[[Sqs], object]] = {
    "remove the policy": lambda sqs: sqs.set_queue_attributes(
        QueueUrl="q", Attributes={"Policy": ""}
    ),
    "replace the policy": lambda sqs: sqs.set_queue_attributes(
        QueueUrl="q", Attributes={"Policy": document(statement("Allow", "sqs:*", "*"))}
    ),
}


@pytest.mark.parametrize("repair", REPAIRS.values(), ids=REPAIRS)
def test_admin_repairs_a_policy_that_cannot_be_read(
    repair: Callable[[Sqs], object], start_damaged: StartDamaged
) -> None:
    server = start_damaged("{", FULL)
    assert rejection(server.client(FULL).receive_message, QueueUrl="q").code == "AccessDenied"
    repair(server.client(ADMIN))
    server.client(FULL).receive_message(QueueUrl="q")


@pytest.mark.parametrize("policy", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("action", ["AddPermission", "RemovePermission"])
def test_permissions_of_a_policy_that_cannot_be_read_cannot_be_changed(
    policy: str, action: str, start_damaged: StartDamaged, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "queueserver.http.errors")
    server = start_damaged(policy)
    error = rejected(server.client(ADMIN), BY_ACTION[action], Target(server.url, "q"))
    assert error[:2] == (400, "InvalidAttributeValue")
    (line,) = (text for text in caplog.messages if text.startswith("request rejected"))
    arn = f"arn:aws:sqs:us-east-1:{OWNER}:q"
    assert f" queue={arn} reason=the stored policy cannot be read: " in line


# Databases that fail


@contextlib.contextmanager
def without_connections(postgres_url: str, database: str) -> Iterator[None]:
    """End all connections to a database, and allow no new ones meanwhile."""
    name = urlsplit(database).path.removeprefix("/")
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", end)
    try:
        yield
    finally:
        execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("tasks_only", [False, True], ids=["both ways", "tasks only"])
def test_database_that_fails_is_no_denial(
    tasks_only: bool, start: StartAccessServer, postgres_url: str, postgresql: str
) -> None:
    server = start(ADMIN, NEWCOMER, database=postgresql)
    if tasks_only:
        server.live.answer_with_tasks_only()
    cached = create(server)
    server.client(ADMIN).create_queue(QueueName="uncached")
    targets = [cached, cached._replace(name="uncached"), cached._replace(name="missing")]
    with without_connections(postgres_url, postgresql):
        for call in (BY_ACTION["SendMessage"], BY_ACTION["GetQueueUrl"], BY_ACTION["TagQueue"]):
            for target in targets:
                for sqs in (server.client(NEWCOMER), server.client(ADMIN), server.anonymous()):
                    error = rejected(sqs, call, target)
                    assert error[:2] == (503, "ServiceUnavailable")


# Senders of messages


def test_sender_id_is_the_unique_id_of_the_user_or_the_address(start: StartAccessServer) -> None:
    server = start(ADMIN, FULL)
    create(server, statement("Allow", "sqs:SendMessage", "*"))
    for sqs in (server.client(FULL), server.client(FULL, "query"), server.anonymous()):
        sqs.send_message(QueueUrl="q", MessageBody="x")
    messages = server.client(ADMIN).receive_message(
        QueueUrl="q", MaxNumberOfMessages=10, AttributeNames=["SenderId"]
    )["Messages"]
    json_sender, query_sender, address = (each["Attributes"]["SenderId"] for each in messages)
    assert json_sender == query_sender
    assert re.fullmatch("AIDA[A-Z2-7]{17}", json_sender)
    assert address == "127.0.0.1"


@pytest.mark.parametrize("access", ["log", "on"])
def test_trace_header_of_a_signed_message_is_received(
    access: str, start: StartAccessServer
) -> None:
    server = start(ADMIN, access=access)
    create(server)
    sqs = server.client(ADMIN)
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    sqs.send_message(
        QueueUrl="q",
        MessageBody="x",
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}},
    )
    (message,) = sqs.receive_message(QueueUrl="q", AttributeNames=["All"])["Messages"]
    assert message["Attributes"]["AWSTraceHeader"] == trace
