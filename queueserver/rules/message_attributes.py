"""Message attributes: the checks of a sent message's attributes, and the selection for a receive.

Message attributes are the sender's, called `(user)` in AWS's texts; message system attributes are
those of SQS. Sizes are checked with the body. A valid attribute costs one cheap test; only a
rejected one is examined again to choose the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from protocol.actions import MessageAttributeValue
from protocol.errors import InvalidParameterValue, UnsupportedOperation
from queueserver.rules.limits import (
    MAXIMUM_ATTRIBUTE_NAME_BYTES,
    MAXIMUM_ATTRIBUTE_TYPE_BYTES,
    MAXIMUM_MESSAGE_ATTRIBUTES,
    MAXIMUM_NAMES,
    MAXIMUM_NUMBER_DIGITS,
    MAXIMUM_NUMBER_EXPONENT,
    MINIMUM_NUMBER_EXPONENT,
)
from queueserver.rules.parameters import check_count, is_xml_text
from queueserver.rules.trace_headers import is_trace_header
from queueserver.utf8 import utf8_bytes

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
"""The system attributes that ReceiveMessage can return."""

TRACE_HEADER = "AWSTraceHeader"

_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)[\w-]+(?:\.[\w-]+)*")
_ATTRIBUTE_NAME_CHARACTERS = re.compile(r"[\w.-]+")
# Possessive quantifiers give no digit back, so hostile input costs one pass.
_NUMBER = re.compile(r"[+-]?(?:([0-9]++)(?:\.([0-9]*+))?|\.([0-9]++))(?:[eE]([+-]?)([0-9]++))?")
_ANY_SUFFIX = ".*"
_ALL = ["All"]
_ANY_NAME = frozenset({"All", "*", _ANY_SUFFIX})
_NO_NAMES: frozenset[str] = frozenset()
_CHARACTER_RANGES = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"


# Attributes of a sent message


def check_message_attributes(attributes: Mapping[str, MessageAttributeValue]) -> None:
    """Reject message attributes that break a rule.

    AWS: at most 10 attributes; names of at most 256 bytes with letters, digits, `_`, `-` and
    single dots inside, not beginning with `AWS.` or `Amazon.`; one value, of the type's field.

    Raises:
        InvalidParameterValue: an attribute breaks a rule.
        UnsupportedOperation: an attribute has a list of values.
    """
    check_count("message attributes", len(attributes), MAXIMUM_MESSAGE_ATTRIBUTES)
    for name, value in attributes.items():
        # The length comes first: the regular expression takes 100 bytes of memory for each dot.
        if utf8_bytes(name) > MAXIMUM_ATTRIBUTE_NAME_BYTES or not _ATTRIBUTE_NAME.fullmatch(name):
            raise InvalidParameterValue(_name_error_text(name))
        _check_attribute_value("(user)", name, value)


def check_message_system_attributes(attributes: Mapping[str, MessageAttributeValue]) -> None:
    """Reject message system attributes except an `AWSTraceHeader` of type String.

    AWS: its value must be a correctly formatted trace header of X-Ray. It does not count towards
    the size of the message, so it has a limit of its own.

    Raises:
        InvalidParameterValue: there is another attribute, or its value breaks a rule.
        UnsupportedOperation: an attribute has a list of values.
    """
    for name, value in attributes.items():
        if name != TRACE_HEADER:
            raise InvalidParameterValue(f"Message system attribute name '{name}' is invalid.")
        _check_attribute_value("system", name, value)
        if value.data_type != "String":
            raise InvalidParameterValue(_type_error_text("system", name, "String"))
        if not is_trace_header(value.string_value or ""):
            raise InvalidParameterValue(  # [guess]
                f"The value of message system attribute '{name}' must be a valid X-Ray trace "
                "header."
            )


def _name_error_text(name: str) -> str:
    """Return the text for a rejected name: that of the first rule that it breaks."""
    if not name:
        return "The request must contain non-empty message (user) attribute names."
    subject = "Message (user) attribute name"
    if utf8_bytes(name) > MAXIMUM_ATTRIBUTE_NAME_BYTES:
        return _long_name_text("(user)")
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


def _long_name_text(kind: str) -> str:
    return (
        f"Message {kind} attribute name must be shorter than {MAXIMUM_ATTRIBUTE_NAME_BYTES} bytes."
    )


def _check_attribute_value(kind: str, name: str, value: MessageAttributeValue) -> None:
    if value.string_list_values or value.binary_list_values:
        raise UnsupportedOperation(
            "Message attribute list values in SendMessage operation are not supported."
        )
    base = _parse_base_type(kind, name, value)
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
    if text and not is_xml_text(text):
        raise InvalidParameterValue(  # [guess]
            f"Invalid characters found in the value of message {kind} attribute '{name}'. "
            f"Valid unicode characters are {_CHARACTER_RANGES}"
        )
    if base == "Number" and text:
        _check_number(kind, name, text)


def _parse_base_type(kind: str, name: str, value: MessageAttributeValue) -> str:
    """Return the type without its custom suffix: String, Number or Binary.

    AWS: the suffix is a dot and a label, which may be empty.
    """
    data_type = value.data_type
    if not data_type:
        if value.string_value is None and value.binary_value is None:
            raise InvalidParameterValue(
                f"The message {kind} attribute '{name}' must contain a non-empty "
                "message attribute value."
            )
        raise InvalidParameterValue(  # AWS: without a full stop
            f"Message {kind} attribute '{name}' must contain a non-empty attribute type"
        )
    base = data_type.partition(".")[0]
    if base not in {"String", "Number", "Binary"} or not is_xml_text(data_type):
        raise InvalidParameterValue(_type_error_text(kind, name, "Binary, Number, String"))
    if utf8_bytes(data_type) > MAXIMUM_ATTRIBUTE_TYPE_BYTES:
        raise InvalidParameterValue(
            f"Message {kind} attribute type must be shorter than "
            f"{MAXIMUM_ATTRIBUTE_TYPE_BYTES} bytes."
        )
    return base


def _type_error_text(kind: str, name: str, prefixes: str) -> str:
    return (
        f"The type of message {kind} attribute '{name}' is invalid. You must use only the "
        f"following supported type prefixes: {prefixes}."
    )


def _check_number(kind: str, name: str, text: str) -> None:
    """Reject a text that is not a decimal number of at most 38 digits from 10^-128 to 10^126.

    The text is examined as text: converting a million digits to a number would take too long.
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
    # Ten digits of an exponent are more than the zeros that fit into a message can balance.
    exponent = int(exponent_digits[:10] or "0") * (-1 if match[4] == "-" else 1)
    leading = len(digits) - len(fraction) - 1 + exponent
    largest = leading == MAXIMUM_NUMBER_EXPONENT and significant == "1"
    if not (MINIMUM_NUMBER_EXPONENT <= leading < MAXIMUM_NUMBER_EXPONENT or largest):
        raise InvalidParameterValue(
            f"Number attribute value {text} should be in range (-10**128..10**126)"
        )


