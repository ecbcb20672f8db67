"""Patterns: `*` and `?` against a simple reference, and the number of steps for a text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueserver.policies.patterns import (
    Pattern,
    Wildcard,
    compile_arn_pattern,
    compile_resource_pattern,
    parse_wildcards,
)
from tests.policies.requests import ORDERS

SMALL = st.text(alphabet="ab:*?", max_size=9)
TEXTS = st.text(alphabet="ab:", max_size=9)


def reference(pattern: str, text: str) -> bool:
    """Return whether a text matches, by trying everything, in exponential time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return reference(pattern[1:], text) or (bool(text) and reference(pattern, text[1:]))
    return (
        bool(text)
        and (pattern[0] == "?" or pattern[0] == text[0])
        and reference(pattern[1:], text[1:])
    )


def by_segments(pattern: list[str], text: list[str], *, crosses: bool) -> bool:
    """Compare segment by segment; a `*` that ends a segment may take further segments."""
    if not pattern or not text:
        return not pattern and not text
    first, rest = pattern[0], pattern[1:]
    longest = len(text) if crosses and first.endswith("*") else 1
    return any(
        reference(first, text[0]) and by_segments(rest, text[count:], crosses=crosses)
        for count in range(1, longest + 1)
    )


@given(SMALL, TEXTS)
def test_pattern_matches_as_the_reference_does(pattern: str, text: str) -> None:
    assert Pattern(parse_wildcards(pattern)).matches(text) is reference(pattern, text)


@given(SMALL, TEXTS)
def test_resource_pattern_matches_segment_by_segment(pattern: str, text: str) -> None:
    expected = by_segments(pattern.split(":"), text.split(":"), crosses=True)
    assert compile_resource_pattern(parse_wildcards(pattern)).matches(text) is expected


@given(
    st.lists(SMALL.map(lambda text: text.replace(":", "")), min_size=6, max_size=6),
    st.lists(st.text(alphabet="ab", max_size=3), min_size=6, max_size=8),
)
def test_arn_pattern_matches_part_by_part(parts: list[str], found: list[str]) -> None:
    pattern = compile_arn_pattern(parse_wildcards(":".join(parts)))
    assert pattern is not None
    text = ":".join(found)
    expected = by_segments(parts, text.split(":", 5), crosses=False)
    assert pattern.matches(text) is expected


@given(st.text(), st.text())
def test_pattern_without_wildcards_matches_itself_only(pattern: str, text: str) -> None:
    compiled = Pattern((pattern,) if pattern else ())
    assert compiled.matches(pattern)
    assert compiled.matches(text) is (text == pattern)


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


class CountedText(str):
    # A text that counts how many of its characters are read.

    __slots__ = ("read",)

    def __iter__(self) -> Iterator[str]:
        self.read = 0
        for position in range(len(self)):
            self.read += 1
            yield self[position]


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
def test_each_character_of_a_text_is_read_once(pattern: str, text: str) -> None:
    counted = CountedText(text)
    Pattern(parse_wildcards(pattern)).matches(counted)
    assert counted.read <= len(text)


@pytest.mark.parametrize("pattern", ["order?", "orders", "orders?", "*s", "o*"])
def test_line_break_is_a_character_like_any_other(pattern: str) -> None:
    compiled = Pattern(parse_wildcards(pattern))
    assert compiled.matches("orders\n") is (pattern in {"orders?", "o*"})
