"""Forms: the flat parameters of the Query protocol, decoded into structures.

`SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.StringValue=x` is a path into lists and
maps, whose items are numbered from 1. Rules for odd forms:

- Unknown names are ignored. If a name comes twice, the last one counts.
- Items are sorted by number; gaps are allowed. A list of one item may omit the number. Numbered
  items win over an unnumbered one.
- Other services of AWS write a list as `Name.member.1`. SQS rejects that, and an empty map.
- A form with more than `MAXIMUM_PARAMETERS` parameters, or that is not UTF-8, is rejected.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

import msgspec

from protocol.codecs import form_text
from protocol.errors import InvalidParameterValue, MalformedInput, missing_parameter
from protocol.shapes import INTEGERS, ListOf, MapOf, Member, Scalar, Structure, Type, members

MAXIMUM_PARAMETERS = 10_000
"""Parameters of a request: our own limit. The largest batch of SQS has some hundreds."""

_MAX_DOTS = 8
_LIST_MARK = "member"
_NUMBER = re.compile(r"[0-9]+")
_MAX_NUMBER_DIGITS = 9
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class Parameter(msgspec.Struct, gc=False):
    """A node of the parameter tree: its text, if any, and its children by name.

    A tree has no cycles, so the garbage collector does not need to track it.
    """

    text: str | None = None
    below: dict[str, Parameter] = {}

    def supply(self, name: str, text: str) -> None:
        """Set the text of a child unless it has one."""
        parameter = self.below.setdefault(name, Parameter())
        parameter.text = parameter.text or text


def parse(query: str, body: bytes) -> Parameter:
    """Parse a query string and a posted body into one tree; the body wins.

    The tree has at most `_MAX_DOTS` levels: further dots are part of a name, which is then unknown.

    Raises:
        MalformedInput: too many parameters, or not UTF-8.
    """
    root = Parameter()
    for name, text in _pairs(query, body):
        parameter = root
        for part in name.split(".", _MAX_DOTS):
            parameter = parameter.below.setdefault(part, Parameter())
        parameter.text = text
    return root


def _pairs(query: str, body: bytes) -> Iterator[tuple[str, str]]:
    try:
        form = query.encode(errors="surrogateescape") + b"&" + body
        if form.count(b"&") > MAXIMUM_PARAMETERS:
            reason = f"A request has at most {MAXIMUM_PARAMETERS} parameters."  # [guess]
            raise MalformedInput(reason)
        for pair in form.split(b"&"):
            name, _, text = pair.partition(b"=")
            yield form_text.decode(name), form_text.decode(text)
    except UnicodeError as error:
        raise MalformedInput("The request is not valid UTF-8.") from error  # [guess]


def structure(form: Parameter, shape: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode a structure; accept JSON's plural names of lists and maps, which API Gateway uses.

    Raises:
        InvalidParameterValue: a number or a blob cannot be parsed, or a message attribute has no
            name.
        MalformedInput: a list is in a form that SQS does not have.
        SQSError: a required member is missing: see `protocol.errors.missing_parameter`.
    """
    fields = {}
    for member in members(shape):
        given = form.below.get(member.query_name) or form.below.get(member.wire_name)
        value = None if given is None else _value(given, member.type, member)
        if value is not None:
            fields[member.field] = value
        elif member.required:
            raise missing_parameter(member.wire_name)
    return shape(**fields)


def _value(given: Parameter, type_: Type, member: Member) -> object:
    """Decode a value of any type; return None if it is absent."""
    if _LIST_MARK in given.below:
        raise MalformedInput("Start of list found where not expected")
    match type_:
        case Structure(shape):
            return structure(given, shape)
        case MapOf() if given.text == "" and not given.below:
            raise MalformedInput("End of list found where not expected")
        case MapOf(item):
            return dict(_entry(one, item, member) for one in _items(given))
        case ListOf(item):
            values = [_value(one, item, member) for one in _items(given)]
            return [value for value in values if value is not None]
        case Scalar("string", filled):
            return (given.text or None) if filled else given.text
        case Scalar(kind):
            return _SCALARS[kind](given.text, member.wire_name) if given.text else None


def _items(given: Parameter) -> list[Parameter]:
    """Return the items of a list in order; a single item may have no number."""
    numbered = [(name, one) for name, one in given.below.items() if _NUMBER.fullmatch(name)]
    if numbered:
        return [one for _, one in sorted(numbered, key=lambda item: _number(item[0]))]
    return [given] if given.text or given.below else []


def _number(name: str) -> int:
    if len(name) > _MAX_NUMBER_DIGITS:
        raise MalformedInput("The number of a list's item is out of range.")  # [guess]
    return int(name)


def _entry(given: Parameter, item: Type, member: Member) -> tuple[str, object]:
    """Decode an entry of a map; a missing value is an empty structure, or None for a string."""
    nothing = Parameter()
    name = given.below.get(member.key_name, nothing).text
    if name is None and isinstance(item, Structure):
        raise InvalidParameterValue("The request must contain non-empty message attribute name.")
    if name is None:
        raise missing_parameter(f"{member.query_name}.{member.key_name}")
    return name, _value(given.below.get("Value", nothing), item, member)


def _integer(text: str, name: str) -> int:
    if _INTEGER.fullmatch(text) and int(text) in INTEGERS:
        return int(text)
    reason = "Must be an integer."  # [guess]
    raise InvalidParameterValue(f"Value {text} for parameter {name} is invalid. Reason: {reason}")


def _blob(text: str, name: str) -> bytes:
    """Decode base64. AWS: the padding may be missing."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        reason = "Must be base64."  # [guess]
        message = f"Value {text} for parameter {name} is invalid. Reason: {reason}"
        raise InvalidParameterValue(message) from error


_SCALARS: dict[str, Callable[[str, str], object]] = {"integer": _integer, "blob": _blob}
