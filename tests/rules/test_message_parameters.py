"""A sent message and the entries of a batch: what is allowed, and the text of each error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.actions import MessageAttributeValue, SendMessageBatchRequestEntry
from queueserver.context import RequestContext
from queueserver.rules import message_parameters
from queueserver.rules.attributes import Attributes
from queueserver.rules.new_message import prepare_message
from tests.rules.rejections import IPV, invalid, rejection

BAD_CHARACTERS = (
    "Invalid characters found. Valid unicode characters are "
    "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
)
BAD_ENTRY_ID = (
    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
    "It can be at most 80 letters long."
)
NOT_FOR_THIS_TYPE = "The request include parameter that is not valid for this queue type"
NO_GROUP = "The request must contain the parameter MessageGroupId."
NO_DEDUPLICATION = (
    "The queue should either have ContentBasedDeduplication enabled or "
    "MessageDeduplicationId provided explicitly"
)
ENTRY = "SendMessageBatchRequestEntry"
CONTEXT = RequestContext("000000000000", "us-east-1", "")
QUEUE = Attributes(0, 1_024, 345_600, 0, 30)


def prepare(
    body: str | None, *, size: int = 1, position: int = 0, deduplication_id: str | None = None
) -> None:
    """Prepare a message for a standard queue whose messages have at most 1,024 bytes."""
    entry = SendMessageBatchRequestEntry("a", body, message_deduplication_id=deduplication_id)
    prepare_message(CONTEXT, QUEUE, entry, size, position)


ALLOWED = [0x09, 0x0A, 0x0D, 0x20, 0x7F, 0x80, 0x9F, 0xD7FF, 0xE000, 0xFFFD, 0x10000, 0x10FFFF]
FORBIDDEN = [*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF]


@pytest.mark.parametrize("code_point", ALLOWED, ids=hex)
@pytest.mark.parametrize("around", ["", "ascii", "\u4e2d", "\U0001f600"])
def test_body_can_contain_every_xml_character(code_point: int, around: str) -> None:
    body = around + chr(code_point) + around
    assert message_parameters.encode_message_body(body) == body.encode()


@pytest.mark.parametrize("code_point", FORBIDDEN, ids=hex)
@pytest.mark.parametrize("around", ["", "ascii", "\u4e2d", "\U0001f600"])
def test_body_with_another_character_is_rejected(code_point: int, around: str) -> None:
    body = around + chr(code_point) + around
    rejected = rejection(message_parameters.encode_message_body, body)
    assert rejected == ("InvalidMessageContents", BAD_CHARACTERS)


@pytest.mark.parametrize(
    ("body", "position", "parameter"),
    [
        pytest.param(None, 0, "MessageBody", id="missing"),
        pytest.param("", 0, "MessageBody", id="empty"),
        pytest.param(None, 2, f"{ENTRY}.2.MessageBody", id="missing in a batch"),
        pytest.param("", 10, f"{ENTRY}.10.MessageBody", id="empty in a batch"),
    ],
)
def test_missing_or_empty_body_is_rejected(body: str | None, position: int, parameter: str) -> None:
    text = f"The request must contain the parameter {parameter}."
    assert rejection(prepare, body, position=position) == ("MissingParameter", text)


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
        pytest.param("x", {str(n): BLOB for n in range(10)}, 1 + 10 * 10, id="ten attributes"),
        pytest.param("x", {str(n): BLOB for n in range(11)}, 1, id="more attributes than allowed"),
        pytest.param(None, {"b": BLOB}, 10, id="no body"),
    ],
)
def test_message_size_counts_body_and_attributes(
    body: str, attributes: dict[str, MessageAttributeValue] | None, expected: int
) -> None:
    assert message_parameters.message_bytes(body, attributes) == expected


def test_size_limits_are_inclusive_and_have_separate_texts() -> None:
    for position in (0, 1):
        prepare("x", size=1_024, position=position)
    message_parameters.check_batch_size(1_048_576)
    shorter = "Reason: Message must be shorter than 1024 bytes."
    assert rejection(prepare, "x", size=1_025) == (
        IPV,
        f"One or more parameters are invalid. {shorter}",
    )
    assert rejection(prepare, "x", size=1_025, position=1) == (
        IPV,
        f"One or more parameters cannot be validated. {shorter}",
    )
    assert rejection(message_parameters.check_batch_size, 1_048_577) == (
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
    )


def entries(*ids: str | None) -> list[SendMessageBatchRequestEntry]:
    return [SendMessageBatchRequestEntry(id=one) for one in ids]


@pytest.mark.parametrize(
    "batch",
    [entries("1"), entries(*"abcdefghij"), entries("x" * 80, "-_"), entries("-", "_", "a-1")],
)
def test_batch_has_1_to_10_entries_with_distinct_ids(
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
            for why, bad in {
                "empty": "",
                "long": "x" * 81,
                "dot": "a.b",
                "line": "a\n",
                "accent": "\u00e9",
            }.items()
        ),
        pytest.param(
            entries("a", "b", "b", "a"),
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "Id b repeated.",
            id="id repeated",
        ),
    ],
)
def test_invalid_batch_is_rejected_as_a_whole(
    batch: list[SendMessageBatchRequestEntry] | None, code: str, text: str
) -> None:
    assert rejection(message_parameters.check_batch_entries, batch, ENTRY) == (code, text)


def test_delay_outside_0_to_900_seconds_is_rejected() -> None:
    message_parameters.check_delay_seconds(0)
    message_parameters.check_delay_seconds(900)
    reason = "DelaySeconds must be >= 0 and <= 900."
    for value in (-1, 901, -(10**18), 10**18):
        text = invalid("DelaySeconds", value, reason)
        assert rejection(message_parameters.check_delay_seconds, value) == (IPV, text)


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
    ],
)
def test_id_is_1_to_128_letters_digits_and_punctuation(
    rule: Callable[[str], None], parameter: str
) -> None:
    for good in ("a", ALPHABET, "x" * 128):
        rule(good)
    words = f"{parameter} can only include alphanumeric and punctuation characters."
    for bad in ("", "x" * 129, "a b", "é", "a\n", "\x7f"):
        text = invalid(parameter, bad, f"{words} 1 to 128 in length.")
        assert rejection(rule, bad) == (IPV, text)


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
def test_invalid_id_in_a_batch_entry_has_a_shorter_text(
    rule: Callable[..., None], parameter: str
) -> None:
    rule(ALPHABET, in_batch=True)
    words = "can only include alphanumeric and punctuation characters. 1 to 128 in length"
    assert rejection(rule, "a b", in_batch=True) == (IPV, f"{parameter} {words}")


def test_empty_id_leaves_two_spaces_in_the_text() -> None:
    _, text = rejection(message_parameters.check_message_group_id, "")
    assert text.startswith("Value  for parameter MessageGroupId is invalid.")


def test_message_in_a_fifo_queue_cannot_have_its_own_delay() -> None:
    message_parameters.check_fifo_delay(0)
    for value in (1, 900):
        text = invalid("DelaySeconds", value, f"{NOT_FOR_THIS_TYPE}.")
        assert rejection(message_parameters.check_fifo_delay, value) == (IPV, text)
    for value in (-1, 901):
        text = invalid("DelaySeconds", value, "DelaySeconds must be >= 0 and <= 900.")
        assert rejection(message_parameters.check_fifo_delay, value) == (IPV, text)


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize(
    ("deduplication_id", "content_based"), [("d", False), ("d", True), (None, True)]
)
def test_fifo_message_has_a_group_and_a_deduplication_id_or_content_based_deduplication(
    deduplication_id: str | None, content_based: bool, in_batch: bool
) -> None:
    message_parameters.check_fifo_message("g", deduplication_id, content_based, in_batch=in_batch)


@pytest.mark.parametrize(
    ("group_id", "in_batch", "code", "text"),
    [
        pytest.param(None, False, "MissingParameter", NO_GROUP, id="no group"),
        pytest.param(None, True, IPV, NO_GROUP, id="no group in a batch"),
        pytest.param("g", False, IPV, NO_DEDUPLICATION, id="no deduplication id"),
        pytest.param("g", True, IPV, NO_DEDUPLICATION, id="no deduplication id in a batch"),
    ],
)
def test_fifo_message_without_group_or_deduplication_id_is_rejected(
    group_id: str | None, in_batch: bool, code: str, text: str
) -> None:
    check = message_parameters.check_fifo_message
    assert rejection(check, group_id, None, False, in_batch=in_batch) == (code, text)


def test_deduplication_id_is_rejected_in_a_standard_queue() -> None:
    text = invalid("MessageDeduplicationId", "d", f"{NOT_FOR_THIS_TYPE}.")
    assert rejection(prepare, "x", deduplication_id="d") == (IPV, text)
    expected = (IPV, NOT_FOR_THIS_TYPE)
    assert rejection(prepare, "x", deduplication_id="d", position=1) == expected
