"""Credentials that are wrong or not understood are rejected: no such request becomes anonymous.

Each is tried on a queue that all may use, without credentials too.
"""

from __future__ import annotations

import pytest

from tests.access.declared_users import KeyPair
from tests.access.wire.drafts import SCOPE, draft, url_draft
from tests.access.wire.http_requests import HttpRequest, as_sent, get
from tests.access.wire.wire_server import ADMIN, EXPIRED, PRODUCER, WireServer
from tests.api.raw_http import parse_error

ID, SECRET = ADMIN.key_pairs[0][:2]
V4 = f"AWS4-HMAC-SHA256 Credential={ID}/{SCOPE}, SignedHeaders=host;x-amz-date, Signature="


def send(server: WireServer, protocol: str = "json", **parameters: object) -> HttpRequest:
    """Return a request that all may make."""
    return server.post(protocol, "SendMessage", QueueUrl="public", MessageBody="x", **parameters)


def send_by_get(server: WireServer, more: str) -> HttpRequest:
    request = get(server.host, "/000000000000/public", Action="SendMessage", MessageBody="x")
    return request._replace(target=f"{request.target}&{more}")


def test_request_without_credentials_may_use_a_public_queue_alone(
    server: WireServer, protocol: str
) -> None:
    assert server.answer(send(server, protocol)).status == 200
    assert server.answer(send_by_get(server, "x=1")).status == 200
    assert server.message_count("public") == 2
    server.purge("public")
    private = server.post(protocol, "SendMessage", QueueUrl="orders", MessageBody="x")
    error = server.rejection(private)
    assert (error.status, error.code) == (403, "AccessDenied")


HEADERS = [
    pytest.param("", id="empty"),
    pytest.param(" ", id="space"),
    pytest.param("x", id="word"),
    pytest.param("Basic dXNlcjpwYXNzd29yZA==", id="Basic"),
    pytest.param("Bearer eyJhbGciOiJub25lIn0.e30.", id="Bearer"),
    pytest.param(f"AWS {ID}:frJIUN8DYpKDtOLCwo//yllqDzg=", id="Version 2"),
    pytest.param(f"AWS3-HTTPS AWSAccessKeyId={ID},Algorithm=HmacSHA256,Signature=x", id="3"),
    pytest.param(
        f"AWS4-ECDSA-P256-SHA256 Credential={ID}/{SCOPE}, SignedHeaders=host, Signature=00",
        id="Version 4a",
    ),
    pytest.param("AWS4-HMAC-SHA256", id="no parameters"),
    pytest.param("AWS4-HMAC-SHA256 ", id="no parameters, space"),
    pytest.param("aws4-hmac-sha256 Credential=x", id="lower case"),
    pytest.param(f"AWS4-HMAC-SHA256 Credential={ID}", id="no signature"),
    pytest.param(V4, id="empty signature"),
    pytest.param(f"{V4}{'0' * 64}", id="wrong signature"),
    pytest.param(f"{V4}{'0' * 63}", id="63 digits"),
    pytest.param(f"{V4}{'0' * 65}", id="65 digits"),
    pytest.param(V4 + "\u00e9" * 32, id="signature that is not ASCII"),
    pytest.param(f"{V4}\udcff", id="signature that is not UTF-8"),
    pytest.param(f"{V4}{'0' * 64}, X=\udcff", id="parameter that is not UTF-8"),
    pytest.param(V4.replace(ID, "\u212a\udcff") + "0" * 64, id="key that is not ASCII"),
    pytest.param(V4.replace(ID, "") + "0" * 64, id="empty key"),
    pytest.param(V4.replace(ID, "000000000000") + "0" * 64, id="account as the key"),
    pytest.param(V4.replace(ID, f"{ID}/") + "0" * 64, id="six parts"),
    pytest.param(V4.replace("Signature=", "Signature"), id="no equals sign"),
    pytest.param("," * 7_000, id="commas"),
    pytest.param(V4 + "0" * 60_000, id="long signature"),
    pytest.param(f"AWS4-HMAC-SHA256 {'Credential=x, ' * 4_000}", id="many parameters"),
    pytest.param(f"AWS4-HMAC-SHA256 Credential={'/' * 60_000}", id="slashes"),
    pytest.param(f"AWS4-HMAC-SHA256 SignedHeaders={';' * 60_000}", id="semicolons"),
    pytest.param("AWS4-HMAC-SHA256 Credential=" + "A" * 70_000, id="header of 70 kB"),
]


