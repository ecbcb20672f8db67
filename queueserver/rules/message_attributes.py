"""What a message's attributes may be, the sender's own and SQS's, and which ones a receive shows.

Pure functions that return, or raise SQS's own error. Refused here: sizes, which count the body too,
and digests. What a valid message pays for is one cheap test for each attribute; only a refused one
is looked at again to find the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from protocol.actions import MessageAttributeValue
from protocol.errors import InvalidParameterValue, UnsupportedOperation
from queueserver.rules.limits import characters_allowed, utf8_bytes

MAXIMUM_MESSAGE_ATTRIBUTES = 10
MAXIMUM_ATTRIBUTE_NAME_BYTES = 256
MAXIMUM_ATTRIBUTE_TYPE_BYTES = 256
MAXIMUM_NUMBER_DIGITS = 38
MINIMUM_NUMBER_EXPONENT = -128
MAXIMUM_NUMBER_EXPONENT = 126

SYSTEM_ATTRIBUTE_NAMES = frozenset(
    {
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
        "MessageDeduplicationId",
        "MessageGroupId",
        "SenderId",
        "SentTimestamp",
        "SequenceNumber",
    }
)
"""The system attributes that a received message can show."""

TRACE_HEADER = "AWSTraceHeader"

_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[\w-]+(?:\.[\w-]+)*")
_ATTRIBUTE_NAME_CHARACTERS = re.compile(r"[\w.-]+")
# The digits are matched by pieces that cannot overlap, so hostile input costs one pass.
_NUMBER = re.compile(r"[+-]?(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?)([0-9]+))?")
_CHARACTER_RANGES = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"


# What a send may bring


def message_attributes(attributes: Mapping[str, MessageAttributeValue] | None) -> None:
    """Refuse what SQS refuses of a message's own attributes."""
    if not attributes:
        return
    if len(attributes) > MAXIMUM_MESSAGE_ATTRIBUTES:
        raise InvalidParameterValue(
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{MAXIMUM_MESSAGE_ATTRIBUTES}]."
        )
    for name, value in attributes.items():
        if not _ATTRIBUTE_NAME.fullmatch(name) or utf8_bytes(name) > MAXIMUM_ATTRIBUTE_NAME_BYTES:
            raise InvalidParameterValue(_why_name_is_refused(name))
        _attribute_value("(user)", name, value)


def message_system_attributes(attributes: Mapping[str, MessageAttributeValue] | None) -> None:
    """Refuse everything but an `AWSTraceHeader` of type String."""
    for name, value in (attributes or {}).items():
        if name != TRACE_HEADER:
            raise InvalidParameterValue(f"Message system attribute name '{name}' is invalid.")
        _attribute_value("system", name, value)
        if value.data_type != "String":
            raise InvalidParameterValue(_unsupported_type("system", name, "String"))


def _why_name_is_refused(name: str) -> str:
    if not name:
        return "The request must contain non-empty message (user) attribute names."
    subject = "Message (user) attribute name"
    if utf8_bytes(name) > MAXIMUM_ATTRIBUTE_NAME_BYTES:
        return f"{subject} must be shorter than {MAXIMUM_ATTRIBUTE_NAME_BYTES} bytes."
    if not _ATTRIBUTE_NAME_CHARACTERS.fullmatch(name):
        return (
            f"{subject} '{name}' is invalid. You must use only the following characters: "
            "a-z, A-Z, 0-9, underscore (_), hyphen (-), and period (.)."
        )
    if name.startswith("."):
        return f"{subject} must not begin with character '.'."
    if name.endswith("."):
        return f"{subject} must not end with character '.'."
    if ".." in name:
        return f"{subject} must not have successive '.' characters."
    return (
        "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. "
        "These strings are reserved for internal use."
    )


