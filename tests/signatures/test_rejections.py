"""The error of each fault of a signature: its code and text are AWS's, and so is the order."""

from __future__ import annotations

from itertools import combinations
from typing import Any, TypeAlias

import pytest

from protocol.errors import (
    IncompleteSignature,
    InvalidClientTokenId,
    MalformedQueryString,
    SignatureDoesNotMatch,
    SQSError,
)
from queueserver.signatures.requests import SignedRequest
from tests.signatures.drafts import URL_DRAFT, Draft
from tests.signatures.signed_requests import (
    HOST,
    SIGNED_AT,
    authorization,
    rejection,
    signed_request,
    verifier,
)

Fault: TypeAlias = dict[str, Any]
"""Fields of a draft that make it invalid; their types are those of `Draft`."""

INCOMPLETE, MALFORMED = IncompleteSignature, MalformedQueryString
MISMATCH, NO_KEY = SignatureDoesNotMatch, InvalidClientTokenId

NO_HOST = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
SEE_ISO = "See http://en.wikipedia.org/wiki/ISO_8601"
ONE_OF_FIVE = (
    "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"
    " got"
)
REGION = "Credential should be scoped to a valid region, not '{}'. "
SERVICE = "Credential should be scoped to correct service: 'sqs'. "
TERMINATOR = "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'."
DATE = (
    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
    " '{}' != '20260102', from '20260102T030405Z'."
)
EXPIRED = "Signature expired: {} is now earlier than {} (20260102T030405Z - {})"


IN_ORDER: list[tuple[str, Fault, type[SQSError], str]] = [
    (
        "escape in the path",
        {"path": "/%yy"},
        MALFORMED,
        "Illegal hex character in escape % pattern: %yy",
    ),
    (
        "content encoding",
        {"unsigned": (("Content-Encoding", "gzip"),)},
        INCOMPLETE,
        "A signed request must not have the Content-Encoding 'gzip'.",
    ),
    (
        "algorithm",
        {"algorithm": "AWS5-HMAC-SHA256"},
        INCOMPLETE,
        "Unsupported AWS 'algorithm': 'AWS5-HMAC-SHA256'.",
    ),
    (
        "missing part",
        {"omit": "Credential"},
        INCOMPLETE,
        "Authorization header requires 'Credential' parameter. Authorization=AWS4-HMAC-SHA256 ",
    ),
    ("host is not signed", {"signed": "x-amz-date;x-amz-target"}, MISMATCH, NO_HOST),
    (
        "expired",
        {"time": "20260102T024904Z"},
        MISMATCH,
        EXPIRED.format("20260102T024904Z", "20260102T024905Z", "15 min."),
    ),
    ("scope has no five parts", {"credential": "AKIDEXAMPLE"}, INCOMPLETE, ONE_OF_FIVE),
    (
        "region",
        {"credential": "AKIDEXAMPLE/20260102/Q/sqs/aws4_request"},
        MISMATCH,
        REGION.format("Q"),
    ),
    (
        "access key",
        {"credential": "AKID/20260102/us-east-1/sqs/aws4_request"},
        NO_KEY,
        "The security token included in the request is invalid.",
    ),
    (
        "hash of the body",
        {
            "headers": (("X-Amz-Content-Sha256", "0" * 64),),
        },
        MISMATCH,
        "The header 'x-amz-content-sha256' must be",
    ),
    ("secret", {"secret": b"another"}, MISMATCH, SignatureDoesNotMatch.text),
    (
        "session token",
        {"headers": (("X-Amz-Security-Token", "t"),)},
        NO_KEY,
        "The security token included in the request is invalid",
    ),
]
"""Faults in the order in which AWS reports them, with the error and the beginning of its text."""


@pytest.mark.parametrize(
    ("fault", "error", "text"), [pytest.param(*row[1:], id=row[0]) for row in IN_ORDER]
)
def test_fault_has_its_own_error(fault: Fault, error: type[SQSError], text: str) -> None:
    found = rejection(Draft(**fault).in_header())
    assert type(found) is error
    assert found.message.startswith(text)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(first[1:], second[1], id=f"{first[0]}, then {second[0]}")
        for first, second in combinations(IN_ORDER, 2)
        if not first[1].keys() & second[1].keys()
    ],
)
def test_earlier_of_two_faults_is_reported(
    first: tuple[Fault, type[SQSError], str], second: Fault
) -> None:
    fault, error, text = first
    found = rejection(Draft(**fault, **second).in_header())
    assert type(found) is error
    assert found.message.startswith(text)


