"""The AWS JSON 1.0 protocol: the header X-Amz-Target and a JSON object.

msgspec decodes a valid request in one pass into the action's structure. A request that msgspec
rejects is decoded again, member by member: SQS tolerates some values that the structure does not
(null, numbers as values of a map), and words its errors by member. A lone surrogate is valid JSON;
the rules decide where a request may contain one.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from protocol.actions import ACTIONS, Action, Message
from protocol.codecs import json_bounds, lengths, unicode_text
from protocol.errors import (
    InvalidAction,
    MalformedInput,
    QueueDoesNotExist,
    SQSError,
    missing_parameter,
)
from protocol.shapes import INTEGERS, ListOf, MapOf, Scalar, Structure, Type, members
from protocol.wire import WireRequest, WireResponse

_CONTENT_TYPE = "application/x-amz-json-1.0"
_TARGETS = {
    f"AmazonSQS.{name}": (action, msgspec.json.Decoder(action.request))
    for name, action in ACTIONS.items()
}
_ENCODER = msgspec.json.Encoder()

_LIST = "Start of list found where not expected"
_MAP = "Start of structure or map found where not expected."

_DECODE_ERRORS = (ValueError, RecursionError)
"""Errors of the decoders: invalid JSON or UTF-8, and nesting deeper than Python's own limit."""

_LONGEST_TOLERATED_BYTES = 4 * 1024 * 1024
"""The longest body that is decoded again: Python's decoder takes 7 ms for each MiB of escapes.

A message of 1 MiB (AWS: 1,048,576 bytes) is shorter, even if each character but ASCII is escaped.
"""


class JsonCodec:
    """The codec of AWS JSON 1.0."""

    reads_forms = False

    def action_in_headers(self, request: WireRequest) -> Action | None:
        """Return the action that X-Amz-Target names, or None."""
        row = _TARGETS.get(request.target)
        return None if row is None else row[0]

    def is_long(self, request: WireRequest) -> bool:
        """Return whether reading the request may take more than a few milliseconds."""
        return len(request.body) > lengths.LONG_BYTES

    def read(self, request: WireRequest) -> tuple[Action, msgspec.Struct]:
        """Decode a request.

        Raises:
            InvalidAction: X-Amz-Target names no action.
            MalformedInput: the body is not a JSON object, exceeds a bound of `json_bounds`, or has
                a member of the wrong type.
            SQSError: a required member is missing: see `protocol.errors.missing_parameter`.
        """
        row = _TARGETS.get(request.target)
        if row is None:
            raise InvalidAction
        action, decoder = row
        body = request.body
        if len(body) > json_bounds.MAXIMUM_NESTING:
            json_bounds.check(body)
        try:
            return action, decoder.decode(body)
        except _DECODE_ERRORS:
            return action, _read_by_member(action, body)

    def missing_queue_error(
        self, request: WireRequest, queue_url: str, host: str, base_url: str
    ) -> SQSError:
        """Return the error for a request whose queue does not exist, or that names none."""
        return QueueDoesNotExist()

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result; the body is empty if the action has no result."""
        body = b"" if result is None else encoded(result)
        return WireResponse(200, _CONTENT_TYPE, body)

    def write_messages(self, messages: Sequence[Message], request_id: str) -> WireResponse:
        """Encode a long result of ReceiveMessage."""
        pieces = [b"," + encoded(one) for one in messages]
        pieces[0] = pieces[0][1:]
        return WireResponse(200, _CONTENT_TYPE, b'{"Messages":[', rest=(*pieces, b"]}"))

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Encode an error; the JavaScript SDK needs the Query code in x-amzn-query-error."""
        body = {"__type": f"{error.namespace}#{error.shape}"}
        if error.message:
            body["message"] = error.message
        fault = "Sender" if error.sender_fault else "Receiver"
        return WireResponse(error.status, _CONTENT_TYPE, encoded(body), f"{error.code};{fault}")


