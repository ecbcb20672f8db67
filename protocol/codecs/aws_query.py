"""The AWS Query protocol: a form, posted or in the URL, answered in XML."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from protocol.actions import ACTIONS, Action, Message
from protocol.codecs import forms, lengths, xml
from protocol.errors import (
    InvalidAction,
    InvalidAddress,
    MissingAction,
    NoSuchPath,
    QueueDoesNotExist,
    SQSError,
)
from protocol.wire import WireRequest, WireResponse

_CONTENT_TYPE = "text/xml"
_XML = '<?xml version="1.0"?>'
_NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
_MANY_PARAMETERS = 1_000
"""Parameters from which on a form is long: decoding takes up to 7 us for each."""

_WRITERS = {
    name: xml.members_writer(action.result) for name, action in ACTIONS.items() if action.result
}
_write_message = xml.element_writer("Message", xml.members_writer(Message))


class QueryCodec:
    """The codec of AWS Query."""

    reads_forms = True

    def action_in_headers(self, request: WireRequest) -> None:
        """Return None: the form names the action."""

    def is_long(self, request: WireRequest) -> bool:
        """Return whether reading the request may take more than a few milliseconds."""
        query = request.query.encode(errors="replace")
        return _is_long(request.body) or _is_long(query)

    def read(self, request: WireRequest) -> tuple[Action, msgspec.Struct]:
        """Decode a form; the path of a queue replaces a missing `QueueUrl`.

        Raises:
            NoSuchPath: the method is not GET or POST, or the path is neither `/` nor a queue's.
            MissingAction: a posted form has no `Action`.
            InvalidAction: `Action` is unknown, or is not allowed on the path of a queue.
            SQSError: see `protocol.codecs.forms`.
        """
        on_queue_path = _is_queue_path(request)
        posted = request.method == "POST"
        form = forms.parse(request.query, request.body if posted else b"")
        named = form.below.get("Action")
        if named is None or not named.text:
            raise MissingAction if posted else NoSuchPath
        action = ACTIONS.get(named.text)
        if action is None or (on_queue_path and not action.on_queue_path):
            raise InvalidAction(f"The action {named.text} is not valid for this endpoint.")
        if on_queue_path:
            form.supply("QueueUrl", request.path)
        return action, forms.structure(form, action.request)

    def missing_queue_error(
        self, request: WireRequest, queue_url: str, host: str, base_url: str
    ) -> SQSError:
        """Return the error for a request whose queue does not exist, or that names none.

        AWS: a request to `/` without a queue URL, or with that of another host, has the wrong
        address. The text names HTTPS, also if the server is reached without it.
        """
        base_host, _ = _host_and_path(base_url)
        own_hosts = {host.lower(), base_host}
        other_host, path = _host_and_path(queue_url)
        is_foreign = other_host and path and other_host not in own_hosts
        if _is_queue_path(request) or (queue_url and not is_foreign):
            return QueueDoesNotExist()
        return InvalidAddress(
            f"The address https://{host or base_host}/ is not valid for this endpoint."
        )

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result; the element of an empty result is present and empty."""
        name = action.name
        content = b"" if result is None else _WRITERS[name](result)
        tags = ("" if action.result is None else f"<{name}Result/>", "")
        if content:
            tags = (f"<{name}Result>", f"</{name}Result>")
        before, after = _envelope(name, request_id, *tags)
        return WireResponse(200, _CONTENT_TYPE, before + content + after)

    def write_messages(self, messages: Sequence[Message], request_id: str) -> WireResponse:
        """Encode a long result of ReceiveMessage."""
        tags = ("<ReceiveMessageResult>", "</ReceiveMessageResult>")
        before, after = _envelope("ReceiveMessage", request_id, *tags)
        rest = (*map(_write_message, messages), after)
        return WireResponse(200, _CONTENT_TYPE, before, rest=rest)

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Encode an error; the element `Detail` is always present and empty, as on AWS."""
        if error.bare:
            return WireResponse(error.status, _CONTENT_TYPE, f"<{error.shape}/>".encode())
        fault = "Sender" if error.sender_fault else "Receiver"
        parts = (
            f'{_XML}<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{fault}</Type>'
            f"<Code>{error.code}</Code><Message>".encode(),
            xml.escape(error.query_message),
            f"</Message><Detail/></Error><RequestId>{request_id}</RequestId>"
            "</ErrorResponse>".encode(),
        )
        return WireResponse(error.status, _CONTENT_TYPE, b"".join(parts))


def _is_long(form: bytes) -> bool:
    return len(form) > lengths.LONG_BYTES or lengths.has_more(form, b"&", _MANY_PARAMETERS)


def _host_and_path(url: str) -> tuple[str, str]:
    host, _, path = url.partition("://")[2].partition("/")
    return host.lower(), path


def _envelope(name: str, request_id: str, opening: str, closing: str) -> tuple[bytes, bytes]:
    """Return what comes before and after a result's content, with its opening and closing tag."""
    before = f'{_XML}<{name}Response xmlns="{_NAMESPACE}">{opening}'
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    return before.encode(), f"{closing}{metadata}</{name}Response>".encode()


def _is_queue_path(request: WireRequest) -> bool:
    """Return whether the path is a queue's and not `/`; raise `NoSuchPath` for any other."""
    segments = sum(1 for segment in request.path.split("/") if segment)
    if segments == 1 or request.method not in {"GET", "POST"} or not request.path.isascii():
        raise NoSuchPath
    return segments > 1
