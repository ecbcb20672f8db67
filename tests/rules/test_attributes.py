"""The table of queue attributes: what can be set, what is read back, and what `All` shows."""

from __future__ import annotations

import pytest

from protocol.errors import SQSError
from queueserver import attributes

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


def refusal(requested: dict[str, str]) -> tuple[str, str]:
    with pytest.raises(SQSError) as caught:
        attributes.parse(requested, {"DelaySeconds": "5"})
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("name", RANGES)
def test_a_number_keeps_to_its_range(name: str) -> None:
    lowest, highest = RANGES[name]
    for value in (lowest, highest):
        assert attributes.parse({name: str(value)}, {}) == {name: str(value)}
    for value in (lowest - 1, highest + 1):
        text = f"Invalid value for the parameter {name}."
        assert refusal({name: str(value)}) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize(
    "value",
    ["", " 60", "60 ", "60\n", "+60", "-0", "60.0", "6e1", "0x3c", "٦٠", "6_0", "9" * 5_000, "x"],
    ids=lambda value: repr(value[:8]),
)
def test_a_number_is_nothing_but_digits(value: str) -> None:
    text = "Invalid value for the parameter DelaySeconds."
    assert refusal({"DelaySeconds": value}) == ("InvalidAttributeValue", text)


def test_a_number_is_stored_without_leading_zeros() -> None:
    assert attributes.parse({"DelaySeconds": "007"}, {}) == {"DelaySeconds": "7"}


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_a_boolean_is_stored_in_lower_case(value: str) -> None:
    stored = attributes.parse({"SqsManagedSseEnabled": value}, {})
    assert stored == {"SqsManagedSseEnabled": "true"}


@pytest.mark.parametrize("value", ["", "yes", "1", " true"])
def test_a_boolean_is_true_or_false(value: str) -> None:
    text = "Invalid value for the parameter SqsManagedSseEnabled."
    assert refusal({"SqsManagedSseEnabled": value}) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize("value", ["k" * 2_049, "a\x00b", "\ufffe"], ids=["long", "NUL", "FFFE"])
def test_a_key_is_a_text_of_2048_characters(value: str) -> None:
    assert attributes.parse({"KmsMasterKeyId": "k" * 2_048}, {})["KmsMasterKeyId"] == "k" * 2_048
    text = "Invalid value for the parameter KmsMasterKeyId."
    assert refusal({"KmsMasterKeyId": value}) == ("InvalidAttributeValue", text)


@pytest.mark.parametrize("name", [*FACTS, "Foobar", "", "delayseconds", "All"])
def test_unknown_and_read_only_attributes_cannot_be_set(name: str) -> None:
    text = f"Unknown Attribute {name}."
    assert refusal({name: "1"}) == ("InvalidAttributeName", text)


def test_a_change_keeps_the_other_attributes_and_the_original() -> None:
    current = {"DelaySeconds": "5", "VisibilityTimeout": "1"}
    changed = attributes.parse({"DelaySeconds": "6"}, current)
    assert changed == {"DelaySeconds": "6", "VisibilityTimeout": "1"}
    assert current == {"DelaySeconds": "5", "VisibilityTimeout": "1"}


