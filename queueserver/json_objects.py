"""JSON objects that two programs cannot read in two ways: policies and redrive policies."""

from __future__ import annotations

import json

# Any: the members of an object are checked by the code that knows the document.
from typing import Any


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object.

    A repeated name is rejected: two programs could read such a document in two ways. A number
    that does not fit into a float is rejected because it could not be written again.

    Raises:
        ValueError: the text is not JSON, not an object, nested too deeply, or rejected.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_distinct_members,
            parse_float=_finite_number,
            parse_constant=_reject_constant,
        )
    except RecursionError as error:
        raise ValueError(text) from error
    if not isinstance(value, dict):
        raise ValueError(text)  # noqa: TRY004 - every invalid text raises the same error
    return value


def _distinct_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(pairs)
    return members


def _finite_number(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return number


def _reject_constant(text: str) -> None:
    """Reject NaN and Infinity, which Python reads although JSON does not have them."""
    raise ValueError(text)
