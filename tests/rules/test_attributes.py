"""Queue attributes: what can be set, what is read back, and what `All` returns."""

from __future__ import annotations

import json

import pytest

from protocol.names import Arn
from queueserver.rules import attributes
from queueserver.rules.redrive_policies import RedriveAllowPolicy, RedrivePolicy
from storage.errors import DatabaseDamaged
from tests.rules.rejections import rejection

FACTS = {
    "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
    "ApproximateNumberOfMessages": "1",
    "ApproximateNumberOfMessagesNotVisible": "2",
    "ApproximateNumberOfMessagesDelayed": "3",
    "CreatedTimestamp": "1700000000",
    "LastModifiedTimestamp": "1700000001",
}
DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
RANGES = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1_024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
ONE_ENCRYPTION = (
    "You can use one type of server-side encryption (SSE) at one time. "
    "You can either enable KMS SSE or SQS SSE."
)
FIFO = {"FifoQueue": "true"}
STANDARD = {"DelaySeconds": "5"}
FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
}
PER_GROUP = {"FifoThroughputLimit": "perMessageGroupId"}
BY_GROUP = {"DeduplicationScope": "messageGroup"}
DLQ = "arn:aws:sqs:us-east-1:000000000000:dlq"
REDRIVE = f'{{"deadLetterTargetArn":"{DLQ}","maxReceiveCount":3}}'
ALLOW = f'{{"redrivePermission":"byQueue","sourceQueueArns":["{DLQ}"]}}'
POLICY = (
    '{"Statement": {"Effect":"Allow", "Principal":"*", "Action":"sqs:*", "Resource": "*"},'
    ' "Id":"é"}'
)


def created(requested: dict[str, str]) -> dict[str, str]:
    return attributes.parse_requested(requested, {}, creating=True)


def changed(requested: dict[str, str], current: dict[str, str]) -> dict[str, str]:
    return attributes.parse_requested(requested, current, creating=False)


def rejected(
    requested: dict[str, str], current: dict[str, str] = STANDARD, *, creating: bool = False
) -> tuple[str, str]:
    before = {} if creating else current
    return rejection(attributes.parse_requested, requested, before, creating=creating)


@pytest.mark.parametrize("name", RANGES)
def test_number_outside_its_range_is_rejected(name: str) -> None:
    lowest, highest = RANGES[name]
    for value in (lowest, highest):
        assert created({name: str(value)}) == {name: str(value)}
    for value in (lowest - 1, highest + 1):
        text = f"Invalid value for the parameter {name}."
        assert rejected({name: str(value)}) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize(
    "value",
    ["", " 60", "60 ", "60\n", "+60", "-0", "60.0", "6e1", "0x3c", "٦٠", "6_0", "9" * 5_000, "x"],
    ids=lambda value: repr(value[:8]),
)
def test_number_with_anything_but_digits_is_rejected(value: str) -> None:
    text = "Invalid value for the parameter DelaySeconds."
    assert rejected({"DelaySeconds": value}) == ("InvalidAttributeValue", text)


def test_number_is_stored_without_leading_zeros() -> None:
    assert created({"DelaySeconds": "007"}) == {"DelaySeconds": "7"}


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
@pytest.mark.parametrize("name", ["SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication"])
def test_boolean_is_stored_in_lower_case(name: str, value: str) -> None:
    assert created({**FIFO, name: value}) == {**FIFO, name: "true"}


