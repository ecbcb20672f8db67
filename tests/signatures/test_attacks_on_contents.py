"""Attacks on the method, the target and the body of a request.

Each must fail, and each test fails if the server lacks its guard.
"""

from __future__ import annotations

import hashlib

import pytest

from protocol.errors import (
    IncompleteSignature,
    MalformedQueryString,
    SignatureDoesNotMatch,
)
from queueserver.signatures.requests import SignedRequest
from tests.signatures.attacks import (
    FORM_DRAFT,
    OTHER_HASH,
    VALID,
    VALID_URL,
    changed,
    with_query,
)
from tests.signatures.drafts import JSON_HEADERS, URL_DRAFT, Draft
from tests.signatures.signed_requests import HOST, rejection, verifier

# 8, 9, 10: the body


def test_08_body_that_was_swapped_after_signing() -> None:
    assert type(rejection(changed(VALID, body=b"[]"))) is SignatureDoesNotMatch
    digest = hashlib.sha256(b"{}").hexdigest()
    draft = Draft(headers=(*JSON_HEADERS, ("X-Amz-Content-Sha256", digest)))
    assert verifier().verify(draft.in_header()) is not None
    error = rejection(changed(draft.in_header(), body=b"[]"))
    assert type(error) is SignatureDoesNotMatch


CONTENT_HASHES = [
    "UNSIGNED-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    OTHER_HASH,
    hashlib.sha256(b"{}").hexdigest().upper(),
    "",
    "\u00e9",
]


@pytest.mark.parametrize("claimed", CONTENT_HASHES)
@pytest.mark.parametrize("in_last_line", [True, False], ids=["signed as payload", "header only"])
def test_09_hash_that_is_not_the_hash_of_the_body(claimed: str, in_last_line: bool) -> None:
    draft = Draft(
        headers=(*JSON_HEADERS, ("X-Amz-Content-Sha256", claimed)),
        payload=claimed if in_last_line else None,
    )
    for request in (draft.in_header(), draft.in_query()):
        error = rejection(request)
        assert type(error) is SignatureDoesNotMatch
        assert error.message.startswith("The header 'x-amz-content-sha256' must be")


def test_09_unsigned_payload_without_the_header() -> None:
    for draft in (Draft(payload="UNSIGNED-PAYLOAD"), URL_DRAFT._replace(payload=OTHER_HASH)):
        assert type(rejection(draft.in_header())) is SignatureDoesNotMatch
        assert type(rejection(draft.in_query())) is SignatureDoesNotMatch


@pytest.mark.parametrize("encoding", ["gzip", "aws-chunked", "identity, gzip", "GZIP", "deflate"])
def test_10_content_encoding(encoding: str) -> None:
    headers = (("Content-Encoding", encoding),)
    unsigned, signed = Draft(unsigned=headers), Draft(headers=(*headers, *JSON_HEADERS))
    for request in (unsigned.in_header(), signed.in_header(), signed.in_query()):
        error = rejection(request)
        assert type(error) is IncompleteSignature
        assert encoding in error.message


def test_10_content_encoding_that_comes_twice() -> None:
    headers = (("Content-Encoding", "identity"), ("Content-Encoding", "gzip"))
    assert "identity,gzip" in rejection(Draft(unsigned=headers).in_header()).message


def test_identity_is_no_content_encoding() -> None:
    draft = Draft(unsigned=(("Content-Encoding", "Identity"),))
    assert verifier().verify(draft.in_header()) is not None


# 11, 12, 13: the method and the query string


def test_11_presigned_get_that_is_replayed_as_a_post() -> None:
    body = b"Action=DeleteQueue"
    for method, sent in (("POST", body), ("POST", b""), ("GET", body)):
        request = changed(VALID_URL, method=method, body=sent, has_form=True)
        assert type(rejection(request)) is SignatureDoesNotMatch


def test_12_query_that_is_appended_to_a_signed_form() -> None:
    for query in ("Action=PurgeQueue", "a", "=", "&"):
        request = with_query(FORM_DRAFT.in_header(), query)
        assert rejection(request).status in {400, 403}
    appended = f"{VALID_URL.query}&QueueUrl=other"
    assert type(rejection(with_query(VALID_URL, appended))) is SignatureDoesNotMatch


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("Action=ListQueues&Action=PurgeQueue", id="action"),
        pytest.param("Action=PurgeQueue&Action%3DListQueues&Action=ListQueues", id="apart"),
        pytest.param("QueueUrl=a&QueueUrl=a", id="equal values"),
    ],
)
def test_13_parameter_that_comes_twice(query: str) -> None:
    for request in (Draft(query=query).in_header(), URL_DRAFT._replace(query=query).in_query()):
        assert type(rejection(request)) is MalformedQueryString


def test_13_parameter_that_comes_twice_with_an_encoded_name() -> None:
    draft = Draft(query="Action=ListQueues&Action=PurgeQueue")
    request = with_query(draft.in_header(), "%41ction=PurgeQueue&Action=ListQueues")
    assert type(rejection(request)) is MalformedQueryString


def test_13_order_of_parameters_does_not_matter() -> None:
    request = Draft(query="A=1&B=2").in_header()
    assert verifier().verify(with_query(request, "B=2&A=1")) is not None
    assert verifier().verify(with_query(request, "%42=%32&A=1")) is not None
    assert type(rejection(with_query(request, "A=2&B=1"))) is SignatureDoesNotMatch


@pytest.mark.parametrize("query", ["MessageBody=a+b", "a+b=c"])
def test_13_plus_sign_that_a_form_reads_as_a_space(query: str) -> None:
    request = Draft(query=query.replace("+", "%2B")).in_header()
    assert verifier().verify(request) is not None
    assert type(rejection(with_query(request, query))) is MalformedQueryString


# 14: the path


@pytest.mark.parametrize(
    "path",
    [
        "/000000000000/order%73",
        "/000000000000/orders/",
        "/000000000000%2Forders",
        "/000000000000/other",
        "/000000000000/orders/%2e%2e/orders",
        "/000000000000/x/%2e%2e/orders",
        "/000000000000/%2e/orders",
        "/000000000000/Orders",
        "/111122223333/../orders",
        "/000000000000/orders%00",
        "/",
    ],
)
def test_14_path_that_leads_elsewhere(path: str) -> None:
    request = FORM_DRAFT.in_header()
    assert type(rejection(changed(request, path=path))) is SignatureDoesNotMatch


@pytest.mark.parametrize(
    "path",
    [
        "//000000000000//orders",
        "/./000000000000/./orders",
        "/000000000000/111122223333/../orders",
        "/../000000000000/orders",
        "/000000000000/orders/111122223333/other/../..",
    ],
)
def test_14_path_with_dot_segments_has_one_meaning(path: str) -> None:
    verified = verifier().verify(changed(FORM_DRAFT.in_header(), path=path))
    assert verified is not None
    assert verified.path == "/000000000000/orders"


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/",
        "evil",
        "*",
        "",
        "/#/000000000000/orders",
        "/?a#b",
        "/%",
        "/?%1",
        "/%g1",
    ],
)
def test_14_target_that_is_no_path(target: str) -> None:
    for headers in (VALID.headers, {b"host": HOST.encode()}):
        pairs = list(headers.items())
        request = SignedRequest.from_pairs("POST", target, pairs, b"{}", has_form=False)
        assert type(rejection(request)) is MalformedQueryString
