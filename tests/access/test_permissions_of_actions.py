"""The permissions of the 23 actions: which user may call what, by whose policies.

Every rule is tested on a real server, in both protocols, and for requests that are answered with
and without a task.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.access.access_server import AccessServer, access_server
from tests.access.calls import (
    BY_ACTION,
    BY_IDENTITY,
    BY_QUEUE,
    CALLS,
    DENIED_BY_IDENTITY,
    DENIED_BY_QUEUE,
    NO_ACCESS_TO_URL,
    NOT_SHAREABLE,
    OTHER,
    OWNER,
    REGION,
    SHAREABLE,
    Call,
    Statement,
    Target,
    denial,
    document,
    prefixed,
    rejected,
    statement,
    user_arn,
    user_with,
)
from tests.access.declared_users import User, admin
from tests.api.sqs_clients import Clients, Rejection, Sqs
from tests.clock import ManualClock

KEEPER = admin("keeper")
"""The administrator who makes the queues; no policy names this user."""

NEWCOMER = User("newcomer")
ADMIN = admin("admin")
STRANGER = User("stranger", ["AmazonSQSFullAccess"], {"account": OTHER})
POOR_STRANGER = User("poor-stranger", settings={"account": OTHER})
TOPICS = User("topics", ["AmazonSQSFullAccess"], {"service": "sns.amazonaws.com"})

ONLY = {
    call.action: user_with(f"only-{call.action}", statement("Allow", prefixed(call.permissions)))
    for call in CALLS
}
"""Users who have exactly the permissions of one action."""

ADMIN_WITHOUT = {
    call.permission: user_with(
        f"admin-without-{call.permission}",
        statement("Deny", f"sqs:{call.permission}"),
        admin=True,
    )
    for call in CALLS
}
"""Administrators with a policy that denies one permission."""

USERS = [KEEPER, NEWCOMER, ADMIN, STRANGER, POOR_STRANGER, TOPICS]

OPEN = [statement("Allow", "sqs:*", "*")]
"""The statements of a queue that is open to all."""


GIVEN = {
    "Sid": "given",
    **statement("Allow", "sqs:GetQueueUrl", {"AWS": "arn:aws:iam::999999999999:root"}),
}
"""A statement about newcomer, which RemovePermission can remove."""


class Rights(NamedTuple):
    """A server, and the protocol in which tests call it."""

    server: AccessServer
    protocol: str

    def client(self, user: User | None) -> Sqs:
        """Return the client of a user, or the anonymous one."""
        if user is None:
            return self.server.anonymous(self.protocol)
        return self.server.client(user, self.protocol)

    @property
    def keeper(self) -> Sqs:
        return self.server.client(KEEPER)

    def missing(self) -> Target:
        """Return a queue that does not exist."""
        return Target(self.server.url, f"q-{uuid.uuid4().hex}")

    def create(self, *statements: Statement) -> Target:
        """Create a queue with these statements in its policy. The server's cache has it then."""
        target = self.missing()
        policy = document(GIVEN, *statements)
        self.keeper.create_queue(QueueName=target.name, Attributes={"Policy": policy})
        self.keeper.receive_message(QueueUrl=target.url)
        return target

    def create_for(self, call: Call, *statements: Statement) -> Target:
        """Create a queue on which a call succeeds if it is allowed."""
        target = self.create(*statements)
        if "MoveTask" in call.action:
            return self._add_source(target, has_task=call.action.startswith("Cancel"))
        if call.permission in ("DeleteMessage", "ChangeMessageVisibility"):
            self.keeper.send_message(QueueUrl=target.url, MessageBody="x")
            (message,) = self.keeper.receive_message(QueueUrl=target.url)["Messages"]
            return target._replace(receipt_handle=message["ReceiptHandle"])
        return target

    def _add_source(self, target: Target, *, has_task: bool) -> Target:
        redrive = json.dumps({"deadLetterTargetArn": target.arn, "maxReceiveCount": 1})
        attributes = {"RedrivePolicy": redrive}
        self.keeper.create_queue(QueueName=target.source_name, Attributes=attributes)
        if not has_task:
            return target
        # At one message per second of a clock that stands still, the task does not end.
        for _ in range(2):
            self.keeper.send_message(QueueUrl=target.url, MessageBody="x")
        started = self.keeper.start_message_move_task(
            SourceArn=target.arn,
            DestinationArn=target.source_arn,
            MaxNumberOfMessagesPerSecond=1,
        )
        return target._replace(task_handle=started["TaskHandle"])


