"""Requests and responses as the codecs see them, independent of the HTTP library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from protocol.actions import Action, Message
from protocol.errors import SQSError


class WireRequest(msgspec.Struct):
    """A request. An absent header is an empty string.

    Attributes:
        method: the HTTP method.
        path: the path without the query, percent-encoded as received.
        query: the query string, percent-encoded as received.
        content_type: the header Content-Type.
        target: the header X-Amz-Target.
        accept: the header Accept.
        body: the body; it is read after the headers.
    """

    method: str
    path: str
    query: str = ""
    content_type: str = ""
    target: str = ""
    accept: str = ""
    body: bytes = b""


class WireResponse(msgspec.Struct, frozen=True):
    """A response. The sender adds the header x-amzn-RequestId.

    Attributes:
        status: the HTTP status.
        content_type: the header Content-Type.
        body: the body, or the beginning of it.
        query_error: the header x-amzn-query-error, or None; errors in JSON have it.
        rest: the other pieces of a long body; joining them would take too long.
    """

    status: int
    content_type: str
    body: bytes
    query_error: str | None = None
    rest: tuple[bytes, ...] = ()

    @property
    def length(self) -> int:
        """The length of the whole body in bytes."""
        return len(self.body) + (sum(map(len, self.rest)) if self.rest else 0)


class Codec(Protocol):
    """One of the protocols of SQS. `reads_forms` is whether it reads a body as a form."""

    reads_forms: bool

    def action_in_headers(self, request: WireRequest) -> Action | None:
        """Return the action that the headers name; None if only the body may name one."""

    def is_long(self, request: WireRequest) -> bool:
        """Return whether reading the request may take more than a few milliseconds."""

    def read(self, request: WireRequest) -> tuple[Action, msgspec.Struct]:
        """Decode a request; raise `SQSError` if it is malformed."""

    def missing_queue_error(
        self, request: WireRequest, queue_url: str, host: str, base_url: str
    ) -> SQSError:
        """Return the error for a request whose queue does not exist, or that names none.

        `queue_url` may be empty. `host` is the header Host; `base_url` is that of the queue URLs
        that the client gets.
        """

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result; it is None for an action without a result structure."""

    def write_messages(self, messages: Sequence[Message], request_id: str) -> WireResponse:
        """Encode a long result of ReceiveMessage, one message after the other."""

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Encode an error."""
