"""Random users, policies and calls: the server decides as a naive evaluator does.

The policies have no conditions, and no wildcards but `*`, so that the evaluator is a few lines.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from protocol import actions
from protocol.errors import AccessDenied, QueueDoesNotExist, SQSError
from protocol.names import queue_arn, queue_url
from queueserver.access.authorizer import Authorizer
from queueserver.access.modes import AccessMode
from queueserver.access.users import User, user_principal
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.clock import real_seconds
from queueserver.context import RequestContext
from queueserver.policies.documents import PolicyKind
from queueserver.policies.policy import compile_policy
from storage.database import Database
from tests.access.calls import NO_ACCESS_TO_URL, OTHER, OWNER, REGION, Statement, document
from tests.api.in_process_server import InProcessServer
from tests.clock import ManualClock

QUEUES = ("a", "b", "missing")
NAMES = ("a", "b")
SHARED = {
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
}
ROUNDS, CALLS_PER_ROUND = 12, 40
ON = Authorizer(AccessMode.ON, real_seconds)
SERVER_ITSELF = RequestContext(OWNER, REGION, "", obeys_policies=False)


@dataclass(frozen=True)
class Caller:
    """A sender of requests: a user, a service user, or an anonymous sender (without a name)."""

    name: str
    account: str = OWNER
    is_admin: bool = False
    service: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/{self.name}" if self.name else ""

    @property
    def is_user(self) -> bool:
        return bool(self.name) and not self.service


CALLERS = [
    Caller("alice"),
    Caller("bob"),
    Caller("admin", is_admin=True),
    Caller("carol", OTHER),
    Caller("dora", OTHER, is_admin=True),
    Caller("topics", service="sns.amazonaws.com"),
    Caller(""),
]


def requests_for(name: str) -> list[tuple[str, msgspec.Struct]]:
    """Return requests about a queue that change no right, each with its permission."""
    url = queue_url("", OWNER, name)
    entry = actions.SendMessageBatchRequestEntry("1", "x")
    return [
        ("SendMessage", actions.SendMessage(url, "x")),
        ("SendMessage", actions.SendMessageBatch(url, [entry])),
        ("ReceiveMessage", actions.ReceiveMessage(url)),
        ("DeleteMessage", actions.DeleteMessage(url, "handle")),
        ("ChangeMessageVisibility", actions.ChangeMessageVisibility(url, "handle", 1)),
        ("GetQueueUrl", actions.GetQueueUrl(name, OWNER)),
        ("GetQueueAttributes", actions.GetQueueAttributes(url)),
        ("SetQueueAttributes", actions.SetQueueAttributes(url, {"DelaySeconds": "0"})),
        ("ListDeadLetterSourceQueues", actions.ListDeadLetterSourceQueues(url)),
        ("ListQueueTags", actions.ListQueueTags(url)),
        ("TagQueue", actions.TagQueue(url, {"a": "b"})),
        ("UntagQueue", actions.UntagQueue(url, ["a"])),
        ("PurgeQueue", actions.PurgeQueue(url)),
        ("RemovePermission", actions.RemovePermission(url, "none")),
    ]


@dataclass(frozen=True)
class Policies:
    """The statements of each caller and of each queue."""

    of_callers: Mapping[str, Sequence[Statement]]
    of_queues: Mapping[str, Sequence[Statement]]


@dataclass
class Generator:
    """Makes policies and calls from a seed."""

    choice: random.Random
    principals: Sequence[object] = field(
        default=(
            "*",
            {"AWS": [OWNER]},
            {"AWS": f"arn:aws:iam::{OTHER}:root"},
            {"Service": "sns.amazonaws.com"},
            *({"AWS": [caller.arn]} for caller in CALLERS if caller.is_user),
        )
    )

    def statement(self, *, of_queue: bool, effect: str | None = None) -> Statement:
        permissions = [permission for permission, _ in requests_for("a")]
        some = [f"sqs:{name}" for name in self.choice.sample(permissions, 3)]
        made: Statement = {
            "Effect": effect or self.choice.choice(("Allow", "Allow", "Allow", "Deny")),
            "Action": self.choice.choice((some, some, "sqs:*")),
            "Resource": self.choice.choice(("*", arn("a"), [arn("b"), arn("missing")])),
        }
        return {**made, "Principal": self.choice.choice(self.principals)} if of_queue else made

    def statements(self, *, of_queue: bool) -> list[Statement]:
        count = self.choice.randint(0, 3)
        return [self.statement(of_queue=of_queue) for _ in range(count)]

    def policies(self) -> Policies:
        return Policies(
            {caller.name: self.statements(of_queue=False) for caller in CALLERS},
            {name: self.statements(of_queue=True) for name in NAMES},
        )

    def calls(self) -> list[tuple[Caller, str, str, msgspec.Struct]]:
        """Return calls: the caller, the queue, the permission and the request."""
        made = []
        for _ in range(CALLS_PER_ROUND):
            name = self.choice.choice(QUEUES)
            permission, request = self.choice.choice(requests_for(name))
            made.append((self.choice.choice(CALLERS), name, permission, request))
        return made

    def with_another_deny(self, policies: Policies) -> Policies:
        return self._changed(
            policies,
            lambda found, of_queue: [*found, self.statement(of_queue=of_queue, effect="Deny")],
        )

    def without_an_allow(self, policies: Policies) -> Policies:
        return self._changed(policies, lambda found, _: self._without_allow(found))

    def _without_allow(self, found: Sequence[Statement]) -> list[Statement]:
        allows = [each for each in found if each["Effect"] == "Allow"]
        removed = self.choice.choice(allows) if allows else None
        return [each for each in found if each is not removed]

    def _changed(
        self,
        policies: Policies,
        change: Callable[[Sequence[Statement], bool], Sequence[Statement]],
    ) -> Policies:
        """Return the policies with the change in one policy of a queue, and in some of callers."""
        queue = self.choice.choice(NAMES)
        return Policies(
            {
                name: change(found, False) if self.choice.random() < 0.3 else found
                for name, found in policies.of_callers.items()
            },
            {**policies.of_queues, queue: change(policies.of_queues[queue], True)},
        )


def arn(name: str) -> str:
    return queue_arn(REGION, OWNER, name)


# The naive evaluator


def expected(policies: Policies, caller: Caller, name: str, permission: str) -> bool:
    """Return whether a call is allowed, by AWS's table."""
    of_caller = [
        each
        for each in (policies.of_callers[caller.name] if caller.name else ())
        if concerns(each, name, permission)
    ]
    of_queue = [
        each for each in policies.of_queues.get(name, ()) if concerns(each, name, permission)
    ]
    named = [each for each in of_queue if names(each["Principal"], caller)]
    by_account = [each for each in of_queue if names_account(each["Principal"], caller)]
    if any(each["Effect"] == "Deny" for each in [*of_caller, *named, *by_account]):
        return False
    by_caller = caller.is_user and (caller.is_admin or bool(of_caller))
    if caller.is_user and caller.account == OWNER:
        return by_caller or bool(named)
    by_queue = permission in SHARED and bool([*named, *by_account])
    return by_caller and by_queue if caller.is_user else by_queue


