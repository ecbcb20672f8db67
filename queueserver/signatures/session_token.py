"""Session tokens, which AWS issues with temporary access keys. This server has permanent ones."""

from __future__ import annotations

from protocol.errors import InvalidClientTokenId
from queueserver.signatures.request_target import SignedQuery
from queueserver.signatures.requests import SignedRequest


def check_no_session_token(request: SignedRequest, query: SignedQuery) -> None:
    """Reject a request with a session token.

    Raises:
        InvalidClientTokenId: the request has one, in a header or in the query string.
    """
    if b"x-amz-security-token" in request.headers or (
        query.pairs and any(name == b"X-Amz-Security-Token" for name, _ in query.pairs)
    ):
        # AWS's text has no final dot, unlike that for an unknown access key.
        raise InvalidClientTokenId(
            "The security token included in the request is invalid",
            reason="session token with a permanent key: AWS_SESSION_TOKEN is set at the client",
        )