CHOICES = {
    "ContentBasedDeduplication": ["true", "false"],
    "DeduplicationScope": ["queue", "messageGroup"],
    "FifoQueue": ["true"],
    "FifoThroughputLimit": ["perQueue", "perMessageGroupId"],
    "SqsManagedSseEnabled": ["true", "false"],
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice_outside_its_values_is_rejected(name: str) -> None:
    base = {**FIFO, **BY_GROUP}
    for value in CHOICES[name]:
        assert changed({name: value}, base) == {**base, name: value}
    for value in ("", "yes", "1", " true", "Queue", "perqueue"):
        text = f"Invalid value for the parameter {name}."
        assert rejected({name: value}, base) == ("InvalidAttributeValue", text)
        assert rejected({**FIFO, name: value}, creating=True) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize("value", ["k" * 2_049, "a\x00b", "\ufffe"], ids=["long", "NUL", "FFFE"])
def test_kms_key_id_has_at_most_2048_characters_of_xml(value: str) -> None:
    assert created({"KmsMasterKeyId": "k" * 2_048})["KmsMasterKeyId"] == "k" * 2_048
    text = "Invalid value for the parameter KmsMasterKeyId."
    assert rejected({"KmsMasterKeyId": value}) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize("name", [*FACTS, "Foobar", "", "delayseconds", "All"])
def test_unknown_and_read_only_attributes_cannot_be_set(name: str) -> None:
    text = f"Unknown Attribute {name}."
    assert rejected({name: "1"}) == ("InvalidAttributeName", text)


def test_change_keeps_other_attributes_and_does_not_modify_its_argument() -> None:
    current = {"DelaySeconds": "5", "VisibilityTimeout": "1"}
    assert changed({"DelaySeconds": "6"}, current) == {
        "DelaySeconds": "6",
        "VisibilityTimeout": "1",
    }
    assert current == {"DelaySeconds": "5", "VisibilityTimeout": "1"}


KEY = {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60", "SqsManagedSseEnabled": "false"}


@pytest.mark.parametrize(
    ("requested", "current", "stored"),
    [
        pytest.param(
            {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60"},
            {"SqsManagedSseEnabled": "true"},
            KEY,
            id="setting a key disables SSE-SQS",
        ),
        pytest.param(
            {"SqsManagedSseEnabled": "true"},
            KEY,
            {"SqsManagedSseEnabled": "true"},
            id="enabling SSE-SQS removes the key",
        ),
        pytest.param(
            {"SqsManagedSseEnabled": "false"}, KEY, KEY, id="disabling SSE-SQS keeps the key"
        ),
        pytest.param(
            {"KmsMasterKeyId": ""},
            {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "false"},
            {"SqsManagedSseEnabled": "false"},
            id="clearing the key leaves no encryption",
        ),
        pytest.param({"KmsMasterKeyId": ""}, {}, {}, id="clearing a key that was never set"),
        pytest.param(
            {"KmsMasterKeyId": "", "SqsManagedSseEnabled": "true"},
            KEY,
            {"SqsManagedSseEnabled": "true"},
            id="both in one request, one of them cleared",
        ),
        pytest.param(
            {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "false"},
            {},
            {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "false"},
            id="both in one request, one of them off",
        ),
    ],
)
def test_queue_has_one_kind_of_encryption(
    requested: dict[str, str], current: dict[str, str], stored: dict[str, str]
) -> None:
    assert changed(requested, current) == stored


def test_two_kinds_of_encryption_in_one_request_are_rejected() -> None:
    requested = {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "True"}
    assert rejected(requested) == ("InvalidAttributeName", ONE_ENCRYPTION)


NOT_ON_STANDARD = {
    "FifoQueue": "Unknown Attribute FifoQueue.",
    "ContentBasedDeduplication": "Unknown Attribute ContentBasedDeduplication.",
    "DeduplicationScope": (
        "You can specify the DeduplicationScope only when FifoQueue is set to true."
    ),
    "FifoThroughputLimit": (
        "You can specify the FifoThroughputLimit only when FifoQueue is set to true."
    ),
}


@pytest.mark.parametrize("name", NOT_ON_STANDARD)
def test_fifo_attributes_are_rejected_on_a_standard_queue(name: str) -> None:
    for value in CHOICES[name]:
        expected = ("InvalidAttributeName", NOT_ON_STANDARD[name])
        assert rejected({name: value}) == expected
        if name != "FifoQueue":
            assert rejected({name: value}, creating=True) == expected


@pytest.mark.parametrize("value", ["false", "False"])
def test_fifo_queue_false_is_rejected_as_an_unknown_attribute(value: str) -> None:
    expected = ("InvalidAttributeName", "Unknown Attribute FifoQueue.")
    assert rejected({"FifoQueue": value}, creating=True) == expected
    assert rejected({"FifoQueue": value}) == expected


def test_type_of_a_queue_cannot_be_changed() -> None:
    assert changed({"FifoQueue": "True"}, FIFO) == FIFO
    text = (
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    )
    assert rejected({"FifoQueue": "False"}, FIFO) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize(
    ("values", "fifo"),
    [({}, False), ({"FifoQueue": "false"}, False), (FIFO, True), ({"FifoQueue": "True"}, True)],
)
def test_fifo_queue_is_recognised_by_its_attribute(values: dict[str, str], fifo: bool) -> None:
    assert attributes.is_fifo(values) is fifo


@pytest.mark.parametrize(
    ("requested", "current"),
    [
        pytest.param({**PER_GROUP, **BY_GROUP}, FIFO, id="both at once"),
        pytest.param(PER_GROUP, {**FIFO, **BY_GROUP}, id="one after the other"),
        pytest.param({"FifoThroughputLimit": "perQueue"}, {**FIFO, **BY_GROUP}, id="scope alone"),
    ],
)
def test_throughput_limit_that_fits_the_deduplication_scope_is_accepted(
    requested: dict[str, str], current: dict[str, str]
) -> None:
    assert changed(requested, current) == {**current, **requested}


@pytest.mark.parametrize(
    ("requested", "current"),
    [
        pytest.param(PER_GROUP, FIFO, id="no scope"),
        pytest.param({**PER_GROUP, "DeduplicationScope": "queue"}, FIFO, id="scope queue"),
        pytest.param(
            {"DeduplicationScope": "queue"},
            {**FIFO, **PER_GROUP, **BY_GROUP},
            id="scope set back to queue",
        ),
    ],
)
def test_throughput_limit_per_group_needs_deduplication_per_group(
    requested: dict[str, str], current: dict[str, str]
) -> None:
    text = (
        "The perMessageGroupId value is allowed only when the value for DeduplicationScope is "
        "messageGroup"
    )
    assert rejected(requested, current) == ("InvalidParameterValue", text)


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        pytest.param("Policy", POLICY, POLICY, id="a policy as given"),
        pytest.param(
            "RedrivePolicy",
            f'{{ "maxReceiveCount" : "3", "deadLetterTargetArn" : "{DLQ}" }}',
            REDRIVE,
            id="a redrive policy normalised",
        ),
        pytest.param(
            "RedriveAllowPolicy",
            f'{{ "sourceQueueArns" : ["{DLQ}"], "redrivePermission" : "byQueue" }}',
            ALLOW,
            id="a redrive allow policy normalised",
        ),
    ],
)
def test_document_is_cleared_by_an_empty_text(name: str, value: str, stored: str) -> None:
    assert created({name: value}) == {name: stored}
    assert changed({name: value}, STANDARD) == {**STANDARD, name: stored}
    assert changed({name: ""}, {**STANDARD, name: stored}) == STANDARD
    assert created({name: ""}) == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Policy", "InvalidAttributeValue"),
        ("RedrivePolicy", "InvalidParameterValue"),
        ("RedriveAllowPolicy", "InvalidParameterValue"),
    ],
)
def test_invalid_document_has_its_own_error(name: str, code: str) -> None:
    for creating in (True, False):
        code_found, text = rejected({name: "nonsense"}, creating=creating)
        assert code_found == code
        assert text.startswith(f"Invalid value for the parameter {name}.")


