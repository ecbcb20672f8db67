"""Requests and responses as the codecs see them, independent of the HTTP library."""

from __future__ import annotations

from typing import Protocol

import msgspec

from protocol.actions import Action
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
        body: the body.
        query_error: the header x-amzn-query-error, or None; errors in JSON have it.
    """

    status: int
    content_type: str
    body: bytes
    query_error: str | None = None


class Codec(Protocol):
    """One of the protocols of SQS."""

    def read(self, request: WireRequest) -> tuple[Action, msgspec.Struct]:
        """Decode a request; raise `SQSError` if it is malformed."""

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Encode a result; it is None for an action without a result structure."""

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Encode an error."""
