"""Error cases of message attributes and message system attributes."""

from __future__ import annotations

import base64
from typing import Any

from tests.api.error_cases import IPV, ErrorCase

BAD_CHARACTERS = (
    "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
    "#xE000 to #xFFFD | #x10000 to #x10FFFF"
)

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;CalledFrom="


def attribute(name: str = "Hello", **members: object) -> dict[str, Any]:
    return {name: {"DataType": "String", "StringValue": "x", **members}}


def _user_names() -> dict[str, tuple[dict[str, Any], str]]:
    name_of = "Message (user) attribute name"
    reserved = (
        "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. "
        "These strings are reserved for internal use."
    )
    bad_name = (
        "Message (user) attribute name 'a!' is invalid. You must use only the following "
        "characters: a-z, A-Z, 0-9, underscore (_), hyphen (-), and period (.)."
    )
    return {
        "11 attributes": (
            {f"a{n}": attribute()["Hello"] for n in range(11)},
            "Number of message attributes [11] exceeds the allowed maximum [10].",
        ),
        "empty name": (
            attribute(""),
            "The request must contain non-empty message (user) attribute names.",
        ),
        "name of 257 bytes": (attribute("x" * 257), f"{name_of} must be shorter than 256 bytes."),
        "invalid character in the name": (attribute("a!"), bad_name),
        "reserved prefix AWS.": (attribute("aWs.x"), reserved),
        "reserved prefix Amazon.": (attribute("Amazon.x"), reserved),
        "leading dot": (attribute(".a"), f"{name_of} must not begin with character '.'."),
        "trailing dot": (attribute("a."), f"{name_of} must not end with character '.'."),
        "successive dots": (
            attribute("a..b"),
            f"{name_of} must not have successive '.' characters.",
        ),
    }


def _user_values() -> dict[str, tuple[dict[str, Any], str]]:
    """Return invalid values of one attribute, with the error texts."""
    no_type = "Message (user) attribute 'Hello' must contain a non-empty attribute type"
    no_value = (
        "The message (user) attribute 'Hello' must contain a non-empty message attribute value."
    )
    empty = "Message (user) attribute 'Hello' must contain a non-empty value of type '{}'."
    not_a_number = "Can't cast the value of message (user) attribute 'Hello' to a number."
    out_of_range = "Number attribute value {} should be in range (-10**128..10**126)"
    blob = base64.b64encode(b"x").decode()
    number = {"DataType": "Number"}
    return {
        "empty value object": ({"Hello": {}}, no_value),
        "no type": ({"Hello": {"StringValue": "x"}}, no_type),
        "empty type": (attribute(DataType=""), no_type),
        "unknown type": (attribute(DataType="Text"), unknown_type("(user)", "Hello")),
        "type of 257 bytes": (
            attribute(DataType="String." + "x" * 250),
            "Message (user) attribute type must be shorter than 256 bytes.",
        ),
        "empty string value": (attribute(StringValue=""), empty.format("String")),
        "no string value": ({"Hello": {"DataType": "String"}}, empty.format("String")),
        "no number value": ({"Hello": number}, empty.format("Number")),
        "no binary value": ({"Hello": {"DataType": "Binary"}}, empty.format("Binary")),
        "two values": (
            attribute(BinaryValue=blob),
            "Message (user) attribute 'Hello' must have a single value.",
        ),
        "binary value of type String": (
            {"Hello": {"DataType": "String", "BinaryValue": blob}},
            "Message (user) attribute 'Hello' with type 'String' must use field 'String'.",
        ),
        "string value of type Binary": (
            attribute(DataType="Binary"),
            "Message (user) attribute 'Hello' with type 'Binary' must use field 'Binary'.",
        ),
        "number is not numeric": (attribute(**number, StringValue="one"), not_a_number),
        "39 digits": (attribute(**number, StringValue="1" * 39), not_a_number),
        "large number": (attribute(**number, StringValue="1e127"), out_of_range.format("1e127")),
        "small number": (attribute(**number, StringValue="1e-129"), out_of_range.format("1e-129")),
        "invalid character in the value": (
            attribute(StringValue="\x01"),
            "Invalid characters found in the value of message (user) attribute 'Hello'. Valid "
            + BAD_CHARACTERS.partition("Valid ")[2],
        ),
        "lone surrogate in the value": (
            attribute(StringValue="\ud800"),
            "Invalid characters found in the value of message (user) attribute 'Hello'. Valid "
            + BAD_CHARACTERS.partition("Valid ")[2],
        ),
    }


def _system_attributes() -> dict[str, tuple[dict[str, Any], str]]:
    not_a_trace_header = (
        "The value of message system attribute 'AWSTraceHeader' must be a valid X-Ray trace header."
    )
    return {
        "unknown name": (attribute(), "Message system attribute name 'Hello' is invalid."),
        "no type": (
            {"AWSTraceHeader": {"StringValue": "x"}},
            "Message system attribute 'AWSTraceHeader' must contain a non-empty attribute type",
        ),
        "another form": (attribute("AWSTraceHeader", StringValue="x"), not_a_trace_header),
        "513 characters": (
            attribute("AWSTraceHeader", StringValue=TRACE.ljust(513, "x")),
            not_a_trace_header,
        ),
        "empty string value": (
            attribute("AWSTraceHeader", StringValue=""),
            (
                "Message system attribute 'AWSTraceHeader' must contain a non-empty value of type "
                "'String'."
            ),
        ),
        "unknown type": (
            attribute("AWSTraceHeader", DataType="Text"),
            unknown_type("system", "AWSTraceHeader"),
        ),
    }


def unknown_type(kind: str, name: str) -> str:
    return (
        f"The type of message {kind} attribute '{name}' is invalid. You must use only the "
        "following supported type prefixes: Binary, Number, String."
    )


def _case(member: str, given: dict[str, Any], text: str) -> ErrorCase:
    message = {"QueueUrl": "plain", "MessageBody": "x", member: given}
    return ErrorCase("SendMessage", message, IPV, text)


ATTRIBUTE_CASES = {
    **{
        f"message attribute: {name}": _case("MessageAttributes", given, text)
        for name, (given, text) in {**_user_names(), **_user_values()}.items()
    },
    **{
        f"message system attribute: {name}": _case("MessageSystemAttributes", given, text)
        for name, (given, text) in _system_attributes().items()
    },
}