def test_too_large_policy_has_another_error_code_at_creation() -> None:
    document = json.loads(POLICY)
    policy = {"Policy": json.dumps({"Statement": [document["Statement"]] * 22})}
    text = "22 statements were found in the submitted policy, max allowed is 20"
    assert rejected(policy) == ("OverLimit", text)
    assert rejected(policy, creating=True) == ("InvalidParameterValue", text)


def test_typed_attributes_have_defaults_and_stored_values() -> None:
    assert attributes.parse_stored({}) == attributes.Attributes(
        delay_seconds=0,
        maximum_message_size=1_048_576,
        message_retention_period=345_600,
        receive_message_wait_time_seconds=0,
        visibility_timeout=30,
        fifo_queue=False,
        content_based_deduplication=False,
        redrive_policy=None,
        redrive_allow_policy=None,
    )
    assert attributes.parse_stored({"VisibilityTimeout": "7", **KEY}).visibility_timeout == 7


def test_typed_attributes_of_a_fifo_queue_with_redrive_policies() -> None:
    requested = {**FIFO, **BY_GROUP, "ContentBasedDeduplication": "true"}
    view = attributes.parse_stored(
        created({**requested, "RedrivePolicy": REDRIVE, "RedriveAllowPolicy": ALLOW})
    )
    assert view.fifo_queue is True
    assert view.content_based_deduplication is True
    assert view.redrive_policy == RedrivePolicy(
        Arn("aws", "sqs", "us-east-1", "000000000000", "dlq"), 3
    )
    assert view.redrive_allow_policy == RedriveAllowPolicy("byQueue", (DLQ,))


