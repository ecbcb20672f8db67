"""Queue names, tags and pages of queue lists: what is allowed, and the text of each error."""

from __future__ import annotations

import pytest

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
