"""Logic of three values: true, false, and None for a test that cannot be evaluated.

A statement whose outcome is None denies if its effect is Deny, and allows nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable


def any_of(outcomes: Iterable[bool | None]) -> bool | None:
    """Return True if an outcome is true, else None if one is None, else False."""
    result: bool | None = False
    for outcome in outcomes:
        if outcome:
            return True
        if outcome is None:
            result = None
    return result


def all_of(outcomes: Iterable[bool | None]) -> bool | None:
    """Return False if an outcome is false, else None if one is None, else True."""
    result: bool | None = True
    for outcome in outcomes:
        if outcome is None:
            result = None
        elif not outcome:
            return False
    return result


def negate(outcome: bool | None) -> bool | None:
    """Return the opposite of an outcome; None stays None."""
    return None if outcome is None else not outcome
