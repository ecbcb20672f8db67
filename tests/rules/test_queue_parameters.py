"""Queue names, tags and pages of queue lists: what is allowed, and the text of each error."""

from __future__ import annotations

import pytest

from protocol.names import parse_arn
from queueserver.rules import queue_parameters
from tests.rules.rejections import IPV, rejection

BAD_NAME = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
BAD_FIFO_NAME = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length"
)
KEY_LENGTH = "Tag keys must be between 1 and 128 characters in length."
TAG_ALPHABET = "unicode letters, digits, whitespace, or one of these symbols: _ . : / = + - @"


@pytest.mark.parametrize("name", ["q", "A-z_09", "x" * 80], ids=["one", "alphabet", "eighty"])
def test_queue_name_is_1_to_80_letters_digits_hyphens_and_underscores(name: str) -> None:
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
def test_invalid_queue_names_are_rejected(name: str, text: str) -> None:
    assert rejection(queue_parameters.check_queue_name, name) == (IPV, text)


@pytest.mark.parametrize(
    ("name", "is_name", "is_prefix"),
    [
        pytest.param("", False, True, id="empty"),
        pytest.param("q", True, True, id="standard"),
        pytest.param("q.fifo", True, True, id="FIFO"),
        pytest.param("q.fi", False, True, id="part of a FIFO name"),
        pytest.param("x" * 80, True, True, id="longest"),
        pytest.param("x" * 81, False, False, id="too long"),
        pytest.param("x" * 76 + ".fifo", False, False, id="too long with its suffix"),
        pytest.param("q.fifo.fifo", False, True, id="two suffixes"),
        pytest.param("é", False, False, id="not ASCII"),
        pytest.param("q\n", False, False, id="newline at the end"),
        pytest.param("q\x00", False, False, id="NUL"),
    ],
)
def test_text_can_be_the_name_of_a_queue_or_begin_one(
    name: str, is_name: bool, is_prefix: bool
) -> None:
    assert queue_parameters.is_queue_name(name) is is_name
    assert queue_parameters.is_queue_name_prefix(name) is is_prefix


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("arn:aws:sqs:us-east-1:000000000000:q", True, id="standard"),
        pytest.param("arn:aws-us-gov:sqs:us-gov-west-1:111111111111:q.fifo", True, id="GovCloud"),
        pytest.param(f"arn:aws:sqs:{'r' * 63}:000000000000:{'q' * 80}", True, id="longest"),
        pytest.param("arn:aws:sns:us-east-1:000000000000:q", False, id="another service"),
        pytest.param("arn:azure:sqs:us-east-1:000000000000:q", False, id="another cloud"),
        pytest.param("arn:aws:sqs::000000000000:q", False, id="no region"),
        pytest.param(f"arn:aws:sqs:{'r' * 64}:000000000000:q", False, id="long region"),
        pytest.param("arn:aws:sqs:us-east-1:0:q", False, id="short account"),
        pytest.param("arn:aws:sqs:us-east-1:000000000000:q*", False, id="invalid name"),
        pytest.param(f"arn:aws:sqs:us-east-1:000000000000:{'q' * 81}", False, id="long name"),
    ],
)
def test_queue_arn_has_an_account_a_region_and_a_queue_name(text: str, expected: bool) -> None:
    arn = parse_arn(text)
    assert arn is not None
    assert queue_parameters.is_queue_arn(arn) is expected


@pytest.mark.parametrize("name", ["q.fifo", "A-z_09.fifo", "x" * 75 + ".fifo"])
def test_fifo_queue_name_is_at_most_80_characters_with_its_suffix(name: str) -> None:
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
def test_invalid_fifo_queue_names_are_rejected(name: str, text: str) -> None:
    assert rejection(queue_parameters.check_queue_name, name, is_fifo=True) == (IPV, text)


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
def test_invalid_tags_are_rejected(tags: dict[str, str], text: str) -> None:
    assert rejection(queue_parameters.check_tags, tags) == (IPV, text)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        pytest.param([], KEY_LENGTH, id="none"),
        pytest.param(["k", ""], KEY_LENGTH, id="empty"),
        pytest.param(["#"], f"Tag keys may only contain {TAG_ALPHABET}", id="alphabet"),
    ],
)
def test_invalid_tag_keys_are_rejected(keys: list[str], text: str) -> None:
    assert rejection(queue_parameters.parse_tag_keys, keys) == (IPV, text)


def test_queue_has_at_most_50_tags() -> None:
    queue_parameters.check_tag_count("orders", 50)
    text = "Too many tags added for queue orders."
    assert rejection(queue_parameters.check_tag_count, "orders", 51) == (IPV, text)


def test_page_has_1_to_1000_results_and_1000_by_default() -> None:
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
        assert rejection(queue_parameters.parse_max_results, value) == (IPV, text)


def test_page_token_without_max_results_is_rejected() -> None:
    queue_parameters.check_next_token(None, None)
    queue_parameters.check_next_token("token", 1)
    text = "MaxResults is a mandatory parameter when you provide a value for NextToken."
    assert rejection(queue_parameters.check_next_token, "token", None) == (IPV, text)
