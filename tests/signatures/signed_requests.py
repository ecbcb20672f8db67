"""Keys, clocks and requests of the tests of signatures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from protocol.errors import SQSError
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.verifier import Verified, Verifier

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:9324"
JSON = "application/x-amz-json-1.0"
SIGNED_AT = "20260102T030405Z"


class ExampleKey(NamedTuple):
    """An access key as the verifier needs it."""

    access_key_id: str = ACCESS_KEY_ID
    secret: bytes = SECRET
    expires: float = float("inf")

    def is_expired(self, now: float) -> bool:
        """Return whether the key has expired."""
        return self.expires <= now


class ExampleKeys(dict[str, ExampleKey]):
    """Access keys by their IDs."""

    def __init__(self, *keys: ExampleKey) -> None:
        super().__init__({key.access_key_id: key for key in keys})

    def find(self, access_key_id: str) -> ExampleKey | None:
        """Return the key of an ID, or None."""
        return self.get(access_key_id)


def seconds(time: str) -> float:
    """Return a time in ISO 8601's basic format in seconds since the epoch."""
    return datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def verifier(
    *keys: ExampleKey, time: str = SIGNED_AT, service: str = "sqs"
) -> Verifier[ExampleKey]:
    """Return a verifier that knows the keys, by default the example key, at a fixed time."""
    now = seconds(time)
    return Verifier(ExampleKeys(*(keys or (ExampleKey(),))), lambda: now, service)


Verification = Verified[ExampleKey] | None


def signed_request(
    method: str,
    target: str,
    headers: dict[str, str] | list[tuple[str, str]],
    body: bytes = b"",
    *,
    has_form: bool = False,
) -> SignedRequest:
    """Return a request as it arrives, with its headers in order."""
    items = headers.items() if isinstance(headers, dict) else headers
    pairs = [(name.encode(), value.encode()) for name, value in items]
    return SignedRequest.from_pairs(method, target, pairs, body, has_form=has_form)


def authorization(
    signature: str,
    signed_headers: str,
    *,
    date: str = SIGNED_AT[:8],
    region: str = "us-east-1",
    service: str = "sqs",
) -> str:
    """Return the header Authorization of the example key."""
    scope = f"{ACCESS_KEY_ID}/{date}/{region}/{service}/aws4_request"
    return (
        f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed_headers}, "
        f"Signature={signature}"
    )


def rejection(
    request: SignedRequest,
    *keys: ExampleKey,
    hosts: tuple[str, ...] = (),
    region: str | None = None,
) -> SQSError:
    """Return the error that rejects a request, which is the fault of its sender."""
    with pytest.raises(SQSError) as caught:
        verifier(*keys).verify(request, hosts, region)
    assert 400 <= caught.value.status < 500
    return caught.value
