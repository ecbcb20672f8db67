"""Formats and errors that the parameters of many actions share.

A valid value costs one cheap test; only a rejected value is examined again to choose the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from protocol.errors import InvalidParameterValue, missing_parameter
from queueserver.rules.limits import MAXIMUM_FIFO_ID_CHARACTERS, MAXIMUM_NAME_CHARACTERS

NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAXIMUM_NAME_CHARACTERS}}}")
"""The format of the name of a standard queue, the id of a batch entry and a permission's label."""

ACCOUNT = re.compile(r"[0-9]{12}")
"""The format of an account id."""

NAME_RULE = (
    f"alphanumeric characters, hyphens, or underscores. 1 to {MAXIMUM_NAME_CHARACTERS} in length"
)
"""The format of `NAME` in the words of AWS."""

# AWS: letters and digits of ASCII, and !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~
_FIFO_ID = re.compile(rf"[!-~]{{1,{MAXIMUM_FIFO_ID_CHARACTERS}}}")

_CONTROL_CHARACTERS = bytes({*range(0x20)} - {0x09, 0x0A, 0x0D})
_NONCHARACTERS = ("\ufffe".encode(), "\uffff".encode())


def invalid_value_error(parameter: str, value: object, reason: str) -> InvalidParameterValue:
    """Return the error for a rejected value, in the form that SQS uses for most parameters."""
    return InvalidParameterValue(
        f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"
    )


def invalid_parameter_error(parameter: str, reason: str) -> InvalidParameterValue:
    """Return the error for a rejected value without the value, as SQS does for lists and tasks."""
    return InvalidParameterValue(f"Value for parameter {parameter} is invalid. Reason: {reason}")


def check_count(counted: str, count: int, maximum: int) -> None:
    """Reject a list or a map of a request that has more than `maximum` items.

    AWS sends this text for message attributes; for other lists it is the server's own.

    Raises:
        InvalidParameterValue: there are too many.
    """
    if count > maximum:
        raise InvalidParameterValue(
            f"Number of {counted} [{count}] exceeds the allowed maximum [{maximum}]."
        )


def is_xml_text(text: str) -> bool:
    """Return whether XML 1.0 can represent the text: the rule for bodies, attributes and names."""
    return encode_xml_text(text) is not None


def encode_xml_text(text: str) -> bytes | None:
    """Return the text in UTF-8, or None if XML 1.0 cannot represent it.

    AWS allows #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD and #x10000 to #x10FFFF.
    PostgreSQL cannot store a NUL either, so texts are checked before the database sees them.
    """
    # Deleting bytes and comparing lengths is several times faster than a regular expression.
    # UTF-8 never uses the bytes of control characters inside a longer character.
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None
    if len(encoded.translate(None, _CONTROL_CHARACTERS)) != len(encoded):
        return None
    if text.isascii() or not any(character in encoded for character in _NONCHARACTERS):
        return encoded
    return None


def parse_text_map(parameter: str, found: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the entries of a map parameter; an absent map has none.

    `parameter` is the Query protocol's name for one entry, such as `Attribute`; AWS uses it in
    the error in both protocols.

    Raises:
        MissingParameter: an entry has no value.
    """
    given = {name: value for name, value in (found or {}).items() if value is not None}
    if len(given) != len(found or {}):
        raise missing_parameter(f"{parameter}.Value")
    return given


def check_fifo_id(parameter: str, value: str, *, in_batch: bool = False) -> None:
    """Reject an id that is not 1 to 128 letters, digits and punctuation characters of ASCII.

    AWS sends a shorter text for an entry of a batch.

    Raises:
        InvalidParameterValue: the length or a character is not allowed.
    """
    if _FIFO_ID.fullmatch(value):
        return
    alphabet = "can only include alphanumeric and punctuation characters."
    length = f"1 to {MAXIMUM_FIFO_ID_CHARACTERS} in length"
    if in_batch:
        raise InvalidParameterValue(f"{parameter} {alphabet} {length}")
    raise invalid_value_error(parameter, value, f"{parameter} {alphabet} {length}.")