# Attributes that a receive returns


def parse_attribute_filter(names: Sequence[str] | None) -> Callable[[str], bool] | None:
    """Return a function that says whether to return the attribute of a name; None for none.

    `All`, `*` and `.*` select every attribute. `prefix.*` selects the names that begin with the
    prefix; AWS needs no dot after it. Any other text selects the attribute of that name. AWS
    ignores names that no attribute can have.

    Raises:
        InvalidParameterValue: there are too many names, or one is too long.
    """
    if not names:
        return None
    _check_names("(user)", names)
    if not _ANY_NAME.isdisjoint(names):
        return _select_any
    exact = frozenset(names)
    prefixes = tuple(name.removesuffix(_ANY_SUFFIX) for name in exact if name.endswith(_ANY_SUFFIX))
    return lambda name: name in exact or name.startswith(prefixes)


def _select_any(_: str) -> bool:
    return True


def parse_system_attribute_names(
    names: Sequence[str] | None, deprecated_names: Sequence[str] | None
) -> frozenset[str]:
    """Return the system attributes to return; `All` selects each, unknown names are ignored.

    AWS: MessageSystemAttributeNames replaces the deprecated AttributeNames. An empty list is the
    same as none: sqs-consumer sends it beside the other list.

    Raises:
        InvalidParameterValue: a list has too many names, or one that is too long.
    """
    wanted = names or deprecated_names
    if not wanted:
        return _NO_NAMES
    _check_names("system", wanted)
    _check_names("system", deprecated_names or ())
    if "All" in wanted:
        return SYSTEM_ATTRIBUTE_NAMES
    return SYSTEM_ATTRIBUTE_NAMES.intersection(wanted)


def _check_names(kind: str, names: Sequence[str]) -> None:
    """Reject a list of names that is too long to be held and matched while a receive waits."""
    if names == _ALL:  # the list of most receives
        return
    check_count(f"message {kind} attribute names", len(names), MAXIMUM_NAMES)
    longest = MAXIMUM_ATTRIBUTE_NAME_BYTES + len(_ANY_SUFFIX)
    if any(utf8_bytes(name) > longest for name in names):
        raise InvalidParameterValue(_long_name_text(kind))
