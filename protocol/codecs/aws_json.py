"""AWS JSON 1.0: a target header and a JSON object, answered in kind.

Valid requests are decoded in one pass, straight into the action's structure. Only what that pass
refuses is read again, member by member, to accept what SQS tolerates (nulls, numbers in maps) and
to word the rest as SQS does. Refuses unknown targets, and whatever has no JSON object in it. Half
of a surrogate pair is no text, but it is JSON: where it may stand is for the rules to say.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from protocol.actions import ACTIONS, Action
from protocol.errors import InvalidAction, MalformedInput, SQSError, missing_parameter
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

_UNREADABLE = (ValueError, ArithmeticError, RecursionError)
"""What decoders raise: their own errors and bad UTF-8, endless exponents, endless nesting."""


class JsonCodec:
    """The JSON side of `protocol.envelope.Codec`."""

    def read(self, request: WireRequest) -> tuple[Action, msgspec.Struct]:
        """Decode a request; raises `InvalidAction`, `MalformedInput` or what a member lacks."""
        row = _TARGETS.get(request.target)
        if row is None:
            raise InvalidAction
        action, decoder = row
        try:
            return action, decoder.decode(request.body)
        except _UNREADABLE:
            return action, _read_again(action, request.body)

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result; an action without one is answered with no bytes at all."""
        body = b"" if result is None else encoded(result)
        return WireResponse(200, _CONTENT_TYPE, body)

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Encode an error; every one carries its Query code, which JavaScript's SDK insists on."""
        body = {"__type": f"{error.namespace}#{error.shape}"}
        if error.message:
            body["message"] = error.message
        fault = "Sender" if error.sender_fault else "Receiver"
        return WireResponse(error.status, _CONTENT_TYPE, encoded(body), f"{error.code};{fault}")


def encoded(value: object) -> bytes:
    """Write compact JSON; what is no text, which only an echo can hold, becomes `?`."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _refused(constant: str) -> NoReturn:
    """JSON has no NaN and no Infinity."""
    raise ValueError(constant)


_DOCUMENT = json.JSONDecoder(parse_float=Decimal, parse_constant=_refused)
"""Reads lone surrogates, escaped or not, which msgspec takes for no JSON at all."""


def _read_again(action: Action, body: bytes) -> msgspec.Struct:
    try:
        document = _DOCUMENT.decode(body.decode(errors="surrogatepass")) if body.strip() else {}
    except _UNREADABLE as error:
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
    # What is there is read first: values of the wrong kind come before any that are not there.
    if missing is not None:
        raise missing_parameter(missing.wire_name)
    return shape(**fields)


def _value(value: object, type_: Type, *, in_map: bool) -> object:
    """Read a value of any type. Inside maps scalars stand for texts, as SQS lets them."""
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
    """Name what was found as AWS's parser does."""
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