def concerns(one: Statement, name: str, permission: str) -> bool:
    is_action = one["Action"] == "sqs:*" or f"sqs:{permission}" in as_list(one["Action"])
    return is_action and (one["Resource"] == "*" or arn(name) in as_list(one["Resource"]))


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def names(principal: object, caller: Caller) -> bool:
    if not isinstance(principal, dict):
        return principal == "*"
    if caller.service:
        return bool(principal.get("Service") == caller.service)
    return caller.is_user and caller.arn in as_list(principal.get("AWS"))


def names_account(principal: object, caller: Caller) -> bool:
    if not isinstance(principal, dict) or not caller.is_user:
        return False
    whole = {caller.account, f"arn:aws:iam::{caller.account}:root"}
    return not whole.isdisjoint(as_list(principal.get("AWS")))


# The server


class Checked:
    """A server without HTTP that checks access, and another one on its database."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.server = InProcessServer(database, clock, ON)
        self._other = Queues(database, QueueCache(database, ON), ON, clock, cooldowns=False)

    async def allowed(
        self, policies: Policies, calls: Sequence[tuple[Caller, str, str, msgspec.Struct]]
    ) -> list[bool]:
        """Set the policies of the queues from the other server; return which calls are allowed."""
        for name in NAMES:
            found = policies.of_queues[name]
            attributes = {"Policy": document(*found) if found else ""}
            request = actions.SetQueueAttributes(queue_url("", OWNER, name), attributes)
            await self._other.set_queue_attributes(SERVER_ITSELF, request)
        users = {caller.name: user_of(caller, policies) for caller in CALLERS if caller.name}
        verdicts = []
        for caller, _, _, call in calls:
            user = users.get(caller.name)
            context = RequestContext(caller.account, REGION, "", user=user)
            verdicts.append(await self._is_allowed(context, call))
        return verdicts

    async def _is_allowed(self, context: RequestContext, request: msgspec.Struct) -> bool:
        answer = await self.server.answer(request, context)
        if isinstance(answer, QueueDoesNotExist):
            return answer.message != NO_ACCESS_TO_URL.message
        assert answer is None or isinstance(answer, msgspec.Struct | SQSError)
        return not isinstance(answer, AccessDenied)


def user_of(caller: Caller, policies: Policies) -> User:
    found = policies.of_callers[caller.name]
    compiled = [compile_policy(document(*found), PolicyKind.IDENTITY, "policy")] if found else []
    principal = user_principal(
        caller.name, caller.account, is_admin=caller.is_admin, service=caller.service, tags={}
    )
    return User(principal=principal, policies=tuple(compiled), access_key_ids=(), digest="")


@pytest.fixture
async def checked() -> AsyncIterator[Checked]:
    clock = ManualClock()
    database = await Database.open("sqlite://", clock)
    server = Checked(database, clock)
    for name in NAMES:
        await server.server.dispatch(actions.CreateQueue(name), SERVER_ITSELF)
    yield server
    await database.close()


@pytest.mark.parametrize("seed", range(3))
async def test_server_decides_as_the_naive_evaluator(seed: int, checked: Checked) -> None:
    generator = Generator(random.Random(seed))
    counts = {True: 0, False: 0}
    for _ in range(ROUNDS):
        policies, calls = generator.policies(), generator.calls()
        verdicts = await checked.allowed(policies, calls)
        for (caller, name, permission, _), verdict in zip(calls, verdicts, strict=True):
            decided = (policies, caller, name, permission)
            assert verdict is expected(*decided), decided
            counts[verdict] += 1
        for change in (generator.with_another_deny, generator.without_an_allow):
            later = await checked.allowed(change(policies), calls)
            for call, before, after in zip(calls, verdicts, later, strict=True):
                assert before or not after, (policies, call)
    assert min(counts.values()) > 60
