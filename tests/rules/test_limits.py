"""SQS's numbers and alphabets: what passes, and the exact words for what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.actions import MessageAttributeValue, SendMessageBatchRequestEntry
from protocol.errors import SQSError
from queueserver.rules import message_parameters, queue_parameters, receive_parameters

BAD_NAME = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
BAD_CHARACTERS = (
    "Invalid characters found. Valid unicode characters are "
    "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
)
BAD_ENTRY_ID = (
    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
    "It can be at most 80 letters long."
)
BAD_FIFO_NAME = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length"
)
NOT_FOR_THIS_TYPE = "The request include parameter that is not valid for this queue type"
NO_GROUP = "The request must contain the parameter MessageGroupId."
NO_DEDUPLICATION = (
    "The queue should either have ContentBasedDeduplication enabled or "
    "MessageDeduplicationId provided explicitly"
)
KEY_LENGTH = "Tag keys must be between 1 and 128 characters in length."
TAG_ALPHABET = "unicode letters, digits, whitespace, or one of these symbols: _ . : / = + - @"
ENTRY = "SendMessageBatchRequestEntry"
IPV = "InvalidParameterValue"


def refusal(rule: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(SQSError) as caught:
        rule()
    return caught.value.code, caught.value.message


def invalid(parameter: str, value: object, reason: str) -> str:
    return f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"


@pytest.mark.parametrize("name", ["q", "A-z_09", "x" * 80], ids=["one", "alphabet", "eighty"])
def test_a_queue_name_has_1_to_80_letters_digits_hyphens_underscores(name: str) -> None:
    queue_parameters.check_queue_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("", "Queue name cannot be empty", id="empty"),
        pytest.param("x" * 81, BAD_NAME, id="too long"),
        pytest.param("a b", BAD_NAME, id="space"),
        pytest.param("a\n", BAD_NAME, id="newline at the end"),
        pytest.param("é", BAD_NAME, id="not ASCII"),
        pytest.param("٣", BAD_NAME, id="a digit, not ASCII"),
        pytest.param("q.fifo", BAD_NAME, id="fifo"),
    ],
)
def test_other_queue_names_are_refused(name: str, text: str) -> None:
    assert refusal(lambda: queue_parameters.check_queue_name(name)) == (IPV, text)


@pytest.mark.parametrize("name", ["q.fifo", "A-z_09.fifo", "x" * 75 + ".fifo"])
def test_a_fifo_queues_name_has_80_characters_with_its_suffix(name: str) -> None:
    queue_parameters.check_queue_name(name, is_fifo=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("", "Queue name cannot be empty", id="empty"),
        pytest.param("q", BAD_FIFO_NAME, id="no suffix"),
        pytest.param("q.FIFO", BAD_FIFO_NAME, id="suffix in capitals"),
        pytest.param(".fifo", BAD_FIFO_NAME, id="nothing but the suffix"),
        pytest.param("q.fifo.fifo", BAD_FIFO_NAME, id="suffix twice"),
        pytest.param("x" * 76 + ".fifo", BAD_FIFO_NAME, id="too long"),
        pytest.param("a b.fifo", BAD_FIFO_NAME, id="space"),
        pytest.param("q.fifo\n", BAD_FIFO_NAME, id="newline at the end"),
    ],
)
def test_other_names_of_fifo_queues_are_refused(name: str, text: str) -> None:
    assert refusal(lambda: queue_parameters.check_queue_name(name, is_fifo=True)) == (IPV, text)


ALLOWED = [0x09, 0x0A, 0x0D, 0x20, 0x7F, 0x80, 0x9F, 0xD7FF, 0xE000, 0xFFFD, 0x10000, 0x10FFFF]
FORBIDDEN = [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF]


@pytest.mark.parametrize("code_point", ALLOWED, ids=hex)
@pytest.mark.parametrize("around", ["", "ascii", "\u4e2d", "\U0001f600"])
def test_a_body_may_hold_every_character_of_xml(code_point: int, around: str) -> None:
    body = around + chr(code_point) + around
    message_parameters.check_message_contents(body)
    assert message_parameters.parse_message_body(body) == body


@pytest.mark.parametrize("code_point", FORBIDDEN, ids=hex)
@pytest.mark.parametrize("around", ["", "ascii", "\u4e2d", "\U0001f600"])
def test_a_body_may_hold_no_other_character(code_point: int, around: str) -> None:
    body = around + chr(code_point) + around
    refused = refusal(lambda: message_parameters.check_message_contents(body))
    assert refused == ("InvalidMessageContents", BAD_CHARACTERS)


@pytest.mark.parametrize(
    ("body", "position", "parameter"),
    [
        pytest.param(None, 0, "MessageBody", id="missing"),
        pytest.param("", 0, "MessageBody", id="empty"),
        pytest.param(None, 2, f"{ENTRY}.2.MessageBody", id="missing in a batch"),
        pytest.param("", 10, f"{ENTRY}.10.MessageBody", id="empty in a batch"),
    ],
)
def test_a_body_is_required(body: str | None, position: int, parameter: str) -> None:
    text = f"The request must contain the parameter {parameter}."
    assert refusal(lambda: message_parameters.parse_message_body(body, position)) == (
        "MissingParameter",
        text,
    )


STRING = MessageAttributeValue(data_type="String", string_value="World")
ACCENTED = MessageAttributeValue(data_type="String.é", string_value="né")
BLOB = MessageAttributeValue(data_type="Binary", binary_value=b"\x00\xff\x00")


@pytest.mark.parametrize(
    ("body", "attributes", "expected"),
    [
        pytest.param("hello", None, 5, id="ASCII"),
        pytest.param("é中😀", {}, 2 + 3 + 4, id="UTF-8"),
        pytest.param("x", {"Hello": STRING}, 1 + 5 + 6 + 5, id="name, type and value"),
        pytest.param("x", {"é": ACCENTED}, 1 + 2 + 9 + 3, id="attributes in UTF-8"),
        pytest.param("x", {"b": BLOB}, 1 + 1 + 6 + 3, id="binary counts raw"),
    ],
)
def test_a_message_is_as_long_as_its_body_and_attributes(
    body: str, attributes: dict[str, MessageAttributeValue] | None, expected: int
) -> None:
    assert message_parameters.message_bytes(body, attributes) == expected


@pytest.mark.parametrize(
    ("rule", "lowest", "highest", "parameter", "reason"),
    [
        pytest.param(
            message_parameters.check_delay_seconds,
            0,
            900,
            "DelaySeconds",
            "DelaySeconds must be >= 0 and <= 900.",
            id="delay",
        ),
        pytest.param(
            receive_parameters.parse_max_number_of_messages,
            1,
            10,
            "MaxNumberOfMessages",
            "Must be between 1 and 10, if provided.",
            id="messages of a receive",
        ),
        pytest.param(
            receive_parameters.check_wait_time_seconds,
            0,
            20,
            "WaitTimeSeconds",
            "Must be >= 0 and <= 20, if provided.",
            id="wait",
        ),
        pytest.param(
            receive_parameters.check_receive_visibility_timeout,
            0,
            43_200,
            "VisibilityTimeout",
            "Must be >= 0 and <= 43200, if provided.",
            id="visibility of a receive",
        ),
        pytest.param(
            receive_parameters.parse_visibility_timeout,
            0,
            43_200,
            "VisibilityTimeout",
            "Must be between 0 and 43200.",
            id="visibility",
        ),
        pytest.param(
            receive_parameters.check_entry_visibility_timeout,
            0,
            43_200,
            "VisibilityTimeout",
            "VisibilityTimeout must be an integer between 0 and 43200.",
            id="visibility in a batch",
        ),
    ],
)
def test_a_number_keeps_to_its_range(
    rule: Callable[[int], object], lowest: int, highest: int, parameter: str, reason: str
) -> None:
    rule(lowest)
    rule(highest)
    for value in (lowest - 1, highest + 1, -(10**18), 10**18):
        text = invalid(parameter, value, reason)
        assert refusal(lambda value=value: rule(value)) == (IPV, text)  # type: ignore[misc]


def test_a_receive_takes_one_message_unless_told_otherwise() -> None:
    assert receive_parameters.parse_max_number_of_messages(None) == 1
    assert receive_parameters.parse_max_number_of_messages(7) == 7


def test_a_message_stays_hidden_for_12_hours_at_most() -> None:
    receive_parameters.check_total_visibility(0, 43_199)
    receive_parameters.check_total_visibility(1_000, 43_199)
    reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]."
    text = invalid("VisibilityTimeout", 43_199, reason)
    assert refusal(lambda: receive_parameters.check_total_visibility(1_001, 43_199)) == (IPV, text)
    text = invalid("VisibilityTimeout", 43_200, reason)
    assert refusal(lambda: receive_parameters.check_total_visibility(0, 43_200)) == (IPV, text)


def test_sizes_are_inclusive_and_each_rule_has_its_own_words() -> None:
    message_parameters.check_message_size(1_024, 1_024)
    message_parameters.check_entry_size(1_024, 1_024)
    message_parameters.check_batch_size(1_048_576)
    shorter = "Reason: Message must be shorter than 1024 bytes."
    assert refusal(lambda: message_parameters.check_message_size(1_025, 1_024)) == (
        IPV,
        f"One or more parameters are invalid. {shorter}",
    )
    assert refusal(lambda: message_parameters.check_entry_size(1_025, 1_024)) == (
        IPV,
        f"One or more parameters cannot be validated. {shorter}",
    )
    assert refusal(lambda: message_parameters.check_batch_size(1_048_577)) == (
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
    )


ALPHABET = "".join(map(chr, range(0x21, 0x7F)))


@pytest.mark.parametrize(
    ("rule", "parameter"),
    [
        pytest.param(message_parameters.check_message_group_id, "MessageGroupId", id="group"),
        pytest.param(
            message_parameters.check_message_deduplication_id,
            "MessageDeduplicationId",
            id="deduplication",
        ),
        pytest.param(
            receive_parameters.check_receive_request_attempt_id,
            "ReceiveRequestAttemptId",
            id="attempt",
        ),
    ],
)
def test_an_id_has_1_to_128_letters_digits_and_punctuation(
    rule: Callable[[str], None], parameter: str
) -> None:
    for good in ("a", ALPHABET, "x" * 128):
        rule(good)
    words = f"{parameter} can only include alphanumeric and punctuation characters."
    for bad in ("", "x" * 129, "a b", "é", "a\n", "\x7f"):
        text = invalid(parameter, bad, f"{words} 1 to 128 in length.")
        assert refusal(lambda bad=bad: rule(bad)) == (IPV, text)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("rule", "parameter"),
    [
        pytest.param(message_parameters.check_message_group_id, "MessageGroupId", id="group"),
        pytest.param(
            message_parameters.check_message_deduplication_id,
            "MessageDeduplicationId",
            id="deduplication",
        ),
    ],
)
def test_a_bad_id_of_a_batchs_entry_is_told_in_fewer_words(
    rule: Callable[..., None], parameter: str
) -> None:
    rule(ALPHABET, in_batch=True)
    words = "can only include alphanumeric and punctuation characters. 1 to 128 in length"
    assert refusal(lambda: rule("a b", in_batch=True)) == (IPV, f"{parameter} {words}")


def test_an_empty_id_leaves_two_spaces_in_the_text() -> None:
    _, text = refusal(lambda: message_parameters.check_message_group_id(""))
    assert text.startswith("Value  for parameter MessageGroupId is invalid.")


def entries(*ids: str | None) -> list[SendMessageBatchRequestEntry]:
    return [SendMessageBatchRequestEntry(id=one) for one in ids]


@pytest.mark.parametrize("batch", [entries("1"), entries(*"abcdefghij"), entries("x" * 80, "-_")])
def test_a_batch_has_1_to_10_entries_with_distinct_ids(
    batch: list[SendMessageBatchRequestEntry],
) -> None:
    message_parameters.check_batch_entries(batch, ENTRY)


@pytest.mark.parametrize(
    ("batch", "code", "text"),
    [
        pytest.param(
            None,
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
            id="absent",
        ),
        pytest.param(
            [],
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one SendMessageBatchRequestEntry in the request.",
            id="empty",
        ),
        pytest.param(
            entries(*("same",) * 11),
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10. You have sent 11.",
            id="too many, before their ids",
        ),
        pytest.param(
            entries("a", None),
            "MissingParameter",
            "The request must contain the parameter SendMessageBatchRequestEntry.2.Id.",
            id="id missing",
        ),
        *(
            pytest.param(
                entries("a", "a", bad),
                "AWS.SimpleQueueService.InvalidBatchEntryId",
                BAD_ENTRY_ID,
                id=f"id {why}, before repeated ones",
            )
            for why, bad in {"empty": "", "long": "x" * 81, "dot": "a.b", "line": "a\n"}.items()
        ),
        pytest.param(
            entries("a", "b", "b", "a"),
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "Id b repeated.",
            id="id repeated",
        ),
    ],
)
def test_other_batches_are_refused_whole(
    batch: list[SendMessageBatchRequestEntry] | None, code: str, text: str
) -> None:
    assert refusal(lambda: message_parameters.check_batch_entries(batch, ENTRY)) == (code, text)


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({}, id="none"),
        pytest.param({"k": ""}, id="empty value"),
        pytest.param({"k" * 128: "v" * 256}, id="longest"),
        pytest.param({"é中٣½ _.:/=+-@": "é中٣½ _.:/=+-@\n\t"}, id="alphabet"),
        pytest.param({"awsome": "aws:"}, id="reserved text elsewhere"),
    ],
)
def test_tags_are_letters_digits_whitespace_and_some_symbols(tags: dict[str, str]) -> None:
    queue_parameters.check_tags(tags)


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        pytest.param({"": "v"}, KEY_LENGTH, id="empty key"),
        pytest.param({"k" * 129: "v"}, KEY_LENGTH, id="long key"),
        pytest.param({"a!": "v"}, f"Tag keys may only contain {TAG_ALPHABET}", id="key"),
        pytest.param({"a\x0c": "v"}, f"Tag keys may only contain {TAG_ALPHABET}", id="feed"),
        pytest.param({"k": "!"}, f"Tag values may only contain {TAG_ALPHABET}", id="value"),
        pytest.param(
            {"k": "v" * 257},
            "Tag values must be between 0 and 256 characters in length.",
            id="long value",
        ),
        pytest.param({"AWS:x": "v"}, "Tag keys that begin with aws: are reserved.", id="reserved"),
    ],
)
def test_other_tags_are_refused(tags: dict[str, str], text: str) -> None:
    assert refusal(lambda: queue_parameters.check_tags(tags)) == (IPV, text)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        pytest.param([], KEY_LENGTH, id="none"),
        pytest.param(["k", ""], KEY_LENGTH, id="empty"),
        pytest.param(["#"], f"Tag keys may only contain {TAG_ALPHABET}", id="alphabet"),
    ],
)
def test_other_tag_keys_are_refused(keys: list[str], text: str) -> None:
    assert refusal(lambda: queue_parameters.parse_tag_keys(keys)) == (IPV, text)


def test_a_queue_has_50_tags_at_most() -> None:
    queue_parameters.check_tag_count("orders", 50)
    text = "Too many tags added for queue orders."
    assert refusal(lambda: queue_parameters.check_tag_count("orders", 51)) == (IPV, text)


def test_a_page_has_1_to_1000_results_and_1000_by_default() -> None:
    assert [queue_parameters.parse_max_results(value) for value in (None, 1, 1_000)] == [
        1_000,
        1,
        1_000,
    ]
    text = (
        "Value for parameter MaxResults is invalid. "
        "Reason: MaxResults must be an integer between 1 and 1000."
    )
    for value in (0, 1_001, -1):
        assert refusal(lambda value=value: queue_parameters.parse_max_results(value)) == (IPV, text)  # type: ignore[misc]


def test_a_token_needs_max_results() -> None:
    queue_parameters.check_next_token(None, None)
    queue_parameters.check_next_token("token", 1)
    text = "MaxResults is a mandatory parameter when you provide a value for NextToken."
    assert refusal(lambda: queue_parameters.check_next_token("token", None)) == (IPV, text)


def test_a_fifo_queues_message_has_no_delay_of_its_own() -> None:
    message_parameters.check_fifo_delay(0)
    for value in (1, 900):
        text = invalid("DelaySeconds", value, f"{NOT_FOR_THIS_TYPE}.")
        assert refusal(lambda value=value: message_parameters.check_fifo_delay(value)) == (
            IPV,
            text,
        )  # type: ignore[misc]
    for value in (-1, 901):
        text = invalid("DelaySeconds", value, "DelaySeconds must be >= 0 and <= 900.")
        assert refusal(lambda value=value: message_parameters.check_fifo_delay(value)) == (
            IPV,
            text,
        )  # type: ignore[misc]


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize(
    ("deduplication_id", "content_based"), [("d", False), ("d", True), (None, True)]
)
def test_a_fifo_queues_message_has_a_group_and_can_be_known_again(
    deduplication_id: str | None, content_based: bool, in_batch: bool
) -> None:
    message_parameters.check_fifo_message("g", deduplication_id, content_based, in_batch=in_batch)


@pytest.mark.parametrize(
    ("group_id", "in_batch", "code", "text"),
    [
        pytest.param(None, False, "MissingParameter", NO_GROUP, id="no group"),
        pytest.param(None, True, IPV, NO_GROUP, id="no group in a batch"),
        pytest.param("g", False, IPV, NO_DEDUPLICATION, id="nothing to know it by"),
        pytest.param("g", True, IPV, NO_DEDUPLICATION, id="nothing to know it by in a batch"),
    ],
)
def test_a_fifo_queue_refuses_other_messages(
    group_id: str | None, in_batch: bool, code: str, text: str
) -> None:
    rule = lambda: message_parameters.check_fifo_message(group_id, None, False, in_batch=in_batch)  # noqa: E731
    assert refusal(rule) == (code, text)


def test_a_standard_queue_does_not_deduplicate() -> None:
    for in_batch in (False, True):
        message_parameters.check_standard_message(None, in_batch=in_batch)
    text = invalid("MessageDeduplicationId", "d", f"{NOT_FOR_THIS_TYPE}.")
    assert refusal(lambda: message_parameters.check_standard_message("d", in_batch=False)) == (
        IPV,
        text,
    )
    expected = (IPV, NOT_FOR_THIS_TYPE)
    assert (
        refusal(lambda: message_parameters.check_standard_message("d", in_batch=True)) == expected
    )


def test_what_time_refuses_is_worded_by_the_value() -> None:
    reason = "The receipt handle has expired."
    assert receive_parameters.expired_receipt_error("h").message == invalid(
        "ReceiptHandle", "h", reason
    )
    reason = (
        "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    )
    text = invalid("ReceiveRequestAttemptId", "a", reason)
    assert receive_parameters.expired_attempt_error("a").message == text
