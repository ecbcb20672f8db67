"""Attacks on signed headers: each must fail, and each test fails if the server lacks its guard."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from protocol.errors import (
    IncompleteSignature,
    SignatureDoesNotMatch,
)
from queueserver.signatures.requests import SignedRequest
from tests.signatures.attacks import (
    FORM,
    FORM_DRAFT,
    VALID,
    VALID_URL,
    changed,
    with_headers,
    with_query,
)
from tests.signatures.drafts import URL_DRAFT, Draft
from tests.signatures.signed_requests import HOST, rejection, signed_request, verifier


def test_unchanged_requests_are_verified() -> None:
    for request in (VALID, VALID_URL, FORM_DRAFT.in_header()):
        assert verifier().verify(request) is not None


# 1, 2: two credentials


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(with_query(VALID, VALID_URL.query), id="both valid for some request"),
        pytest.param(
            Draft(query="X-Amz-Signature=0").in_header(), id="signature in the query string"
        ),
        pytest.param(
            Draft(query="X-Amz-Credential=AKIDOTHER").in_header(),
            id="credential in the query string",
        ),
        pytest.param(
            Draft(query="X%2DAmz-Signature=0").in_header(), id="name of the parameter encoded"
        ),
        pytest.param(Draft(query="Signature=0").in_header(), id="Version 2 in the query string"),
        pytest.param(
            URL_DRAFT._replace(unsigned=(("Authorization", ""),)).in_query(), id="empty header"
        ),
    ],
)
def test_01_credentials_in_the_header_and_in_the_query_string(request_: SignedRequest) -> None:
    error = rejection(request_)
    assert type(error) is SignatureDoesNotMatch
    assert error.message == ""
    assert "both in a header and in the query string" in error.reason


SINGLE_HEADERS = [
    "Authorization",
    "Content-Type",
    "Date",
    "Host",
    "X-Amz-Content-Sha256",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Target",
]


@pytest.mark.parametrize("name", SINGLE_HEADERS)
def test_02_and_06_header_that_comes_twice(name: str) -> None:
    pairs = (("x-other", "1"), (name, "1"), (name, "1"))
    draft = Draft(unsigned=pairs)
    requests = [draft.in_header(), draft._replace(query="Action=ListQueues").in_header()]
    requests += [draft.in_query()] if name != "Authorization" else []
    for request in requests:
        error = rejection(request)
        assert type(error) is IncompleteSignature
        assert error.message == f"A signed request must have the header '{name.lower()}' only once."


@pytest.mark.parametrize("name", ["X-Amz-Target", "Content-Type"])
def test_06_signed_header_that_comes_twice_with_a_signature_over_both(name: str) -> None:
    values = ("AmazonSQS.ListQueues", "AmazonSQS.DeleteQueue")
    draft = Draft(headers=((name, ",".join(values)),))
    request = draft.in_header()
    assert verifier().verify(request) is not None
    twice = [(name.encode(), value.encode()) for value in values]
    pairs = [pair for pair in request.headers.items() if pair[0] != name.lower().encode()]
    request = SignedRequest.from_pairs("POST", "/", [*pairs, *twice], draft.body, has_form=False)
    assert type(rejection(request)) is IncompleteSignature


def test_repeated_header_of_no_consequence_is_verified() -> None:
    request = signed_request("GET", "/", [("X-A", "1 "), ("x-a", " 2"), ("X-B", "3")])
    assert request.headers == {b"x-a": b"1,2", b"x-b": b"3"}
    assert request.repeated == {b"x-a"}
    assert verifier().verify(Draft(unsigned=(("X-A", "1"), ("X-A", "2"))).in_header()) is not None


# 3, 4, 5, 7: what is signed


@pytest.mark.parametrize("draft", [Draft(), URL_DRAFT], ids=["JSON", "URL"])
def test_03_request_that_is_sent_to_another_server(draft: Draft) -> None:
    elsewhere = draft._replace(sent_host="sqs.example.com")
    for request in (elsewhere.in_header(), elsewhere.in_query()):
        assert type(rejection(request)) is SignatureDoesNotMatch
        verified = verifier().verify(request, [HOST])
        assert verified is not None
        assert verified.host == HOST.encode()


def test_03_signature_without_the_host() -> None:
    draft = Draft(signed="content-type;x-amz-date;x-amz-target", sent_host="sqs.example.com")
    error = rejection(draft.in_header())
    assert "'Host' or ':authority' must be" in error.message
    assert "'Host' or ':authority' must be" in rejection(draft.in_query()).message


LISTS = [
    pytest.param("", id="empty"),
    pytest.param("Host;X-Amz-Date;X-Amz-Target", id="upper case"),
    pytest.param("Content-Type;host;x-amz-date;x-amz-target", id="one in upper case"),
    pytest.param("host;x-amz-target;x-amz-date", id="not sorted"),
    pytest.param("host;x-amz-date;x-amz-date;x-amz-target", id="repeated"),
    pytest.param("host;x-absent;x-amz-date;x-amz-target", id="absent header"),
    pytest.param(";host;x-amz-date;x-amz-target", id="empty name"),
    pytest.param("host;x-amz-date;x-amz-target;", id="empty name at the end"),
    pytest.param("host; x-amz-date;x-amz-target", id="space"),
]


@pytest.mark.parametrize("signed", LISTS)
def test_04_list_of_signed_headers_that_is_malformed(signed: str) -> None:
    assert type(rejection(Draft(signed=signed).in_header())) is SignatureDoesNotMatch


def test_04_long_list_of_signed_headers_is_parsed_too() -> None:
    headers = tuple((f"X-{number:03}", "1") for number in range(100))
    assert verifier().verify(Draft(headers=headers).in_header()) is not None
    draft = Draft(headers=headers, unsigned=(("X-Amz-Target", "AmazonSQS.DeleteQueue"),))
    assert "'x-amz-target' must be" in rejection(draft.in_header()).message


@pytest.mark.parametrize("name", ["X-Amz-Target", "X-Amz-Content-Sha256", "X-Amz-Security-Token"])
@pytest.mark.parametrize("way", [Draft.in_header, Draft.in_query], ids=["header", "URL"])
def test_05_header_with_a_meaning_that_is_not_signed(
    name: str, way: Callable[[Draft], SignedRequest]
) -> None:
    value = hashlib.sha256(b"{}").hexdigest() if name == "X-Amz-Content-Sha256" else "added"
    error = rejection(way(Draft(headers=(), unsigned=((name, value),))))
    assert type(error) is SignatureDoesNotMatch
    assert error.message == f"'{name.lower()}' must be a 'SignedHeader' in the AWS Authorization."


@pytest.mark.parametrize("name", ["X-Amz-Date", "Date"])
def test_05_time_that_is_not_signed(name: str) -> None:
    error = rejection(Draft(time_header=name, signed="content-type;host;x-amz-target").in_header())
    assert error.message == f"'{name.lower()}' must be a 'SignedHeader' in the AWS Authorization."


def test_05_target_that_is_signed_and_changed() -> None:
    request = with_headers(VALID, x_amz_target="AmazonSQS.DeleteQueue")
    assert type(rejection(request)) is SignatureDoesNotMatch


def test_07_content_type_that_is_not_signed_is_reported() -> None:
    draft = Draft(headers=(("X-Amz-Target", "AmazonSQS.ListQueues"),))
    verified = verifier().verify(draft._replace(unsigned=(("Content-Type", FORM),)).in_header())
    assert verified is not None
    assert not verified.is_content_type_signed
    assert verified.signs(b"x-amz-target")
    verified = verifier().verify(Draft().in_header())
    assert verified is not None
    assert verified.is_content_type_signed


def test_07_content_type_that_is_signed_and_changed() -> None:
    assert type(rejection(with_headers(VALID, content_type=FORM))) is SignatureDoesNotMatch


# 23, 24: the host, and the state of a connection


def test_23_forwarded_host_is_tried_only_if_the_caller_trusts_it() -> None:
    request = Draft(
        host="sqs.example.com",
        sent_host=HOST,
        unsigned=(("X-Forwarded-Host", "sqs.example.com"),),
    ).in_header()
    assert type(rejection(request)) is SignatureDoesNotMatch
    verified = verifier().verify(request, ["sqs.example.com"])
    assert verified is not None
    assert verified.host == b"sqs.example.com"


def test_24_next_request_is_verified_on_its_own() -> None:
    shared = verifier()
    assert shared.verify(VALID) is not None
    assert shared.verify(signed_request("POST", "/", {"Host": HOST}, b"{}")) is None
    with pytest.raises(SignatureDoesNotMatch):
        shared.verify(changed(VALID, body=b"[]"))


def test_request_without_a_host_is_verified_by_no_empty_host() -> None:
    headers = dict(Draft(host="").in_header().headers)
    del headers[b"host"]
    error = rejection(changed(VALID, headers=headers))
    assert type(error) is SignatureDoesNotMatch
    assert "a signed header is missing" in error.reason