def header_request(value: str, *more: tuple[str, str]) -> SignedRequest:
    """Return a request with this header Authorization."""
    headers = [("Host", HOST), ("X-Amz-Date", SIGNED_AT), ("Authorization", value), *more]
    return signed_request("POST", "/", headers, b"{}")


VALID = authorization("0" * 64, "host;x-amz-date")
SCOPE = "AKIDEXAMPLE/20260102/us-east-1/sqs/aws4_request"
NO_ALGORITHM = "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'."
VERSION_2 = (
    "Signature Version 2 is not supported. Sign requests with Signature Version 4"
    " (AWS4-HMAC-SHA256)."
)
HEADERS = [
    (
        "all parts missing",
        "AWS4-HMAC-SHA256",
        (
            "Authorization header requires 'Credential' parameter. "
            "Authorization header requires 'Signature' parameter. "
            "Authorization header requires 'SignedHeaders' parameter. "
            "Authorization=AWS4-HMAC-SHA256"
        ),
    ),
    (
        "part without an equal sign",
        "AWS4-HMAC-SHA256 FooBar",
        (
            "'FooBar' not a valid key=value pair (missing equal-sign) in Authorization header:"
            " 'AWS4-HMAC-SHA256 FooBar'."
        ),
    ),
    (
        "empty part",
        "AWS4-HMAC-SHA256 ,",
        (
            "'' not a valid key=value pair (missing equal-sign) in Authorization header:"
            " 'AWS4-HMAC-SHA256 ,'."
        ),
    ),
    (
        "unknown part",
        f"{VALID}, credential=x",
        "Authorization header has no parameter 'credential'.",
    ),
    (
        "credential twice",
        VALID.replace("Credential=", "Credential=AKIDOTHER, Credential="),
        "Authorization header must have 'Credential' parameter only once.",
    ),
    (
        "signature twice",
        f"{VALID}, Signature={'1' * 64}",
        "Authorization header must have 'Signature' parameter only once.",
    ),
    ("empty", "", NO_ALGORITHM),
    ("Basic", "Basic QUtJRDpzZWNyZXQ=", NO_ALGORITHM),
    ("Bearer", "Bearer e30.e30.", NO_ALGORITHM),
    ("no scheme", "QUtJRDpzZWNyZXQ", NO_ALGORITHM),
    ("algorithm in lower case", VALID.lower(), "Unsupported AWS 'algorithm': 'aws4-hmac-sha256'."),
    (
        "Version 4A",
        VALID.replace("HMAC", "ECDSA-P256"),
        "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
    ),
    ("Version 3", "AWS3-HTTPS AWSAccessKeyId=x", "Unsupported AWS 'algorithm': 'AWS3-HTTPS'."),
    ("Version 2", "AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=", VERSION_2),
]


@pytest.mark.parametrize(("value", "text"), [pytest.param(*row[1:], id=row[0]) for row in HEADERS])
def test_malformed_header_is_an_incomplete_signature(value: str, text: str) -> None:
    error = rejection(header_request(value))
    assert type(error) is IncompleteSignature
    assert error.message == text


def test_missing_time_is_reported() -> None:
    request = signed_request("GET", "/", {"Host": HOST, "Authorization": VALID})
    error = rejection(request)
    assert type(error) is IncompleteSignature
    assert error.message == (
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        f"Authorization=AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, "
        "Signature=..."
    )


def test_missing_time_is_reported_together_with_the_missing_parts() -> None:
    request = signed_request("GET", "/", {"Host": HOST, "Authorization": "AWS4-HMAC-SHA256"})
    assert rejection(request).message == (
        "Authorization header requires 'Credential' parameter. "
        "Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "Authorization=AWS4-HMAC-SHA256"
    )


