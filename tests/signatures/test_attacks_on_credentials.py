"""Attacks on credentials: each must fail, and each test fails if the server lacks its guard."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

import pytest

from protocol.errors import (
    IncompleteSignature,
    InvalidClientTokenId,
    SignatureDoesNotMatch,
)
from queueserver.signatures import (
    authorization_header,
    request_target,
    scope,
    signed_headers,
    signing_time,
)
from queueserver.signatures.requests import SignedRequest
from tests.signatures.attacks import (
    FORM,
    VALID,
)
from tests.signatures.drafts import CREDENTIAL, JSON_HEADERS, Draft
from tests.signatures.signed_requests import (
    HOST,
    JSON,
    SIGNED_AT,
    rejection,
    signed_request,
    verifier,
)

# 15, 16: times are in test_rejections.py


def test_16_request_is_valid_again_until_it_is_15_minutes_old() -> None:
    for time in (SIGNED_AT, "20260102T031905Z"):
        assert verifier(time=time).verify(VALID) is not None
    with pytest.raises(SignatureDoesNotMatch, match="Signature expired"):
        verifier(time="20260102T031906Z").verify(VALID)


# 17, 18: scope and signature


def test_17_scope_of_another_region_or_service() -> None:
    assert "valid region" in rejection(VALID, region="eu-west-1").message
    for part in ("s3/aws4_request", "sqs/aws4_requestx", "sqs/aws4_request "):
        draft = Draft(credential=f"AKIDEXAMPLE/20260102/us-east-1/{part}")
        assert "Credential should be scoped" in rejection(draft.in_query()).message


def valid_signature() -> str:
    return VALID.headers[b"authorization"].decode().rpartition("=")[2]


SIGNATURES = [
    pytest.param(valid_signature().upper(), id="upper case"),
    pytest.param(valid_signature()[:-1], id="63 digits"),
    pytest.param(f"{valid_signature()}0", id="65 digits"),
    pytest.param("", id="empty"),
    pytest.param("0" * 64, id="zeros"),
    pytest.param("\u00e9" * 64, id="not ASCII"),
    pytest.param("\x00" * 64, id="null bytes"),
    pytest.param("f" * 10_000, id="long"),
]


@pytest.mark.parametrize("signature", SIGNATURES)
def test_18_signature_that_is_none(signature: str) -> None:
    draft = Draft(signature=signature)
    for request in (draft.in_header(), draft.in_query()):
        assert type(rejection(request)) is SignatureDoesNotMatch


# 19: other schemes, which must not become anonymous


VERSION_2 = "AWSAccessKeyId=AKID&SignatureVersion=2&SignatureMethod=HmacSHA256&Signature=a%3D"


def test_19_request_without_credentials_is_anonymous() -> None:
    headers = {"Host": HOST, "Content-Type": FORM}
    for target in ("/", "/000000000000/orders?Action=ReceiveMessage+x&Action=y"):
        assert verifier().verify(signed_request("GET", target, headers)) is None
    body = b"Action=SendMessage&MessageBody=Signature%3D1&MySignature=1"
    assert verifier().verify(signed_request("POST", "/", headers, body, has_form=True)) is None


@pytest.mark.parametrize(
    "query",
    [
        VERSION_2,
        "Action=ListQueues&Signature=a",
        "AWSAccessKeyId=AKID",
        "SignatureVersion=2",
        "Action=ListQueues&%53ignature=a",
        "Signature",
    ],
)
def test_19_version_2_in_the_query_string(query: str) -> None:
    error = rejection(signed_request("GET", f"/?{query}", {"Host": HOST}))
    assert type(error) is IncompleteSignature
    assert "Signature Version 2 is not supported" in error.message


@pytest.mark.parametrize(
    "body",
    [
        VERSION_2,
        "Action=ListQueues&Signature=a",
        "Action=ListQueues&AWSAccessKeyId=a",
        "SignatureVersion=1",
    ],
)
def test_19_version_2_in_a_form(body: str) -> None:
    headers = {"Host": HOST, "Content-Type": FORM}
    request = signed_request("POST", "/", headers, body.encode(), has_form=True)
    error = rejection(request)
    assert type(error) is IncompleteSignature
    assert "Signature Version 2 is not supported" in error.message


def test_19_text_of_a_json_message_is_no_credential() -> None:
    headers = {"Host": HOST, "Content-Type": JSON}
    request = signed_request("POST", "/", headers, f'{{"a":"&{VERSION_2}"}}'.encode())
    assert verifier().verify(request) is None


@pytest.mark.parametrize(
    "query", ["X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", "X-Amz-Signature=0", "X-Amz-Credential=a"]
)
def test_19_incomplete_presigned_url_is_not_anonymous(query: str) -> None:
    error = rejection(signed_request("GET", f"/?{query}", {"Host": HOST}))
    assert type(error) is IncompleteSignature


# 20, 21, 22: keys


def test_20_unknown_key_is_not_anonymous() -> None:
    unknown = CREDENTIAL.replace("AKIDEXAMPLE", "AKIDOTHER")
    for draft in (Draft(credential=unknown), Draft(credential=unknown, secret=b"x" * 40)):
        assert type(rejection(draft.in_header())) is InvalidClientTokenId
        assert type(rejection(draft.in_query())) is InvalidClientTokenId


def test_20_unknown_key_takes_as_long_as_a_known_one() -> None:
    unknown = CREDENTIAL.replace("AKIDEXAMPLE", "AKIDOTHER")
    known_times, unknown_times = [], []
    for _ in range(300):  # in turns: other processes then slow down both
        known_times.append(time_of_first_request(Draft().in_header()))
        unknown_times.append(time_of_first_request(Draft(credential=unknown).in_header()))
    assert min(unknown_times) > 0.75 * min(known_times)


def time_of_first_request(request: SignedRequest) -> float:
    """Return the time in seconds that a verifier takes for its first request."""
    new_verifier = verifier()
    begun = perf_counter()
    with suppress(InvalidClientTokenId):
        new_verifier.verify(request)
    return perf_counter() - begun


@pytest.mark.parametrize("way", [Draft.in_header, Draft.in_query], ids=["header", "URL"])
def test_21_session_token(way: Callable[[Draft], SignedRequest]) -> None:
    signed = Draft(headers=(*JSON_HEADERS, ("X-Amz-Security-Token", "token")))
    in_query = Draft(query="X-Amz-Security-Token=token")
    for draft in (signed, in_query):
        error = rejection(way(draft))
        assert type(error) is InvalidClientTokenId
        assert error.message == "The security token included in the request is invalid"
        assert "AWS_SESSION_TOKEN is set at the client" in error.reason
        assert type(rejection(way(draft._replace(secret=b"another")))) is SignatureDoesNotMatch


@pytest.mark.parametrize(
    "access_key_id", ["AKID\n", "\x1b[2J", "A" * 10_000, "", "\u00e9", "AKIDEXAMPLE ", "%41KID"]
)
def test_22_access_key_id_that_would_spoil_a_log(access_key_id: str) -> None:
    credential = CREDENTIAL.replace("AKIDEXAMPLE", access_key_id)
    error = rejection(Draft(credential=credential.encode().decode("latin-1")).in_header())
    assert type(error) is InvalidClientTokenId
    assert error.reason.isascii()
    assert error.reason.isprintable()
    assert len(error.reason) < 300


def test_22_signing_keys_are_cached_only_after_a_valid_signature() -> None:
    shared = verifier()
    for number in range(3_000):
        credential = CREDENTIAL.replace("us-east-1", f"eu-west-{number}")
        with pytest.raises(SignatureDoesNotMatch):
            shared.verify(Draft(credential=credential, signature="0" * 64).in_header())
    assert len(shared._ring._cache) == 0
    for number in range(1_500):
        credential = CREDENTIAL.replace("us-east-1", f"eu-west-{number}")
        assert shared.verify(Draft(credential=credential).in_header()) is not None
    assert 0 < len(shared._ring._cache) <= 1_000


CACHES = (
    authorization_header._parse_usual,
    request_target._parse_usual,
    scope._parse_usual,
    signed_headers._parse_usual,
    signing_time._parse,
)


def test_22_caches_of_parts_of_requests_are_bounded() -> None:
    for number in range(1_500):
        path = f"/{'p' * (number % 400)}{number}"
        credential = f"AKID{'x' * (number % 400)}{number}/20260102/us-east-1/sqs/aws4_request"
        headers = ((f"X-{'h' * (number % 600)}{number}", "1"),)
        rejection(Draft(path=path, credential=credential, headers=headers).in_header())
    for cache in CACHES:
        assert cache.cache_info().currsize <= 1_000


def long_drafts(long: str) -> list[Draft]:
    """Return drafts in which one part is long: the path, the headers, the time, the key ID."""
    drafts = [Draft(path=f"/{long}"), Draft(headers=((long, "1"),)), Draft(time=long)]
    drafts += [Draft(credential=CREDENTIAL.replace("AKIDEXAMPLE", long))]
    return [draft._replace(signature="0" * 64) for draft in drafts]


def test_22_only_short_parts_of_requests_are_cached() -> None:
    for draft, other in zip(long_drafts("x" * 1_001), long_drafts("y" * 1_002), strict=True):
        rejection(draft.in_header())  # its short parts are cached now
        misses = [cache.cache_info().misses for cache in CACHES]
        rejection(other.in_header())
        assert [cache.cache_info().misses for cache in CACHES] == misses
