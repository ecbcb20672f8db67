"""Quotations in errors: short, printable, and without a signature."""

from __future__ import annotations

import pytest

from protocol.errors import (
    LONGEST_MESSAGE,
)
from queueserver.signatures.echo import LONGEST_ECHO
from queueserver.signatures.requests import SignedRequest
from tests.signatures.drafts import Draft
from tests.signatures.signed_requests import (
    HOST,
    SIGNED_AT,
    rejection,
    signed_request,
)

REGION = "Credential should be scoped to a valid region, not '{}'. "


def header_request(value: str, *more: tuple[str, str]) -> SignedRequest:
    """Return a request with this header Authorization."""
    headers = [("Host", HOST), ("X-Amz-Date", SIGNED_AT), ("Authorization", value), *more]
    return signed_request("POST", "/", headers, b"{}")


def test_error_quotes_at_most_200_characters() -> None:
    error = rejection(header_request(f"AWS4-HMAC-SHA256 {'Foo' * 5_000}"))
    assert len(error.message) < 2 * LONGEST_ECHO + 200
    for draft in (Draft(credential="A/" * 5_000), Draft(time="Z" * 5_000)):
        assert len(rejection(draft.in_header()).message) < LONGEST_ECHO + 200


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"AWS4-HMAC-SHA256 Signature={'ab' * 32}", id="parts missing"),
        pytest.param(f"AWS4-HMAC-SHA256 Signature={'ab' * 32}, FooBar", id="part before a fault"),
        pytest.param(f"AWS4-HMAC-SHA256 Signature {'ab' * 32}", id="no equal sign"),
        pytest.param(f"AWS4-HMAC-SHA256 Signature=zz{'ab' * 32}, x", id="not hexadecimal"),
        pytest.param(f"AWS AKID:{'ab' * 32}", id="Version 2"),
    ],
)
def test_error_quotes_no_signature(value: str) -> None:
    error = rejection(header_request(value))
    assert "ab" * 8 not in error.message + error.reason


def test_error_is_printable() -> None:
    credential = "AKID\x1b[2J\u2028\n/20260102/us-east-1/sqs/aws4_request".encode().decode(
        "latin-1"
    )
    error = rejection(Draft(credential=credential).in_header())
    assert error.reason == "access key AKID?[2J???? is unknown"
    credential = credential.replace("us-east-1", "\x1b\u00e9".encode().decode("latin-1"))
    error = rejection(Draft(credential=credential).in_header())
    assert error.message == REGION.format("???")


def test_canonical_request_in_an_error_is_printable() -> None:
    message = rejection(Draft(headers=(("X-A", "\x1b[2J\x80\xe9"),), secret=b"another").in_header())
    assert "x-a:?[2J??\n" in message.message


def test_long_canonical_request_is_cut_in_its_middle() -> None:
    draft = Draft(headers=(("X-Long", "y" * 10_000),), secret=b"another")
    message = rejection(draft.in_header()).message
    assert len(message) == LONGEST_MESSAGE
    assert f"'POST\n/\n\nhost:{HOST}\nx-amz-date:{SIGNED_AT}\nx-long:yyy" in message
    assert "yyy\n...\nyyy" in message
    assert "\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in message
    assert message.endswith("'\n")


def test_wrong_signature_by_an_unknown_key_shows_no_canonical_request() -> None:
    draft = Draft(credential="AKID/20260102/us-east-1/sqs/aws4_request", secret=b"another")
    error = rejection(draft.in_header())
    assert error.message == "The security token included in the request is invalid."
    assert error.reason == "access key AKID is unknown"


def test_reason_names_the_hosts_that_were_tried() -> None:
    error = rejection(Draft(secret=b"another").in_header(), hosts=("sqs.example.com", HOST))
    assert f"(hosts tried: {HOST}, sqs.example.com)" in error.reason
    assert "sqs.example.com" not in error.message
