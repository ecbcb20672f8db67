"""Sign raw requests over HTTP by Signature Version 4, as boto3 does. It shares no server code."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

_ALGORITHM = b"AWS4-HMAC-SHA256"
_REPLACED = (b"authorization:", b"x-amz-date:")
_SIGNED = (b"content-type:", b"host:", b"x-amz-", b"x-amzn-query-mode:")
"""The beginnings of the headers that boto3 has when it signs, in lower case."""


class RequestSigner:
    """Signs requests whose path needs no encoding and that have no query string.

    `now` returns the time of signing in seconds since the epoch.
    """

    def __init__(
        self,
        access_key_id: str,
        secret: str,
        region: str = "us-east-1",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._access_key_id = access_key_id.encode()
        self._secret = secret.encode()
        self._region = region.encode()
        self._now = now
        self._signing_keys = lru_cache(4)(self._derive)

    def sign(self, request: bytes) -> bytes:
        """Return a request, head and body, with its time and signature instead of others."""
        head, _, body = request.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        signed_at = _basic_format(int(self._now()))
        lines = [line for line in lines if not line.lower().startswith(_REPLACED)]
        lines.append(b"X-Amz-Date: " + signed_at)
        lines.append(b"Authorization: " + self._authorization(start, lines, body, signed_at))
        return b"\r\n".join((start, *lines, b"", body))

    def _authorization(
        self, start: bytes, lines: list[bytes], body: bytes, signed_at: bytes
    ) -> bytes:
        method, path, _ = start.split(b" ")
        parts = [line.partition(b":") for line in lines if line.lower().startswith(_SIGNED)]
        signed = sorted((name.lower(), value.strip()) for name, _, value in parts)
        names = b";".join(name for name, _ in signed)
        headers = b"".join(b"%b:%b\n" % header for header in signed)
        canonical = b"\n".join((method, path, b"", headers, names, _sha256(body)))
        date = signed_at[:8]
        scope = b"/".join((date, self._region, b"sqs", b"aws4_request"))
        to_sign = b"\n".join((_ALGORITHM, signed_at, scope, _sha256(canonical)))
        signature = hmac.digest(self._signing_keys(date), to_sign, "sha256").hex().encode()
        return b"%b Credential=%b/%b, SignedHeaders=%b, Signature=%b" % (
            _ALGORITHM,
            self._access_key_id,
            scope,
            names,
            signature,
        )

    def _derive(self, date: bytes) -> bytes:
        key = b"AWS4" + self._secret
        for part in (date, self._region, b"sqs", b"aws4_request"):
            key = hmac.digest(key, part, "sha256")
        return key


def url_with_credentials(url: str, access_key_id: str, secret: str) -> str:
    """Return a server's URL with an access key, which the load clients sign with.

    The secret has no character that a URL would encode.
    """
    return url.replace("://", f"://{access_key_id}:{secret}@")


@lru_cache(16)
def signer_of(url: str) -> RequestSigner | None:
    """Return the signer for the access key in a URL, or None if it has none."""
    parts = urlsplit(url)
    if parts.username is None or parts.password is None:
        return None
    return RequestSigner(parts.username, parts.password)


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


@lru_cache(4)
def _basic_format(seconds: int) -> bytes:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds)).encode()