URL_FAULTS: list[tuple[str, Fault, type[SQSError], str]] = [
    *(
        (
            f"{name} is missing",
            {"omit": name},
            INCOMPLETE,
            (
                f"AWS query-string parameters must include '{name}'. "
                "Re-examine the query-string parameters."
            ),
        )
        for name in (
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
            "X-Amz-Date",
            "X-Amz-Expires",
        )
    ),
    (
        "algorithm",
        {"algorithm": "AWS4-ECDSA-P256-SHA256"},
        INCOMPLETE,
        "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
    ),
    *(
        (
            f"lifetime {text!r}",
            {"expires": text},
            INCOMPLETE,
            f"X-Amz-Expires must be a number of seconds from 1 to 604800. Got '{shown}'.",
        )
        for text, shown in (
            ("-1", "-1"),
            ("0", "0"),
            ("604801", "604801"),
            ("999999999", "999999999"),
            ("1e9", "1e9"),
            ("1.0", "1.0"),
            ("", ""),
            (" 1", " 1"),
            ("+1", "+1"),
            ("1_0", "1_0"),
            ("\u0663", "??"),
        )
    ),
    ("host is not signed", {"signed": ""}, MISMATCH, NO_HOST),
    (
        "time",
        {"time": "yesterday"},
        INCOMPLETE,
        f"Date must be in ISO-8601 'basic format'. Got 'yesterday'. {SEE_ISO}",
    ),
    (
        "older than 15 minutes",
        {"time": "20260102T024904Z", "expires": "604800"},
        MISMATCH,
        EXPIRED.format("20260102T024904Z", "20260102T024905Z", "15 min."),
    ),
    (
        "older than its lifetime",
        {"time": "20260102T030354Z", "expires": "10"},
        MISMATCH,
        EXPIRED.format("20260102T030354Z", "20260102T030355Z", "10 sec."),
    ),
    ("scope", {"credential": "AKIDEXAMPLE"}, INCOMPLETE, f"{ONE_OF_FIVE} 'AKIDEXAMPLE'"),
    (
        "repeated parameter of the signature",
        {"more": (("X-Amz-Date", SIGNED_AT),)},
        MALFORMED,
        "The query string of a signed request must have each parameter only once.",
    ),
    (
        "session token",
        {"more": (("X-Amz-Security-Token", "t"),)},
        NO_KEY,
        "The security token included in the request is invalid",
    ),
]


@pytest.mark.parametrize(
    ("fault", "error", "text"), [pytest.param(*row[1:], id=row[0]) for row in URL_FAULTS]
)
def test_fault_of_a_presigned_url_has_its_own_error(
    fault: Fault, error: type[SQSError], text: str
) -> None:
    found = rejection(URL_DRAFT._replace(**fault).in_query())
    assert type(found) is error
    assert found.message == text


SCOPES = [
    pytest.param("20260102/Q/sqs/aws4_request", REGION.format("Q"), id="region"),
    pytest.param("20260102//sqs/aws4_request", REGION.format(""), id="empty region"),
    pytest.param("20260102/us-east-1/s3/aws4_request", SERVICE, id="service"),
    pytest.param("20260102/us-east-1/SQS/aws4_request", SERVICE, id="service in upper case"),
    pytest.param(
        "20260102/us-east-1/sqs/aws4_requestx", TERMINATOR.format("aws4_requestx"), id="terminator"
    ),
    pytest.param("20260101/us-east-1/sqs/aws4_request", DATE.format("20260101"), id="date"),
    pytest.param(
        "1/a_b/s3/x",
        REGION.format("a_b") + SERVICE + TERMINATOR.format("x") + DATE.format("1"),
        id="all parts",
    ),
]


@pytest.mark.parametrize(("scope", "text"), SCOPES)
def test_faults_of_a_scope_are_reported_together(scope: str, text: str) -> None:
    error = rejection(Draft(credential=f"AKIDEXAMPLE/{scope}").in_header())
    assert type(error) is SignatureDoesNotMatch
    assert error.message == text


def test_scope_must_be_for_the_region_that_the_host_demands() -> None:
    request = Draft().in_header()
    error = rejection(request, region="eu-west-1")
    assert error.message == REGION.format("us-east-1")
    assert verifier().verify(request, region="us-east-1") is not None
    assert verifier().verify(request, region=None) is not None
