"""Redrive policies: which are accepted, how they read back, and the text of each error."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from protocol.errors import InvalidParameterValue, SQSError
from protocol.names import Arn
from queueserver.rules import redrive_policies
from queueserver.rules.redrive_policies import (
    RedriveAllowPolicy,
    RedrivePolicy,
    parse_redrive_allow_policy,
    parse_redrive_policy,
)
from tests.rules.rejections import IPV, invalid, rejection

DLQ = "arn:aws:sqs:us-east-1:000000000000:dlq"
TARGET = Arn("aws", "sqs", "us-east-1", "000000000000", "dlq")
NOT_JSON = (
    "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map."
)
UNSUPPORTED = (
    "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the "
    "redrive allow policy, as it\u2019s in an unsupported format."
)
UNREADABLE = [
    pytest.param("", id="empty text"),
    pytest.param("nonsense", id="not JSON"),
    pytest.param("{", id="unclosed object"),
    pytest.param("{} {}", id="two objects"),
    pytest.param("[]", id="list"),
    pytest.param('"text"', id="text"),
    pytest.param("null", id="null"),
    pytest.param("[" * 100_000, id="deeply nested lists"),
    pytest.param('{"a":' * 100_000, id="deeply nested objects"),
    pytest.param('{"maxReceiveCount":' + "9" * 5_000 + "}", id="very long integer"),
    pytest.param('{"maxReceiveCount":1e999}', id="very large exponent"),
    pytest.param('{"maxReceiveCount":NaN}', id="NaN"),
    pytest.param('{"a\x00":1}', id="NUL"),
    pytest.param("{}".ljust(8_193), id="8,193 bytes"),
    pytest.param('{"é":"' + "é" * 4_092 + '"}', id="8,193 bytes in fewer characters"),
]


def redrive(count: object, target: object = DLQ, **others: object) -> str:
    return json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": count, **others})


def allow(permission: object, *arns: object, **others: object) -> str:
    named = {"sourceQueueArns": arns} if arns else {}
    return json.dumps({"redrivePermission": permission, **named, **others})


def invalid_policy(text: str, reason: str) -> str:
    return invalid("RedrivePolicy", text, reason)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param(redrive(1), 1, id="number"),
        pytest.param(redrive("3"), 3, id="text of digits"),
        pytest.param(redrive("0007"), 7, id="leading zeros"),
        pytest.param(redrive(1_000), 1_000, id="most"),
        pytest.param(
            f'\n{{"maxReceiveCount" : 5,\t"deadLetterTargetArn" : "{DLQ}" }} ', 5, id="spaces"
        ),
        pytest.param(
            '{"maxReceiveCount":5,"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:'
            '\\u0064lq"}',
            5,
            id="escapes",
        ),
    ],
)
def test_redrive_policy_has_a_target_and_a_count(text: str, count: int) -> None:
    assert parse_redrive_policy(text) == RedrivePolicy(TARGET, count)


def test_redrive_policy_reads_back_normalised() -> None:
    text = f'{{"deadLetterTargetArn":"{DLQ}","maxReceiveCount":1}}'
    assert RedrivePolicy(TARGET, 1).text == text
    assert parse_redrive_policy(text).text == text


@pytest.mark.parametrize(
    "target",
    [
        "arn:aws-cn:sqs:cn-north-1:000000000000:q.fifo",
        "arn:aws:sqs:eu-west-1:111111111111:é😀",
        "arn:aws:sqs:::q",
    ],
)
def test_arn_of_any_queue_can_be_the_target(target: str) -> None:
    policy = parse_redrive_policy(redrive(1, target))
    assert str(policy.target) == target
    assert parse_redrive_policy(policy.text) == policy


@pytest.mark.parametrize("text", UNREADABLE)
def test_redrive_policy_that_is_not_a_json_object_is_rejected(text: str) -> None:
    assert rejection(parse_redrive_policy, text) == (IPV, NOT_JSON)


def test_repeated_name_is_rejected() -> None:
    text = f'{{"maxReceiveCount":1,"deadLetterTargetArn":"{DLQ}","maxReceiveCount":2}}'
    assert rejection(parse_redrive_policy, text) == (IPV, NOT_JSON)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            "{}",
            "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
            id="empty",
        ),
        pytest.param(
            f'{{ "deadLetterTargetArn" : "{DLQ}" }}',
            "Redrive policy does not contain mandatory attribute: maxReceiveCount.",
            id="no count, and repeated as it was sent",
        ),
        pytest.param(
            '{"maxReceiveCount":1}',
            "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.",
            id="no target",
        ),
        pytest.param(
            redrive(1, other=1),
            "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].",
            id="unknown member",
        ),
        *(
            pytest.param(
                redrive(1, target),
                "Dead-letter target ARN should be fully qualified ARN.",
                id=f"target {target!r}",
            )
            for target in (
                *(
                    "",
                    "dlq",
                    "http://localhost/000000000000/dlq",
                    "arn:aws:sqs:us-east-1:1",
                    DLQ + " ",
                ),
                *(DLQ + "\x00", DLQ + "\ud800", DLQ + "\uffff", None, 1, True, [DLQ], {"a": DLQ}),
            )
        ),
        pytest.param(
            redrive(1, "arn:aws:sns:us-east-1:000000000000:topic"),
            "Only SQS queues are valid resources for deadLetterTargetArn.",
            id="not SQS",
        ),
        *(
            pytest.param(
                redrive(count),
                f"Invalid value for maxReceiveCount: {written}, "
                "valid values are from 1 to 1000 both inclusive.",
                id=f"count {str(count)[:24]!r}",
            )
            for count, written in (
                *((0, "0"), (1_001, "1001"), (-36, "-36"), (10**100, "1" + "0" * 100)),
                *((1.0, "1.0"), (1.5, "1.5"), (True, "true"), (False, "false"), (None, "null")),
                *(("", ""), ("0", "0"), ("-1", "-1"), ("+1", "+1"), (" 1", " 1"), ("1\n", "1\n")),
                *(("1.0", "1.0"), ("٣", "٣"), ("9" * 8_000, "9" * 8_000), ("abc", "abc")),
                *(([1], ""), ({"a": 1}, "")),
            )
        ),
    ],
)
def test_invalid_redrive_policies_are_rejected(text: str, reason: str) -> None:
    words = InvalidParameterValue(invalid_policy(text, reason)).message
    assert rejection(parse_redrive_policy, text) == (IPV, words)


@pytest.mark.parametrize(
    ("build_error", "reason"),
    [
        pytest.param(
            redrive_policies.missing_target_error,
            "Dead letter target does not exist.",
            id="no such queue",
        ),
        pytest.param(
            redrive_policies.target_type_error,
            "Dead-letter queue must be same type of queue as the source..",
            id="FIFO and standard",
        ),
        pytest.param(
            redrive_policies.target_account_error,
            "Dead-letter target owner should be same as the source.",
            id="another account",
        ),
        pytest.param(
            redrive_policies.target_denied_error,
            "Amazon SQS can't use the queue as a dead-letter queue. "
            "The redrive allow policy of the queue doesn't allow it.",
            id="not allowed",
        ),
    ],
)
def test_errors_about_the_target_repeat_the_policy(
    build_error: Callable[[str], SQSError], reason: str
) -> None:
    error = build_error("{raw}")
    assert (error.code, error.message) == (IPV, invalid_policy("{raw}", reason))


OTHER = "arn:aws:sqs:us-east-1:000000000000:other"


@pytest.mark.parametrize(
    ("text", "policy", "allowed"),
    [
        pytest.param(allow("allowAll"), RedriveAllowPolicy("allowAll"), [DLQ, OTHER], id="all"),
        pytest.param(allow("denyAll"), RedriveAllowPolicy("denyAll"), [], id="none"),
        pytest.param(
            allow("byQueue", DLQ), RedriveAllowPolicy("byQueue", (DLQ,)), [DLQ], id="by queue"
        ),
        pytest.param(
            allow("allowAll", sourceQueueArns=[]),
            RedriveAllowPolicy("allowAll"),
            [DLQ, OTHER],
            id="empty list counts as absent",
        ),
    ],
)
def test_redrive_allow_policy_defines_which_queues_may_use_the_queue(
    text: str, policy: RedriveAllowPolicy, allowed: list[str]
) -> None:
    assert parse_redrive_allow_policy(text) == policy
    assert [arn for arn in (DLQ, OTHER) if policy.allows(arn)] == allowed


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        pytest.param('{ "redrivePermission": "denyAll" }', '{"redrivePermission":"denyAll"}'),
        pytest.param(
            f'{{"sourceQueueArns": ["{OTHER}", "{DLQ}"], "redrivePermission": "byQueue"}}',
            f'{{"redrivePermission":"byQueue","sourceQueueArns":["{OTHER}","{DLQ}"]}}',
        ),
    ],
)
def test_redrive_allow_policy_reads_back_normalised(sent: str, read: str) -> None:
    assert parse_redrive_allow_policy(sent).text == read
    assert parse_redrive_allow_policy(read).text == read


def test_ten_source_queues_can_be_allowed() -> None:
    regions = ("us-east-1", "cn-north-1", "r" * 63)
    arns = (
        *(f"arn:aws-cn:sqs:{region}:111111111111:{'q' * 80}" for region in regions),
        *(f"{DLQ}{n}" for n in range(6)),
        f"{DLQ[:-3]}{'q' * 75}.fifo",
    )
    assert parse_redrive_allow_policy(allow("byQueue", *arns)).source_queue_arns == arns


@pytest.mark.parametrize(
    "text",
    [
        *UNREADABLE,
        pytest.param("{}", id="empty"),
        pytest.param(
            '{"redrivePermission":"denyAll","redrivePermission":"allowAll"}', id="member twice"
        ),
        pytest.param(json.dumps({"sourceQueueArns": [DLQ]}), id="no permission"),
        pytest.param(allow("denyAll", other=1), id="unknown member"),
        pytest.param(allow("DenyAll"), id="permission in another case"),
        pytest.param(allow(None), id="permission null"),
        pytest.param(allow(["denyAll"]), id="permission list"),
        pytest.param(allow("byQueue", sourceQueueArns=DLQ), id="string instead of a list"),
        pytest.param(allow("byQueue", sourceQueueArns=None), id="null instead of a list"),
        pytest.param(allow("byQueue", DLQ, 1), id="number in the list"),
        pytest.param(allow("byQueue", "q"), id="not an ARN"),
        pytest.param(allow("byQueue", "arn:aws:sns:us-east-1:000000000000:t"), id="not SQS"),
        *(
            pytest.param(allow("byQueue", DLQ, arn), id=f"no queue can have {arn[:48]!r}")
            for arn in (
                *(DLQ + "\ufffe", DLQ + " ", DLQ + "\ud800", DLQ + ":x", DLQ + ".fifo.fifo"),
                *(f"{DLQ[:-3]}{'q' * 81}", f"{DLQ[:-3]}{'q' * 76}.fifo", DLQ[:-3] + "é", DLQ + "*"),
                *(
                    DLQ.replace("aws", "azure"),
                    DLQ.replace("aws:", ":"),
                    DLQ.replace("0" * 12, "0"),
                ),
                *(DLQ.replace("us-east-1", "é"), DLQ.replace("us-east-1", "r" * 64)),
                DLQ.replace("us-east-1", ""),
            )
        ),
        pytest.param(allow("byQueue", DLQ[:-3] + "q" * 7_000_000), id="ARN of 7 MB"),
    ],
)
def test_redrive_allow_policy_in_another_format_is_rejected(text: str) -> None:
    assert rejection(parse_redrive_allow_policy, text) == (IPV, UNSUPPORTED)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            allow("byQueue"),
            "When you specify the byQueue permission type, you must also specify one or more "
            "sourceQueueArns values.",
            id="byQueue without queues",
        ),
        pytest.param(
            allow("byQueue", *[DLQ] * 11),
            "The maximum number of source queue ARNs you can specify is 10.",
            id="eleven queues",
        ),
        *(
            pytest.param(
                allow(permission, DLQ),
                "To specify one or more source queue ARNs, you must set redrivePermission to "
                "byQueue.",
                id=f"{permission} with queues",
            )
            for permission in ("allowAll", "denyAll")
        ),
    ],
)
def test_source_queues_that_do_not_fit_the_permission_are_rejected(text: str, reason: str) -> None:
    words = f"Amazon SQS can't create the redrive allow policy. {reason}"
    expected = invalid("RedriveAllowPolicy", text, words)
    assert rejection(parse_redrive_allow_policy, text) == (IPV, expected)
