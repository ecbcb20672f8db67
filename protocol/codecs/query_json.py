"""The Query protocol answered in JSON: SQS does so for a GET that accepts `application/json`.

The answer has the structure of the XML, with members in alphabetical order. A map is a list of
entries; an absent member is null. Requests are decoded as Query requests. A request for an unknown
path is answered in XML.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from protocol.actions import ACTIONS, Action, Message, ReceiveMessageResult
from protocol.codecs.aws_json import encoded
from protocol.codecs.aws_query import QueryCodec
from protocol.errors import SQSError
from protocol.shapes import ListOf, MapOf, Scalar, Structure, Type, members
from protocol.wire import WireRequest, WireResponse

_CONTENT_TYPE = "application/json"
_NAMES = {"Messages": "messages", "QueueUrls": "queueUrls"}


def is_asked_for(request: WireRequest) -> bool:
    """Return whether a request wants Query answered in JSON; a POST never does."""
    return request.method == "GET" and _CONTENT_TYPE in request.accept.lower()


class JsonQueryCodec(QueryCodec):
    """The codec of Query answered in JSON."""

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result; an action without a result has only the metadata."""
        name = action.name
        content: dict[str, object] = {"ResponseMetadata": {"RequestId": request_id}}
        if action.result is not None:
            content[f"{name}Result"] = _value(result, Structure(action.result), "")
        return _response(200, {f"{name}Response": dict(sorted(content.items()))})

    def write_messages(self, messages: Sequence[Message], request_id: str) -> WireResponse:
        """Encode a long result of ReceiveMessage."""
        result = ReceiveMessageResult([])
        empty = self.write_result(ACTIONS["ReceiveMessage"], result, request_id)
        opening, closing = empty.body.split(b"[]")
        pieces = [b"," + encoded(_value(one, Structure(Message), "")) for one in messages]
        pieces[0] = pieces[0][1:]
        rest = (*pieces, b"]" + closing)
        return WireResponse(200, _CONTENT_TYPE, opening + b"[", rest=rest)

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Encode an error; unlike a result, it has no outer element."""
        if error.bare:
            return super().write_error(error, request_id)
        fields = {
            "Code": error.code,
            "Message": error.query_message,
            "Type": "Sender" if error.sender_fault else "Receiver",
        }
        return _response(error.status, {"Error": fields, "RequestId": request_id})


def _value(value: Any, type_: Type, key_name: str) -> object:  # noqa: ANN401 - of that type
    if value is None:
        return None
    match type_:
        case Structure(shape):
            found = {
                _NAMES.get(one.wire_name, one.wire_name): _value(
                    getattr(value, one.field), one.type, one.key_name
                )
                for one in members(shape)
            }
            return dict(sorted(found.items()))
        case ListOf(item):
            return [_value(one, item, key_name) for one in value]
        case MapOf(item):
            return [
                {key_name: key, "Value": _value(one, item, key_name)} for key, one in value.items()
            ]
        case Scalar("blob"):
            return base64.b64encode(value).decode()
        case Scalar():
            return value


def _response(status: int, content: dict[str, object]) -> WireResponse:
    return WireResponse(status, _CONTENT_TYPE, encoded(content))
