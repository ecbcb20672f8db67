"""Query answered in JSON: what SQS makes of a GET that asks for `application/json`.

The XML's envelopes as objects, their members in the order of the alphabet: maps become lists of
entries, and what is absent is null. Refuses nothing of its own: requests are read as Query reads
them, and a request that leads nowhere is answered in XML all the same.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from protocol.actions import Action
from protocol.codecs.aws_json import encoded
from protocol.codecs.aws_query import QueryCodec
from protocol.errors import SQSError
from protocol.shapes import ListOf, MapOf, Scalar, Structure, Type, members
from protocol.wire import WireRequest, WireResponse

_CONTENT_TYPE = "application/json"
_NAMES = {"Messages": "messages", "QueueUrls": "queueUrls"}


def is_asked_for(request: WireRequest) -> bool:
    """Tell whether a request is answered so; a POST is not, whatever it accepts."""
    return request.method == "GET" and _CONTENT_TYPE in request.accept.lower()


class JsonQueryCodec(QueryCodec):
    """The Query protocol with other answers."""

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Write a result; an action without one has the metadata alone."""
        name = action.name
        content: dict[str, object] = {"ResponseMetadata": {"RequestId": request_id}}
        if action.result is not None:
            content[f"{name}Result"] = _value(result, Structure(action.result), "")
        return _response(200, {f"{name}Response": dict(sorted(content.items()))})

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Write an error, as SQS does without the envelope that results have."""
        if error.bare:
            return super().write_error(error, request_id)
        told = {
            "Code": error.code,
            "Message": error.query_message,
            "Type": "Sender" if error.sender_fault else "Receiver",
        }
        return _response(error.status, {"Error": told, "RequestId": request_id})


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
