"""The time of signing: its formats, and how long a signature is valid."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.errors import (
    IncompleteSignature,
    InvalidClientTokenId,
    SignatureDoesNotMatch,
)
from queueserver.signatures.requests import SignedRequest
from tests.signatures.drafts import URL_DRAFT, Draft
from tests.signatures.signed_requests import (
    SIGNED_AT,
    ExampleKey,
    rejection,
    verifier,
)

SEE_ISO = "See http://en.wikipedia.org/wiki/ISO_8601"

TIMES = [
    "20260102T030405",
    "20260102T030405Z ,",
    "2026-01-02T03:04:05Z",
    "20260102 030405Z",
    "20260102",
    "2026W011T030405Z",
    "20260230T030405Z",
    "20260102T240000Z",
    "20260102T030460Z",
    "20260102T03040\u0665Z",
    "20260102T030405z",
    "2026 102T030405Z",
    "202601+2T030405Z",
    "20260102T0304 5Z",
    "Fri, 02 Jan 2026 03:04:05 GMT",
    "9" * 5_000,
    "",
]


@pytest.mark.parametrize("time", TIMES)
def test_time_in_another_format_is_rejected(time: str) -> None:
    time_sent = time.encode().decode("latin-1")
    error = rejection(Draft(time=time_sent).in_header())
    assert type(error) is IncompleteSignature
    assert error.message.startswith("Date must be in ISO-8601 'basic format'. Got '")
    assert error.message.endswith(f"'. {SEE_ISO}")


@pytest.mark.parametrize(
    "time",
    [
        pytest.param("Fri, 02 Jan 2026 03:04:05 GMT", id="HTTP"),
        pytest.param("Fri, 02 Jan 2026 03:04:05 -0000", id="botocore"),
        pytest.param(SIGNED_AT, id="ISO 8601"),
    ],
)
def test_header_date_can_have_the_time_of_signing(time: str) -> None:
    draft = Draft(time_header="Date", time=time, signed_time=SIGNED_AT)
    assert verifier().verify(draft.in_header()) is not None


@pytest.mark.parametrize(
    "time",
    [
        "Fri, 02 Jan 2026 03:04:05 +0100",
        "Fri, 32 Jan 2026 03:04:05 GMT",
        "Fri, 02 Jam 2026 03:04:05 GMT",
        "02 Jan 2026 03:04:05 GMT",
        "Friday, 02-Jan-26 03:04:05 GMT",
    ],
)
def test_header_date_in_another_format_is_rejected(time: str) -> None:
    draft = Draft(time_header="Date", time=time, signed_time=SIGNED_AT)
    assert type(rejection(draft.in_header())) is IncompleteSignature


@pytest.mark.parametrize("make", [Draft.in_header, Draft.in_query], ids=["header", "URL"])
@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("20260102T024905Z", ""),
        ("20260102T024904Z", "Signature expired: "),
        ("20260102T031905Z", ""),
        (
            "20260102T031906Z",
            (
                "Signature not yet current: 20260102T031906Z is still later than 20260102T031905Z "
                "(20260102T030405Z + 15 min.)"
            ),
        ),
    ],
    ids=["15 min. old", "1 s older", "15 min. in the future", "1 s later"],
)
def test_signature_is_valid_for_15_minutes_both_ways(
    make: Callable[[Draft], SignedRequest], time: str, text: str
) -> None:
    request = make(URL_DRAFT._replace(time=time, expires="604800"))
    if text:
        assert rejection(request).message.startswith(text)
    else:
        assert verifier().verify(request) is not None


def test_presigned_url_is_valid_to_the_last_second_of_its_lifetime() -> None:
    draft = URL_DRAFT._replace(time="20260102T030355Z")
    assert verifier().verify(draft._replace(expires="10").in_query()) is not None
    assert type(rejection(draft._replace(expires="9").in_query())) is SignatureDoesNotMatch


def test_key_is_valid_until_it_expires() -> None:
    request = Draft().in_header()
    now = 1_767_323_045.0
    assert verifier(ExampleKey(expires=now + 0.5)).verify(request) is not None
    error = rejection(request, ExampleKey(expires=now))
    assert type(error) is InvalidClientTokenId
    assert error.message == "The security token included in the request is invalid."
    assert error.reason == "access key AKIDEXAMPLE has expired"
