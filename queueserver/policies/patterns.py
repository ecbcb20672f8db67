"""Patterns: texts with `*` and `?`, matched without backtracking.

The matcher reads the pattern once. It keeps the set of all positions in the text that the pattern
can have reached so far, as the bits of one integer: bit 3 stands for the place after three
characters. A literal character or `?` moves the whole set by one place, and `*` extends it. So
the time grows with the length of the pattern, whatever the text. A regular expression or a
recursive matcher could take exponential time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TypeAlias

_ARN_COLONS = 5
"""The colons that separate the six parts of an ARN. The last part may have further colons."""


class Wildcard(enum.Enum):
    """A part of a pattern that is not literal text."""

    CHARACTER = "any character"
    TEXT = "any text, which may be empty"
    SEGMENT_CHARACTER = "any character but a colon"
    SEGMENT_TEXT = "any text without a colon, which may be empty"


WILDCARDS = {"?": Wildcard.CHARACTER, "*": Wildcard.TEXT}
_IN_SEGMENT = {
    Wildcard.CHARACTER: Wildcard.SEGMENT_CHARACTER,
    Wildcard.TEXT: Wildcard.SEGMENT_TEXT,
}

PatternPart: TypeAlias = str | Wildcard

_REPEATABLE = {Wildcard.TEXT, Wildcard.SEGMENT_TEXT}
"""Wildcards that mean the same when they are repeated."""


def parse_wildcards(text: str) -> tuple[PatternPart, ...]:
    """Return the parts of a text in which each `*` and `?` is a wildcard."""
    parts: list[PatternPart] = []
    literal_start = 0
    for position, character in enumerate(text):
        if character in WILDCARDS:
            if literal_start < position:
                parts.append(text[literal_start:position])
            parts.append(WILDCARDS[character])
            literal_start = position + 1
    if literal_start < len(text):
        parts.append(text[literal_start:])
    return tuple(parts)


class IndexedText:
    """A text, and the positions of its characters as bits of integers."""

    __slots__ = ("_positions", "everywhere", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.everywhere = (1 << len(text)) - 1
        self._positions: dict[str, int] = {}

    def positions(self, character: str) -> int:
        """Return the positions of a character."""
        found = self._positions.get(character)
        if found is None:
            bits = bytearray((len(self.text) >> 3) + 1)
            place = self.text.find(character)
            while place >= 0:
                bits[place >> 3] |= 1 << (place & 7)
                place = self.text.find(character, place + 1)
            found = self._positions[character] = int.from_bytes(bits, "little")
        return found

    def in_segments(self) -> int:
        """Return the positions of all characters but colons."""
        return self.everywhere & ~self.positions(":")


class Pattern:
    """A pattern, ready to be compared with texts."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[PatternPart]) -> None:
        # A `*` after another adds a step and nothing else.
        self._parts: list[PatternPart] = []
        for part in parts:
            if part not in _REPEATABLE or self._parts[-1:] != [part]:
                self._parts.append(part)

    def matches(self, indexed: IndexedText) -> bool:
        """Return whether the whole text matches."""
        reached = 1
        for part in self._parts:
            if isinstance(part, str):
                reached = _after_literal(part, indexed, reached)
            elif part is Wildcard.CHARACTER:
                reached = (reached & indexed.everywhere) << 1
            elif part is Wildcard.SEGMENT_CHARACTER:
                reached = (reached & indexed.in_segments()) << 1
            elif part is Wildcard.TEXT:
                reached = _extend(reached, indexed.everywhere)
            else:
                reached = _extend(reached, indexed.in_segments())
            if not reached:
                return False
        return bool(reached >> len(indexed.text))


def _after_literal(literal: str, indexed: IndexedText, reached: int) -> int:
    """Return the places after a literal text that begins at a place reached."""
    if reached & (reached - 1) == 0:  # a single place, as before the first `*`
        place = reached.bit_length() - 1
        return reached << len(literal) if indexed.text.startswith(literal, place) else 0
    for character in literal:
        reached = (reached & indexed.positions(character)) << 1
        if not reached:
            break
    return reached


def _extend(reached: int, characters: int) -> int:
    """Return the places reached, and those after any number of the characters that follow.

    The addition carries a bit through the run of characters that begins there.
    """
    return (((reached & characters) + characters) ^ characters) | reached


def compile_arn_pattern(parts: Sequence[PatternPart]) -> Pattern | None:
    """Return the pattern for an ARN in a condition, or None if the parts are not those of an ARN.

    AWS compares the six parts of the ARN one by one: a wildcard does not match the colons
    between them.
    """
    narrowed: list[PatternPart] = []
    colons = 0
    for part in parts:
        if isinstance(part, str):
            colons += part.count(":")
            narrowed.append(part)
        else:
            narrowed.append(part if colons >= _ARN_COLONS else _IN_SEGMENT[part])
    return Pattern(narrowed) if colons >= _ARN_COLONS else None


def compile_resource_pattern(parts: Sequence[PatternPart]) -> Pattern:
    """Return the pattern for an ARN in the element Resource.

    A wildcard matches within a segment, except a `*` at the end of a segment: AWS lets it match
    any number of further segments too.
    """
    narrowed: list[PatternPart] = []
    for part, following in zip_longest(parts, parts[1:], fillvalue=":"):
        ends_segment = isinstance(following, str) and following.startswith(":")
        if isinstance(part, str) or (part is Wildcard.TEXT and ends_segment):
            narrowed.append(part)
        else:
            narrowed.append(_IN_SEGMENT[part])
    return Pattern(narrowed)


def is_arn(text: str) -> bool:
    """Return whether a text has the six parts of an ARN, separated by colons."""
    return text.startswith("arn:") and text.count(":") >= _ARN_COLONS