KEY = {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60", "SqsManagedSseEnabled": "false"}


@pytest.mark.parametrize(
    ("requested", "current", "stored"),
    [
        pytest.param(
            {"KmsMasterKeyId": "k", "KmsDataKeyReusePeriodSeconds": "60"},
            {"SqsManagedSseEnabled": "true"},
            KEY,
            id="a key switches SQS's own off",
        ),
        pytest.param(
            {"SqsManagedSseEnabled": "true"},
            KEY,
            {"SqsManagedSseEnabled": "true"},
            id="SQS's own drops the key",
        ),
        pytest.param(
            {"SqsManagedSseEnabled": "false"}, KEY, KEY, id="switching SQS's own off keeps the key"
        ),
        pytest.param(
            {"KmsMasterKeyId": ""},
            {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "false"},
            {"SqsManagedSseEnabled": "false"},
            id="clearing the key leaves none",
        ),
        pytest.param({"KmsMasterKeyId": ""}, {}, {}, id="clearing what was never set"),
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
def test_a_queue_has_one_encryption(
    requested: dict[str, str], current: dict[str, str], stored: dict[str, str]
) -> None:
    assert attributes.parse(requested, current) == stored


def test_two_encryptions_in_one_request_are_refused() -> None:
    requested = {"KmsMasterKeyId": "k", "SqsManagedSseEnabled": "True"}
    assert refusal(requested) == ("InvalidAttributeName", ONE_ENCRYPTION)


def test_the_typed_view_has_defaults_and_what_was_set() -> None:
    assert attributes.typed({}) == attributes.Attributes(
        delay_seconds=0,
        maximum_message_size=1_048_576,
        message_retention_period=345_600,
        receive_message_wait_time_seconds=0,
        visibility_timeout=30,
    )
    assert attributes.typed({"VisibilityTimeout": "7", **KEY}).visibility_timeout == 7


@pytest.mark.parametrize(
    ("requested", "difference"),
    [
        pytest.param({}, None, id="nothing asked"),
        pytest.param({"DelaySeconds": "5", "VisibilityTimeout": "30"}, None, id="equal or default"),
        pytest.param({"DelaySeconds": "05"}, None, id="equal once normalised"),
        pytest.param({"KmsMasterKeyId": ""}, None, id="clearing what is not set"),
        pytest.param({"KmsDataKeyReusePeriodSeconds": "300"}, None, id="a hidden default"),
        pytest.param({"SqsManagedSseEnabled": "TRUE"}, None, id="a boolean in capitals"),
        pytest.param({"DelaySeconds": "0"}, "DelaySeconds", id="default, but changed since"),
        pytest.param({"VisibilityTimeout": "31"}, "VisibilityTimeout", id="not the default"),
        pytest.param({"KmsMasterKeyId": "k"}, "KmsMasterKeyId", id="not set"),
    ],
)
def test_creating_a_queue_again_compares_only_what_is_asked(
    requested: dict[str, str], difference: str | None
) -> None:
    assert attributes.first_difference(requested, {"DelaySeconds": "5"}) == difference


@pytest.mark.parametrize("names", [None, []])
def test_nothing_is_shown_unless_asked_for(names: list[str] | None) -> None:
    assert attributes.describe(names, {}, FACTS) == {}


def test_all_shows_facts_and_defaults() -> None:
    assert attributes.describe(["All"], {}, FACTS) == {**FACTS, **DEFAULTS}


def test_all_shows_what_was_set() -> None:
    stored = {"DelaySeconds": "9", **KEY}
    shown = attributes.describe(["All"], stored, FACTS)
    assert shown == {**FACTS, **DEFAULTS, **stored}


def test_the_reuse_period_is_shown_with_a_key_only() -> None:
    names = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"]
    assert attributes.describe(names, {"KmsDataKeyReusePeriodSeconds": "60"}, {}) == {}
    assert attributes.describe(names, {"KmsMasterKeyId": "k"}, {}) == {
        "KmsMasterKeyId": "k",
        "KmsDataKeyReusePeriodSeconds": "300",
    }


def test_only_named_attributes_are_shown() -> None:
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
def test_known_attributes_without_a_value_are_left_out(name: str) -> None:
    assert attributes.describe([name], {}, FACTS) == {}


@pytest.mark.parametrize("name", ["Foobar", "", "all", "queuearn"])
def test_asking_for_unknown_attributes_is_refused(name: str) -> None:
    with pytest.raises(SQSError) as caught:
        attributes.describe(["All", name], {}, FACTS)
    assert caught.value.code == "InvalidAttributeName"
    assert caught.value.message == f"Unknown Attribute {name}."


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
def test_messages_are_counted_only_when_asked_for(names: list[str] | None, needed: bool) -> None:
    assert attributes.needs_counts(names) is needed
