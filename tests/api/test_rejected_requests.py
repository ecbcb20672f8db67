"""Random changes of queues: rejected ones change nothing, accepted creations can be repeated.

Each run has an account of its own, so a snapshot covers every queue that a request could change.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any, NamedTuple

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.api.live_server import AlarmCountingClock, LiveServer
from tests.api.raw_http import Answer, connection, json_headers, read_answer
from tests.rules.policies import STATEMENT, policy

ACCOUNT = "<account>"
"""Stands for the account of a run in the requests of the strategies."""

QUEUES = ("orders", "orders.fifo", "dead", "dead.fifo")
ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"


def _redrive(target: str, count: int) -> str:
    return json.dumps({"deadLetterTargetArn": ARN + target, "maxReceiveCount": count})


VALUES: dict[str, tuple[str | None, ...]] = {
    "Colour": ("red",),
    "ContentBasedDeduplication": ("true", "False", "yes"),
    "DeduplicationScope": ("queue", "messageGroup", "group"),
    "DelaySeconds": ("0", "5", "007", "901", "x", None),
    "FifoQueue": ("true", "True", "false"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId", ""),
    "KmsDataKeyReusePeriodSeconds": ("60", "86400", "59"),
    "KmsMasterKeyId": ("", "alias/aws/sqs", "another"),
    "MaximumMessageSize": ("1024", "1048576", "1023"),
    "MessageRetentionPeriod": ("60", "345600", "59"),
    "Policy": ("", policy(STATEMENT), "{}"),
    "QueueArn": (f"{ARN}orders",),
    "ReceiveMessageWaitTimeSeconds": ("0", "20", "21"),
    "RedriveAllowPolicy": (
        "",
        '{"redrivePermission":"allowAll"}',
        '{"redrivePermission":"denyAll"}',
        json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [f"{ARN}orders"]}),
        '{"redrivePermission":"byQueue"}',
    ),
    "RedrivePolicy": (
        "",
        _redrive("dead", 3),
        _redrive("dead.fifo", 3),
        _redrive("missing", 3),
        _redrive("dead", 0),
    ),
    "SqsManagedSseEnabled": ("true", "FALSE", "no"),
    "VisibilityTimeout": ("0", "30", "43200", "43201"),
}
"""Values of each attribute; most are valid for a queue of one type or the other."""


class Request(NamedTuple):
    action: str
    parameters: dict[str, Any]


def attribute_maps() -> SearchStrategy[dict[str, str | None]]:
    """Return a strategy for attributes of a request; often they are ones that affect each other."""
    encryption = ["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "SqsManagedSseEnabled"]
    fifo = ["DeduplicationScope", "FifoQueue", "FifoThroughputLimit"]
    values = {name: st.sampled_from(choices) for name, choices in VALUES.items()}
    names = st.sampled_from([encryption, fifo, sorted(VALUES)]).flatmap(
        lambda group: st.lists(st.sampled_from(group), max_size=3, unique=True)
    )
    return names.flatmap(lambda some: st.fixed_dictionaries({name: values[name] for name in some}))


def requests() -> SearchStrategy[Request]:
    """Return a strategy for requests that create or change one of the queues."""
    queue_names = st.sampled_from(QUEUES)
    accounts = st.sampled_from(["1" * 12, "2" * 12, "3"])
    grants = st.sampled_from(["*", "SendMessage", "CreateQueue"])
    labels = st.sampled_from(["first", "second", "no label", ""])
    tag_maps = st.one_of(
        st.dictionaries(st.sampled_from(["team", "cost", "a?", "aws:x"]), st.just("1"), max_size=2),
        st.just({str(number): "" for number in range(50)}),
    )
    bodies = {
        "AddPermission": st.fixed_dictionaries(
            {
                "QueueUrl": queue_names,
                "Label": labels,
                "AWSAccountIds": st.lists(accounts, min_size=1, max_size=2),
                "Actions": st.lists(grants, min_size=1, max_size=2),
            }
        ),
        "CreateQueue": st.fixed_dictionaries(
            {"QueueName": queue_names, "Attributes": attribute_maps()}, optional={"tags": tag_maps}
        ),
        "DeleteQueue": st.fixed_dictionaries({"QueueUrl": queue_names}),
        "RemovePermission": st.fixed_dictionaries({"QueueUrl": queue_names, "Label": labels}),
        "SetQueueAttributes": st.fixed_dictionaries(
            {"QueueUrl": queue_names, "Attributes": attribute_maps()}
        ),
        "TagQueue": st.fixed_dictionaries({"QueueUrl": queue_names, "Tags": tag_maps}),
        "UntagQueue": st.fixed_dictionaries(
            {
                "QueueUrl": queue_names,
                "TagKeys": st.lists(st.sampled_from(["team", "cost", "a?"]), max_size=2),
            }
        ),
    }
    often = ["CreateQueue", "CreateQueue", "CreateQueue", "DeleteQueue", "SetQueueAttributes"]
    kinds = st.sampled_from([*often, *bodies])
    return kinds.flatmap(lambda action: st.builds(Request, st.just(action), bodies[action]))


class Account:
    """One account of a server, and its requests."""

    def __init__(self, url: str, account: str) -> None:
        self._connection = connection(url)
        self._account = account

    def close(self) -> None:
        self._connection.close()

    def send(self, action: str, parameters: dict[str, Any]) -> Answer:
        credential = f"AWS4-HMAC-SHA256 Credential={self._account}/20260101/us-east-1/sqs/"
        headers = {**json_headers(action), "Authorization": credential}
        body = json.dumps(parameters).replace(ACCOUNT, self._account)
        self._connection.request("POST", "/", body, headers)
        return read_answer(self._connection)

    def call(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = self.send(action, parameters)
        assert answer.status == 200, answer.body
        result: dict[str, Any] = json.loads(answer.body or b"{}")
        return result

    def snapshot(self) -> dict[str, Any]:
        """Return all that a client can read of the account's queues."""
        return {
            url: (
                self.call("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]}),
                self.call("ListQueueTags", {"QueueUrl": url}),
            )
            for url in self.call("ListQueues", {}).get("QueueUrls", [])
        }


_accounts = itertools.count(500_000_000_000)


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(
    changes=[
        Request("DeleteQueue", {"QueueUrl": "orders"}),
        Request(
            "CreateQueue",
            {
                "QueueName": "orders",
                "Attributes": {
                    "SqsManagedSseEnabled": "true",
                    "KmsDataKeyReusePeriodSeconds": "60",
                },
            },
        ),
    ]
)
@given(changes=st.lists(requests(), min_size=25, max_size=25))
def test_rejected_request_changes_nothing_and_accepted_creation_can_be_repeated(
    server: LiveServer, clock: AlarmCountingClock, changes: list[Request]
) -> None:
    with contextlib.closing(Account(server.url, str(next(_accounts)))) as account:
        for name in QUEUES:
            fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            account.call("CreateQueue", {"QueueName": name, "Attributes": fifo})
        before = account.snapshot()
        for change in changes:
            clock.advance(1)  # A change would show in LastModifiedTimestamp.
            answer = account.send(*change)
            after = account.snapshot()
            if answer.status != 200:
                assert answer.status in {400, 403}, answer.body
                assert after == before, (change, answer.body)
            elif change.action == "CreateQueue":
                assert account.call(*change) == json.loads(answer.body)
                assert account.snapshot() == after
            before = after
