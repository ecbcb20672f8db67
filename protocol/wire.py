"""What HTTP carries, without HTTP: a request, a response, and what a codec does with them.

Refuses everything about connections, and headers that neither protocol reads or writes.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from protocol.actions import Action
from protocol.errors import SQSError


class WireRequest(msgspec.Struct):
    """A request as it came. An absent header is an empty text; the body comes last.

    `path` (without the query) and `query` are raw, that is percent-encoded; `target` is the header
    `X-Amz-Target`.
    """

    method: str
    path: str
    query: str = ""
    content_type: str = ""
    target: str = ""
    accept: str = ""
    body: bytes = b""


class WireResponse(msgspec.Struct, frozen=True):
    """A response to be sent.

    `query_error` is the value for the header `x-amzn-query-error`, which JSON errors carry. The
    request's id is to be sent as `x-amzn-RequestId` with every response.
    """

    status: int
    content_type: str
    body: bytes
    query_error: str | None = None


class Codec(Protocol):
    """One of SQS's two protocols."""

    def read(self, request: WireRequest) -> tuple[Action, msgspec.Struct]:
        """Turn bytes into an action and its request structure; raises `SQSError` when malformed."""

    def write_result(
        self, action: Action, result: msgspec.Struct | None, request_id: str
    ) -> WireResponse:
        """Turn a result into bytes; `result` is None for an action that answers with nothing."""

    def write_error(self, error: SQSError, request_id: str) -> WireResponse:
        """Turn an error into bytes."""