@pytest.fixture(
    scope="module",
    params=[("json", False), ("query", False), ("json", True)],
    ids=["JSON", "Query", "JSON with tasks only"],
)
def rights(
    request: pytest.FixtureRequest, clients: Clients, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rights]:
    """Run a server with all users."""
    protocol, with_tasks_only = request.param
    directory = tmp_path_factory.mktemp("access")
    users = [*USERS, *ONLY.values(), *ADMIN_WITHOUT.values()]
    with access_server(directory, clients, ManualClock(), *users) as server:
        if with_tasks_only:
            server.live.answer_with_tasks_only()
        yield Rights(server, protocol)


@pytest.fixture(scope="module")
def closed(rights: Rights) -> Target:
    """Return a queue whose policy allows nothing to the users of these tests."""
    return rights.create()


@pytest.fixture(scope="module")
def opened(rights: Rights) -> Target:
    """Return a queue whose policy allows everything to all senders."""
    return rights.create(*OPEN)


def each(calls: list[Call]) -> pytest.MarkDecorator:
    """Run a test for each of the calls."""
    return pytest.mark.parametrize("call", calls, ids=[call.action for call in calls])


def arn_of(call: Call, target: Target, account: str = OWNER) -> str:
    """Return the ARN that a denial of a call names."""
    if call.action == "ListQueues":
        return f"arn:aws:sqs:{REGION}:{account}:*"
    return target.arn


# Users of the account


@each(CALLS)
def test_user_without_rights_gets_one_error_whether_the_queue_exists_or_not(
    call: Call, rights: Rights, closed: Target
) -> None:
    sqs, missing = rights.client(NEWCOMER), rights.missing()
    for target in (closed, missing):
        expected = denial(NEWCOMER, call.permission, arn_of(call, target), BY_IDENTITY)
        assert rejected(sqs, call, target) == expected


@each(CALLS)
def test_permissions_of_the_action_suffice(call: Call, rights: Rights) -> None:
    call.make(rights.client(ONLY[call.action]), rights.create_for(call))


@each(CALLS)
def test_deny_in_the_policy_of_an_admin_wins(call: Call, rights: Rights, opened: Target) -> None:
    user = ADMIN_WITHOUT[call.permission]
    for target in (opened, rights.missing()):
        expected = denial(user, call.permission, arn_of(call, target), DENIED_BY_IDENTITY)
        assert rejected(rights.client(user), call, target) == expected


@each([call for call in CALLS if call.action != "ListQueues"])
def test_deny_in_the_policy_of_the_queue_wins_against_an_admin(call: Call, rights: Rights) -> None:
    denied = statement("Deny", f"sqs:{call.permission}", {"AWS": user_arn(ADMIN)})
    target = rights.create(*OPEN, denied)
    expected = denial(ADMIN, call.permission, target.arn, DENIED_BY_QUEUE)
    assert rejected(rights.client(ADMIN), call, target) == expected


@each([call for call in CALLS if call.action not in ("ListQueues", "StartMessageMoveTask")])
def test_policy_of_the_queue_suffices_for_a_user_that_it_names(call: Call, rights: Rights) -> None:
    allowed = statement("Allow", prefixed(call.permissions), {"AWS": user_arn(NEWCOMER)})
    call.make(rights.client(NEWCOMER), rights.create_for(call, allowed))


@each([call for call in CALLS if call.action != "ListQueues"])
def test_policy_that_names_the_account_of_the_queue_gives_its_users_nothing(
    call: Call, rights: Rights
) -> None:
    principals = {"AWS": [f"arn:aws:iam::{OWNER}:root", OWNER]}
    target = rights.create(statement("Allow", "sqs:*", principals))
    expected = denial(NEWCOMER, call.permission, target.arn, BY_IDENTITY)
    assert rejected(rights.client(NEWCOMER), call, target) == expected


# Users of another account


@each([call for call in CALLS if not call.has_account_of_caller])
def test_user_of_another_account_needs_the_policy_of_the_queue(
    call: Call, rights: Rights, closed: Target
) -> None:
    sqs = rights.client(STRANGER)
    for target in (closed, rights.missing()):
        expected = denial(STRANGER, call.permission, target.arn, BY_QUEUE, OTHER)
        if call.action == "GetQueueUrl":
            expected = NO_ACCESS_TO_URL
        assert rejected(sqs, call, target) == expected


@each([call for call in CALLS if not call.has_account_of_caller])
def test_user_of_another_account_needs_a_policy_of_its_own(
    call: Call, rights: Rights, opened: Target
) -> None:
    sqs = rights.client(POOR_STRANGER)
    for target in (opened, rights.missing()):
        expected = denial(POOR_STRANGER, call.permission, target.arn, BY_IDENTITY, OTHER)
        if call.action == "GetQueueUrl":
            expected = NO_ACCESS_TO_URL
        assert rejected(sqs, call, target) == expected


