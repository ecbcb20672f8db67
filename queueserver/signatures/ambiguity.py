"""Signed requests that two readers could understand differently are rejected.

The bytes that were verified must mean one thing: the signature covers equal headers joined, while
other code uses the first one, and it covers a body before its Content-Encoding is undone.
"""

from __future__ import annotations

import hmac

from protocol.errors import IncompleteSignature, MalformedQueryString, SignatureDoesNotMatch
from queueserver.signatures.echo import echo
from queueserver.signatures.request_target import SignedQuery
from queueserver.signatures.requests import SignedRequest

_SINGLE_HEADERS = frozenset(
    {
        b"authorization",
        b"content-type",
        b"date",
        b"host",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amz-target",
    }
)


def check_headers(request: SignedRequest) -> None:
    """Reject repeated headers that say what a request means, and a content encoding.

    Raises:
        IncompleteSignature: there is such a header.
    """
    if request.repeated and (repeated := _SINGLE_HEADERS & request.repeated):
        raise IncompleteSignature(
            f"A signed request must have the header '{min(repeated).decode()}' only once."
        )
    encoding = request.headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in {b"", b"identity"}:
        raise IncompleteSignature(
            f"A signed request must not have the Content-Encoding '{echo(encoding)}'."
        )


def check_query(query: SignedQuery) -> None:
    """Reject a repeated parameter and a plus sign.

    The canonical query is sorted, so the signature does not say which of two parameters comes
    first. A `+` is a space in a form, and a plus sign in a signature.

    Raises:
        MalformedQueryString: there is one.
    """
    if len(dict(query.pairs)) < len(query.pairs):
        raise MalformedQueryString(
            "The query string of a signed request must have each parameter only once."
        )
    if query.has_plus:
        raise MalformedQueryString(
            "The query string of a signed request must encode a space as %20, and a plus sign as"
            " %2B."
        )


def check_content_hash(request: SignedRequest, payload: bytes) -> None:
    """Reject a header x-amz-content-sha256 that is not the hash of the body, `payload`.

    `UNSIGNED-PAYLOAD` and the hashes of streams are for S3: the body would not be signed.

    Raises:
        SignatureDoesNotMatch: it is not.
    """
    claimed = request.headers.get(b"x-amz-content-sha256")
    if claimed is not None and not hmac.compare_digest(claimed.strip(), payload):
        raise SignatureDoesNotMatch(
            "The header 'x-amz-content-sha256' must be the SHA-256 hash of the request's body.",
            reason="x-amz-content-sha256 is not the hash of the body: another program changed"
            " the body, or the client does not sign bodies",
        )