def encoded(value: object) -> bytes:
    """Encode compact JSON; a lone surrogate, which an error may quote, becomes `?`."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _reject_constant(constant: str) -> NoReturn:
    """Reject NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


class _Fraction(msgspec.Struct):
    """A number with a fraction or an exponent; converting millions of digits takes too long."""

    text: str

    def __str__(self) -> str:
        return self.text


_DOCUMENT = json.JSONDecoder(parse_float=_Fraction, parse_constant=_reject_constant)
"""A decoder that accepts lone surrogates, escaped or not; msgspec rejects them."""


def _read_by_member(action: Action, body: bytes) -> msgspec.Struct:
    """Decode a request that msgspec rejected, with the tolerance and the error texts of SQS."""
    if len(body) > _LONGEST_TOLERATED_BYTES:
        raise MalformedInput
    try:
        document = _DOCUMENT.decode(unicode_text.decode(body)) if body.strip() else {}
    except _DECODE_ERRORS as error:
        raise MalformedInput from error
    if not isinstance(document, dict):
        raise MalformedInput
    return _structure(document, action.request, in_map=False)


def _structure(value: object, shape: type[msgspec.Struct], *, in_map: bool) -> msgspec.Struct:
    found = _mapping(value)
    fields = {}
    missing = None
    for member in members(shape):
        given = found.get(member.wire_name)
        if given is not None and not (given == "" and getattr(member.type, "filled", False)):
            fields[member.field] = _value(given, member.type, in_map=in_map)
        elif member.required:
            missing = missing or member
    # SQS reports a member of the wrong type before a missing one.
    if missing is not None:
        raise missing_parameter(missing.wire_name)
    return shape(**fields)


def _value(value: object, type_: Type, *, in_map: bool) -> object:
    """Decode a value of any type; inside a map SQS takes numbers and booleans as strings."""
    match type_:
        case Structure(shape):
            return _structure(value, shape, in_map=in_map)
        case MapOf(Scalar() as item):
            found = _mapping(value).items()
            return {
                key: None if one is None else _value(one, item, in_map=True) for key, one in found
            }
        case MapOf(item):
            found = _mapping(value).items()
            return {key: _value(one, item, in_map=True) for key, one in found if one is not None}
        case ListOf(item):
            return [_value(one, item, in_map=in_map) for one in _sequence(value) if one is not None]
        case Scalar("string") if in_map:
            return _coerced(value)
        case Scalar(kind):
            return _SCALARS[kind](value)


def _mapping(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        raise MalformedInput(_LIST)
    raise MalformedInput("Expected map or null")  # [guess]


def _sequence(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        raise MalformedInput(_MAP)
    raise MalformedInput("Expected list or null")  # [guess]


def _coerced(value: object) -> str:
    if isinstance(value, list):
        raise MalformedInput("Unrecognized collection type class java.lang.String")
    if isinstance(value, dict):
        raise MalformedInput(_MAP)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise _unconvertible(value, "a String")


def _integer(value: object) -> int:
    if type(value) is int and value in INTEGERS:
        return value
    raise _unconvertible(value, "an Integer")


def _blob(value: object) -> bytes:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return base64.b64decode(value, validate=True)
    raise _unconvertible(value, "a Blob")  # [guess]


def _unconvertible(value: object, wanted: str) -> MalformedInput:
    """Return the error for a value of the wrong type, with the message of the AWS parser."""
    if isinstance(value, dict):
        return MalformedInput(_MAP)
    if isinstance(value, list):
        return MalformedInput(_LIST)
    if isinstance(value, bool):
        found = "TRUE" if value else "FALSE"
    else:
        found = "STRING" if isinstance(value, str) else "NUMBER"
    return MalformedInput(f"{found}_VALUE can not be converted to {wanted}")


_SCALARS: dict[str, Callable[[object], object]] = {
    "string": _string,
    "integer": _integer,
    "blob": _blob,
}
