"""The credential and the address of a request: read from its headers and its query."""

from __future__ import annotations

import pytest

from queueserver.identity import credentials
from queueserver.identity.addressing import Addressing
from queueserver.identity.credentials import Credential, credential_of

HEADER = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/sqs/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=0"
)
REORDERED = (
    "AWS4-HMAC-SHA256 SignedHeaders=host;x-amz-date, Signature=0, "
    "Credential=AKIDEXAMPLE/20260101/eu-west-1/sqs/aws4_request"
)
PRESIGNED = "Action=ListQueues&X-Amz-Credential=111122223333%2F20260101%2Fus-west-2%2Fsqs%2Faws4"

LONG = HEADER.replace("AKIDEXAMPLE", "A" * 300)
AKID = Credential("AKIDEXAMPLE", "eu-west-1", None)
ACCOUNT = Credential("111122223333", "us-west-2", "111122223333")


@pytest.fixture
def addressing() -> Addressing:
    made = Addressing(None)
    made.own_url = "http://127.0.0.1:9324"
    return made


@pytest.mark.parametrize(
    ("authorization", "query", "credential"),
    [
        pytest.param(HEADER, "", AKID, id="header"),
        pytest.param(None, PRESIGNED, ACCOUNT, id="query"),
        pytest.param("", PRESIGNED, ACCOUNT, id="empty header"),
        pytest.param(HEADER, PRESIGNED, AKID, id="both"),
        pytest.param(REORDERED, "", AKID, id="header with the credential last"),
        pytest.param(LONG, "", Credential("A" * 300, "eu-west-1", None), id="long access key id"),
        pytest.param("Basic dTpw", PRESIGNED, None, id="another scheme"),
        pytest.param(None, "", None, id="none"),
        pytest.param("Credential=/20260101/eu-west-1/sqs/", "", None, id="no access key id"),
        pytest.param("Credential=a/2026/eu-west-1/sqs/", "", None, id="no date"),
    ],
)
def test_credential_in_the_header_overrides_that_in_the_query(
    authorization: str | None, query: str, credential: Credential | None
) -> None:
    assert credential_of(authorization, query) == credential


@pytest.mark.parametrize(
    ("access_key_id", "account"),
    [("111122223333", "111122223333"), ("11112222333", None), ("AKIDEXAMPLE", None)],
)
def test_access_key_id_of_12_digits_is_the_account(access_key_id: str, account: str | None) -> None:
    for _ in range(2):
        found = credential_of(f"Credential={access_key_id}/20260101/us-east-1/sqs/", "")
        assert found == Credential(access_key_id, "us-east-1", account)


def test_credential_cache_is_bounded_in_entries_and_bytes() -> None:
    for number in range(3_000):
        credential_of(f"Credential={number}/20260101/us-east-1/sqs/, {number}", "")
        credential_of(f"Credential={'x' * 200}{number}/20260101/us-east-1/sqs/, {number}", "")
    assert credentials._find_usual.cache_info().currsize <= 1_000


@pytest.mark.parametrize(
    ("headers", "base_url", "region"),
    [
        pytest.param(("q:9324", "", ""), "http://q:9324", None, id="host"),
        pytest.param(("sqs.eu-west-1.amazonaws.com", "", ""), None, "eu-west-1", id="region"),
        pytest.param(("q", "", "https"), "https://q", None, id="behind TLS"),
        pytest.param(("q", "a.example, b", "HTTPS, http"), "https://a.example", None, id="proxies"),
        pytest.param(("q", "sqs.eu-west-1.a", ""), "http://sqs.eu-west-1.a", None, id="forwarded"),
        pytest.param(("", "", ""), "http://127.0.0.1:9324", None, id="no host"),
        pytest.param(
            ("a b", "", ""), "http://127.0.0.1:9324", None, id="invalid characters in the host"
        ),
    ],
)
def test_headers_determine_the_base_url_and_the_region(
    addressing: Addressing, headers: tuple[str, str, str], base_url: str | None, region: str | None
) -> None:
    for _ in range(2):
        found = addressing.address(*headers)
        assert found == (base_url or f"http://{headers[0]}", region)


def test_public_url_overrides_the_headers() -> None:
    addressing = Addressing("https://sqs.example.com/base")
    found = addressing.address("sqs.eu-west-1.localhost", "other", "http")
    assert found == ("https://sqs.example.com/base", "eu-west-1")


def test_host_longer_than_a_host_name_is_no_base_url(addressing: Addressing) -> None:
    assert addressing.address("x" * 300, "", "").base_url == "http://127.0.0.1:9324"
    assert addressing.address("q", "x" * 300, "").base_url == "http://127.0.0.1:9324"


def test_region_longer_than_a_label_of_a_host_name_is_none(addressing: Addressing) -> None:
    assert addressing.address(f"sqs.eu-{'w' * 58}-1.amazonaws.com", "", "").region is not None
    assert addressing.address(f"sqs.eu-{'w' * 59}-1.amazonaws.com", "", "").region is None


def test_address_cache_is_bounded_in_entries_and_bytes(addressing: Addressing) -> None:
    for number in range(3_000):
        addressing.address(f"host-{number}", "", "")
        addressing.address("x" * 8_000, f"{number}", "")
        addressing.address("\U0001f600" * 100, f"{number}", "")
    assert len(addressing._cache) <= 1_000
    assert all(len("".join(key).encode()) <= 500 for key in addressing._cache)
    assert all("".join(key).isascii() for key in addressing._cache)