def test_stored_redrive_allow_policy_that_is_rejected_now_still_counts() -> None:
    stored = {"RedriveAllowPolicy": ALLOW.replace("dlq", "d" * 10_000)}
    assert rejected(stored)[0] == "InvalidParameterValue"
    policy = attributes.parse_stored(stored).redrive_allow_policy
    assert policy == RedriveAllowPolicy("byQueue", (DLQ.replace("dlq", "d" * 10_000),))
    with pytest.raises(DatabaseDamaged, match="redrive allow policy cannot be read"):
        attributes.parse_stored({"RedriveAllowPolicy": "damage"})


@pytest.mark.parametrize("names", [None, []])
def test_no_attribute_is_returned_unless_requested(names: list[str] | None) -> None:
    assert attributes.describe(names, {}, FACTS) == {}


def test_all_returns_facts_and_defaults() -> None:
    assert attributes.describe(["All"], {}, FACTS) == {**FACTS, **DEFAULTS}


def test_all_returns_stored_values() -> None:
    stored = {"DelaySeconds": "9", **KEY}
    shown = attributes.describe(["All"], stored, FACTS)
    assert shown == {**FACTS, **DEFAULTS, **stored}


def test_all_returns_fifo_attributes_of_a_fifo_queue() -> None:
    assert attributes.describe(["All"], FIFO, FACTS) == {**FACTS, **DEFAULTS, **FIFO_DEFAULTS}
    stored = {**FIFO, **BY_GROUP, **PER_GROUP, "ContentBasedDeduplication": "true"}
    assert attributes.describe(["All"], stored, FACTS) == {**FACTS, **DEFAULTS, **stored}
    assert attributes.describe(list(stored), FIFO, FACTS) == FIFO_DEFAULTS


def test_documents_are_returned_when_set() -> None:
    stored = {"Policy": POLICY, "RedrivePolicy": REDRIVE, "RedriveAllowPolicy": ALLOW}
    assert attributes.describe(["All"], stored, {}) == {**DEFAULTS, **stored}
    assert attributes.describe(list(stored), stored, {}) == stored


def test_kms_reuse_period_is_returned_only_with_a_key() -> None:
    names = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"]
    assert attributes.describe(names, {"KmsDataKeyReusePeriodSeconds": "60"}, {}) == {}
    assert attributes.describe(names, {"KmsMasterKeyId": "k"}, {}) == {
        "KmsMasterKeyId": "k",
        "KmsDataKeyReusePeriodSeconds": "300",
    }


def test_only_named_attributes_are_returned() -> None:
    names = ["VisibilityTimeout", "QueueArn", "VisibilityTimeout"]
    expected = {"QueueArn": FACTS["QueueArn"], "VisibilityTimeout": "30"}
    assert attributes.describe(names, {}, FACTS) == expected


@pytest.mark.parametrize(
    "name",
    [
        "ContentBasedDeduplication",
        "DeduplicationScope",
        "FifoQueue",
        "FifoThroughputLimit",
        "KmsMasterKeyId",
        "Policy",
        "RedriveAllowPolicy",
        "RedrivePolicy",
    ],
)
def test_known_attributes_without_a_value_are_omitted(name: str) -> None:
    assert attributes.describe([name], {}, FACTS) == {}


@pytest.mark.parametrize("name", ["Foobar", "", "all", "queuearn"])
def test_request_for_an_unknown_attribute_is_rejected(name: str) -> None:
    found = rejection(attributes.check_names, ["All", name])
    assert found == ("InvalidAttributeName", f"Unknown Attribute {name}.")


def test_request_names_at_most_100_attributes() -> None:
    attributes.check_names(None)
    attributes.check_names(["All"] * 100)
    for count in (101, 1_000_000):
        text = f"Number of attribute names [{count}] exceeds the allowed maximum [100]."
        assert rejection(attributes.check_names, ["All"] * count) == (
            "InvalidParameterValue",
            text,
        )


@pytest.mark.parametrize(
    ("names", "needed"),
    [
        pytest.param(None, False, id="no names"),
        pytest.param([], False, id="empty"),
        pytest.param(["QueueArn", "VisibilityTimeout"], False, id="others"),
        pytest.param(["QueueArn", "All"], True, id="All"),
        pytest.param(["ApproximateNumberOfMessages"], True, id="visible"),
        pytest.param(["ApproximateNumberOfMessagesDelayed"], True, id="delayed"),
        pytest.param(["ApproximateNumberOfMessagesNotVisible"], True, id="in flight"),
    ],
)
def test_messages_are_counted_only_when_a_count_is_requested(
    names: list[str] | None, needed: bool
) -> None:
    assert attributes.needs_counts(names) is needed