def _attribute_value(kind: str, name: str, value: MessageAttributeValue) -> None:
    if value.string_list_values or value.binary_list_values:
        raise UnsupportedOperation(
            "Message attribute list values in SendMessage operation are not supported."
        )
    base = _attribute_base(kind, name, value)
    subject = f"Message {kind} attribute '{name}'"
    field = "Binary" if base == "Binary" else "String"
    text, blob = value.string_value, value.binary_value
    expected, other = (blob, text) if field == "Binary" else (text, blob)
    if expected and other:
        raise InvalidParameterValue(f"{subject} must have a single value.")
    if other:
        raise InvalidParameterValue(f"{subject} with type '{base}' must use field '{field}'.")
    if not expected:
        raise InvalidParameterValue(f"{subject} must contain a non-empty value of type '{base}'.")
    if text and not characters_allowed(text):
        raise InvalidParameterValue(  # [guess]
            f"Invalid characters found in the value of message {kind} attribute '{name}'. "
            f"Valid unicode characters are {_CHARACTER_RANGES}"
        )
    if base == "Number" and text:
        _number(kind, name, text)


def _attribute_base(kind: str, name: str, value: MessageAttributeValue) -> str:
    """Return the type without its custom suffix: String, Number or Binary."""
    data_type = value.data_type
    if not data_type:
        part = "value" if value.string_value is None and value.binary_value is None else "type"
        raise InvalidParameterValue(
            f"The message {kind} attribute '{name}' must contain a non-empty "
            f"message attribute {part}."
        )
    base = data_type.partition(".")[0]
    if base not in {"String", "Number", "Binary"} or not characters_allowed(data_type):
        raise InvalidParameterValue(_unsupported_type(kind, name, "Binary, Number, String"))
    if utf8_bytes(data_type) > MAXIMUM_ATTRIBUTE_TYPE_BYTES:
        raise InvalidParameterValue(
            f"Message {kind} attribute type must be shorter than "
            f"{MAXIMUM_ATTRIBUTE_TYPE_BYTES} bytes."
        )
    return base


def _unsupported_type(kind: str, name: str, prefixes: str) -> str:
    return (
        f"The type of message {kind} attribute '{name}' is invalid. You must use only the "
        f"following supported type prefixes: {prefixes}."
    )


def _number(kind: str, name: str, text: str) -> None:
    """Refuse what is no decimal number of at most 38 digits between 10^-128 and 10^126.

    Works on the text alone: no integer or Decimal is ever built from a caller's million digits.
    """
    match = _NUMBER.fullmatch(text)
    whole, fraction = ("", "") if match is None else (match[1] or "", match[2] or match[3] or "")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if match is None or len(significant) > MAXIMUM_NUMBER_DIGITS:
        raise InvalidParameterValue(
            f"Can't cast the value of message {kind} attribute '{name}' to a number."
        )
    if not significant:
        return
    exponent_digits = (match[5] or "").lstrip("0")
    # Ten digits outweigh any number of leading zeros that fits into a message.
    exponent = int(exponent_digits[:10] or "0") * (-1 if match[4] == "-" else 1)
    leading = len(digits) - len(fraction) - 1 + exponent
    largest = leading == MAXIMUM_NUMBER_EXPONENT and significant == "1"
    if not (MINIMUM_NUMBER_EXPONENT <= leading < MAXIMUM_NUMBER_EXPONENT or largest):
        raise InvalidParameterValue(
            f"Number attribute value {text} should be in range (-10**128..10**126)"
        )


# What a receive shows


def attribute_filter(names: Sequence[str] | None) -> Callable[[str], bool] | None:
    """Return the test for the message attributes that a receive shows; None shows none.

    `All`, `*` and `.*` show every one, `prefix.*` those that start with the prefix (AWS asks for
    no dot after it), anything else the one of that name. A name that none can have matches none.
    """
    if not names:
        return None
    if not {"All", "*", ".*"}.isdisjoint(names):
        return lambda _: True
    exact = frozenset(names)
    prefixes = tuple(name[:-2] for name in names if name.endswith(".*"))
    return lambda name: name in exact or name.startswith(prefixes)


def system_attributes(names: Sequence[str] | None) -> frozenset[str]:
    """Return the system attributes that a receive shows; unknown names are ignored."""
    if not names:
        return frozenset()
    if "All" in names:
        return SYSTEM_ATTRIBUTE_NAMES
    return SYSTEM_ATTRIBUTE_NAMES.intersection(names)
