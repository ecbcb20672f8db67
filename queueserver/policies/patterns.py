"""Patterns: texts with `*` and `?`, matched without backtracking.

A pattern is a row of positions, one per character that it needs. While a text is read character
by character, the matcher keeps the set of all positions that can be reached, as the bits of one
integer. So the time grows with the length of the text, whatever the pattern: there is one step
per character. A regular expression or a recursive matcher could take exponential time.
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


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_colon_loops", "_final", "_loops", "_other", "_reached_by")

    def __init__(self, parts: Iterable[PatternPart]) -> None:
        literals: dict[str, int] = {}
        anywhere = in_segment = loops = colon_loops = 0
        bit = 1
        for part in parts:
            if isinstance(part, str):
                for character in part:
                    literals[character] = literals.get(character, 0) | bit
                    bit <<= 1
            elif part is Wildcard.TEXT:
                loops |= bit
                colon_loops |= bit
            elif part is Wildcard.SEGMENT_TEXT:
                loops |= bit
            else:
                if part is Wildcard.CHARACTER:
                    anywhere |= bit
                else:
                    in_segment |= bit
                bit <<= 1
        self._other = anywhere | in_segment
        self._reached_by = {
            character: mask | (anywhere if character == ":" else self._other)
            for character, mask in literals.items()
        }
        self._reached_by.setdefault(":", anywhere)
        self._loops = loops
        self._colon_loops = colon_loops
        self._final = bit

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches."""
        reached = 1
        for character in text:
            loops = self._colon_loops if character == ":" else self._loops
            steps = reached & self._reached_by.get(character, self._other)
            reached = (steps << 1) | (reached & loops)
            if not reached:
                return False
        return bool(reached & self._final)


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