@pytest.mark.parametrize("authorization", HEADERS)
def test_bad_header_is_not_an_absent_one(
    server: WireServer, protocol: str, authorization: str
) -> None:
    date = ("X-Amz-Date", "20960102T030405Z")
    error = server.rejection(send(server, protocol).adding(date, ("Authorization", authorization)))
    assert error.code in {
        "IncompleteSignature",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "RequestHeaderSectionTooLarge",
    }


QUERIES = [
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256",
    f"X-Amz-Credential={ID}",
    "X-Amz-Signature=0",
    "X-Amz-Signature",
    "%58-Amz-Signature=0",
    f"AWSAccessKeyId={ID}&SignatureVersion=2&SignatureMethod=HmacSHA256&Signature=x",
    f"AWSAccessKeyId={ID}",
    "Signature=x",
    "SignatureVersion=2",
    "%53ignature=x",
]


@pytest.mark.parametrize("query", QUERIES)
def test_bad_query_parameters_are_not_absent_ones(server: WireServer, query: str) -> None:
    by_form = server.form("SendMessage", f"/000000000000/public?{query}", MessageBody="x")
    for request in (send_by_get(server, query), by_form):
        error = server.rejection(request)
        assert (error.status, error.code) == (400, "IncompleteSignature")


@pytest.mark.parametrize(
    "parameter", [("AWSAccessKeyId", ID), ("Signature", "x"), ("SignatureVersion", "2")]
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_version_2_in_a_form_is_not_anonymous(
    server: WireServer, parameter: tuple[str, str], place: str
) -> None:
    request = send(server, "query")
    pair = "=".join(parameter).encode()
    body = pair + b"&" + request.body if place == "first" else request.body + b"&" + pair
    error = server.rejection(request._replace(body=body))
    assert (error.status, error.code) == (400, "IncompleteSignature")
    assert "Signature Version 2 is not supported" in error.text


KEYS = [
    pytest.param(KeyPair("AKUNKNOWN", SECRET), "InvalidClientTokenId", id="unknown key"),
    pytest.param(KeyPair(ID.lower(), SECRET), "InvalidClientTokenId", id="key in lower case"),
    pytest.param(KeyPair(f"{ID} ", SECRET), "InvalidClientTokenId", id="key and a space"),
    pytest.param(KeyPair("000000000000", SECRET), "InvalidClientTokenId", id="account"),
    pytest.param(EXPIRED, "InvalidClientTokenId", id="expired key"),
    pytest.param(KeyPair(ID, f"{SECRET}x"), "SignatureDoesNotMatch", id="wrong secret"),
    pytest.param(KeyPair(ID, PRODUCER.key_pairs[0].secret), "SignatureDoesNotMatch", id="other's"),
    pytest.param(KeyPair(ID, ""), "SignatureDoesNotMatch", id="empty secret"),
    pytest.param(KeyPair("AKUNKNOWN", "x" * 40), "InvalidClientTokenId", id="dummy secret"),
]


@pytest.mark.parametrize(("pair", "code"), KEYS)
def test_key_that_is_not_valid_is_not_anonymous(
    server: WireServer, protocol: str, pair: KeyPair, code: str
) -> None:
    signer = server.signer()._replace(pair=pair)
    url = get(server.host, "/000000000000/public", Action="SendMessage", MessageBody="x")
    for request in (
        signer.sign(send(server, protocol)),
        signer._replace(expires="600").sign(url),
    ):
        error = server.rejection(request)
        assert (error.status, error.code) == (403, code)


def test_key_is_valid_until_it_expires(server: WireServer, protocol: str) -> None:
    server.now.seconds -= 1
    signer = server.signer()._replace(pair=EXPIRED)
    request = server.post(protocol, "SendMessage", QueueUrl="orders", MessageBody="x")
    assert server.answer(signer.sign(request)).status == 200
    server.purge("orders")
    server.now.seconds += 1  # its signing key is in the cache
    assert server.rejection(signer.sign(request)).code == "InvalidClientTokenId"


@pytest.mark.parametrize("change", ["upper case", "63 digits", "65 digits", "not ASCII", "spaces"])
def test_signature_is_64_lower_case_digits(server: WireServer, change: str) -> None:
    signed = server.signer().sign(send(server))
    authorization = signed.get("Authorization")
    start, signature = authorization[:-64], authorization[-64:]
    other = {
        "upper case": signature.upper(),
        "63 digits": signature[:-1],
        "65 digits": f"{signature}0",
        "not ASCII": f"{signature[:-1]}\uff10",
        "spaces": f"{signature[:32]} {signature[32:]}",
    }[change]
    error = server.rejection(signed.replacing("Authorization", f"{start}{other}"))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


def test_signature_of_a_url_is_64_lower_case_digits(server: WireServer) -> None:
    url = as_sent(url_draft(server).in_query())
    before, _, rest = url.target.partition("X-Amz-Signature=")
    signature, rest = rest[:64], rest[64:]
    for other in (signature.upper(), signature[:-1], f"{signature}0", "%ff", "", "%C3%A9"):
        error = server.rejection(url._replace(target=f"{before}X-Amz-Signature={other}{rest}"))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


# Session tokens


def test_session_token_with_a_permanent_key_is_rejected(server: WireServer, protocol: str) -> None:
    signer = server.signer()._replace(token="TOKEN")
    url = get(server.host, "/000000000000/public", Action="SendMessage", MessageBody="x")
    for request in (
        signer.sign(send(server, protocol)),
        signer._replace(expires="600").sign(url),
    ):
        error = server.rejection(request)
        assert (error.status, error.code) == (403, "InvalidClientTokenId")
        assert error.text == "The security token included in the request is invalid"


def test_session_token_that_is_not_signed_is_rejected(server: WireServer, protocol: str) -> None:
    token = ("X-Amz-Security-Token", "TOKEN")
    error = server.rejection(server.signer().sign(send(server, protocol)).adding(token))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert "x-amz-security-token" in error.text
    url = as_sent(url_draft(server).in_query())
    for request in (
        url.adding(token),
        url._replace(target=f"{url.target}&X-Amz-Security-Token=TOKEN"),
    ):
        error = server.rejection(request)
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


def test_session_token_of_an_unknown_key_is_that_of_an_unknown_key(server: WireServer) -> None:
    pair = KeyPair("ASIAUNKNOWN", SECRET)
    signer = server.signer()._replace(pair=pair, token="TOKEN")
    error = server.rejection(signer.sign(send(server)))
    assert error.text == "The security token included in the request is invalid."


# The account


def test_account_is_that_of_the_user_whatever_the_request_names(
    server: WireServer, protocol: str
) -> None:
    signer = server.signer(PRODUCER)
    for queue in ("111122223333/orders", "111122223333/public", "000000000001/orders"):
        url = f"http://{server.host}/{queue}"
        request = server.post(protocol, "SendMessage", QueueUrl=url, MessageBody="x")
        error = server.rejection(signer.sign(request))
        assert (error.status, error.code) == (403, "AccessDenied")
        account, name = queue.split("/")
        assert f"arn:aws:sqs:us-east-1:{account}:{name} " in error.text


def test_text_that_looks_like_a_credential_is_none(server: WireServer) -> None:
    # A parameter whose name ends with a credential's is not one.
    request = send_by_get(server, f"MyCredential={ID}/{SCOPE}")
    assert server.answer(request).status == 200
    server.purge("public")
    denied = get(server.host, Action="ListQueues", MyCredential=f"{ID}/{SCOPE}")
    assert parse_error(server.answer(denied)).code == "AccessDenied"


@pytest.mark.parametrize("header", ["X-Amz-Credential", "X-Amz-Signature", "Proxy-Authorization"])
def test_other_headers_are_no_credentials(server: WireServer, header: str) -> None:
    request = server.json("SendMessage", QueueUrl="orders", MessageBody="x")
    authorization = server.signer().sign(request).get("Authorization")
    error = server.rejection(request.adding((header, authorization)))
    assert (error.status, error.code) == (403, "AccessDenied")


def test_draft_is_valid(server: WireServer) -> None:
    # The drafts of the other tests are rejected for what is wrong with them alone.
    assert server.answer(as_sent(draft(server).in_header())).status == 200
    assert server.answer(as_sent(url_draft(server).in_query())).status == 200
    server.purge("victim")