@pytest.mark.parametrize(
    "principal",
    ["*", {"AWS": OTHER}, {"AWS": user_arn(STRANGER, OTHER)}],
    ids=["all", "account", "user"],
)
@each(SHAREABLE)
def test_both_policies_together_allow_a_user_of_another_account(
    call: Call, principal: object, rights: Rights
) -> None:
    target = rights.create_for(call, statement("Allow", f"sqs:{call.permission}", principal))
    call.make(rights.client(STRANGER), target)


@each([call for call in NOT_SHAREABLE if not call.has_account_of_caller])
def test_policy_of_a_queue_cannot_share_the_actions_of_its_owner(
    call: Call, rights: Rights, opened: Target
) -> None:
    expected = denial(STRANGER, call.permission, opened.arn, BY_QUEUE, OTHER)
    assert rejected(rights.client(STRANGER), call, opened) == expected


def test_actions_without_an_account_are_about_the_account_of_the_key(rights: Rights) -> None:
    target = rights.create(*OPEN)
    sqs = rights.client(STRANGER)
    assert sqs.create_queue(QueueName=target.name)["QueueUrl"].endswith(f"/{OTHER}/{target.name}")
    listed = sqs.list_queues(QueueNamePrefix=target.name)["QueueUrls"]
    assert [url.rpartition("/")[0].rpartition("/")[2] for url in listed] == [OTHER]


# Services and anonymous senders


def denied_without_user(user: User | None, call: Call, target: Target) -> Rejection:
    """Return the rejection of a service user or of an anonymous sender."""
    if user is not None:
        arn = arn_of(call, target)
        return denial(user, call.permission, arn, BY_QUEUE)
    url = f"{target.base_url}/" if call.action == "ListQueues" else target.url
    return Rejection(403, "AccessDenied", f"Access to the resource {url} is denied.")


SENDERS = pytest.mark.parametrize("user", [None, TOPICS], ids=["anonymous", "service"])


@SENDERS
@each(CALLS)
def test_sender_who_is_no_user_needs_the_policy_of_the_queue(
    call: Call, user: User | None, rights: Rights, closed: Target
) -> None:
    for target in (closed, rights.missing()):
        expected = denied_without_user(user, call, target)
        assert rejected(rights.client(user), call, target) == expected


@SENDERS
@each(SHAREABLE)
def test_policy_of_a_queue_can_allow_an_action_to_all_senders(
    call: Call, user: User | None, rights: Rights
) -> None:
    target = rights.create_for(call, statement("Allow", f"sqs:{call.permission}", "*"))
    call.make(rights.client(user), target)


@SENDERS
@each(NOT_SHAREABLE)
def test_open_queue_shares_no_action_of_its_owner(
    call: Call, user: User | None, rights: Rights, opened: Target
) -> None:
    expected = denied_without_user(user, call, opened)
    assert rejected(rights.client(user), call, opened) == expected


# Names of batches in policies


@pytest.mark.parametrize("action", ["SendMessage", "DeleteMessage", "ChangeMessageVisibility"])
def test_deny_of_a_batch_action_has_no_effect_and_is_a_warning(
    action: str, rights: Rights, caplog: pytest.LogCaptureFixture
) -> None:
    target = rights.create(statement("Deny", f"sqs:{action}Batch", "*"))
    (warning,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert warning == (
        f"new policy of a queue: queue={target.arn} warning=statement 2: 'sqs:{action}Batch' has "
        f"no effect: batches are checked as sqs:{action}"
    )
    BY_ACTION[f"{action}Batch"].make(rights.client(ADMIN), target)


@pytest.mark.parametrize("spelling", ["SQS:SENDMESSAGE", "sqs:sendmessage", "sqs:Send*", "*"])
def test_letter_case_of_an_action_does_not_matter(spelling: str, rights: Rights) -> None:
    target = rights.create(statement("Deny", spelling, {"AWS": user_arn(ADMIN)}))
    for action in ("SendMessage", "SendMessageBatch"):
        expected = denial(ADMIN, "SendMessage", target.arn, DENIED_BY_QUEUE)
        assert rejected(rights.client(ADMIN), BY_ACTION[action], target) == expected


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize("action", ["sqs:\u017fendMessage", "sq\u017f:SendMessage"])
def test_policy_with_letters_that_only_look_like_an_action_is_rejected(
    effect: str, action: str, rights: Rights, closed: Target
) -> None:
    call = BY_ACTION["SetQueueAttributes"]._replace(
        make=lambda sqs, on: sqs.set_queue_attributes(
            QueueUrl=on.url, Attributes={"Policy": document(statement(effect, action, "*"))}
        )
    )
    error = rejected(rights.client(KEEPER), call, closed)
    assert error[:2] == (400, "InvalidAttributeValue")
