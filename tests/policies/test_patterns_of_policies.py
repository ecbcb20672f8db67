"""Patterns with `*` and `?`: their parts, and the number of steps for a text.

The properties in tests/fuzz/test_policies.py compare them with a simple reference.
"""

from __future__ import annotations

import pytest

from queueserver.policies.patterns import (
    IndexedText,
    Pattern,
    Wildcard,
    compile_arn_pattern,
    parse_wildcards,
)
from tests.policies.requests import ORDERS


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("abc", ("abc",)),
        ("*", (Wildcard.TEXT,)),
        ("a*?b", ("a", Wildcard.TEXT, Wildcard.CHARACTER, "b")),
        ("[a]", ("[a]",)),
    ],
)
def test_wildcards_are_parsed(text: str, parts: tuple[object, ...]) -> None:
    assert parse_wildcards(text) == parts


@pytest.mark.parametrize("text", ["", "arn", "arn:aws:sqs:*:*", "*"])
def test_text_without_six_parts_is_no_pattern_of_an_arn(text: str) -> None:
    assert compile_arn_pattern(parse_wildcards(text)) is None


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("*a" * 4_000 + "b", id="4,000 stars"),
        pytest.param("a*" * 14 + "b", id="14 stars"),
        pytest.param("*" * 8_000, id="8,000 stars in a row"),
        pytest.param("?*" * 4_000, id="4,000 question marks and stars"),
        pytest.param("*" + "a" * 4_000 + "b", id="long text after a star"),
        pytest.param("*" + "?" * 4_000 + "b", id="many question marks after a star"),
    ],
)
@pytest.mark.parametrize("text", ["a" * 8_000, "a" * 7_999 + "c", ORDERS, ""])
def test_each_character_of_a_pattern_is_read_once(pattern: str, text: str) -> None:
    steps = 0

    class CountedText(IndexedText):
        def positions(self, character: str) -> int:
            nonlocal steps
            steps += 1
            return super().positions(character)

    Pattern(parse_wildcards(pattern)).matches(CountedText(text))
    assert steps <= len(pattern)


@pytest.mark.parametrize("pattern", ["order?", "orders", "orders?", "*s", "o*"])
def test_line_break_is_a_character_like_any_other(pattern: str) -> None:
    compiled = Pattern(parse_wildcards(pattern))
    assert compiled.matches(IndexedText("orders\n")) is (pattern in {"orders?", "o*"})
