"""Bodies of signed requests: the server runs the bytes whose hash was signed, and no others."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from tests.access.wire.drafts import JSON_HEADERS, draft, url_draft
from tests.access.wire.http_requests import HttpRequest, as_sent
from tests.access.wire.wire_server import PRODUCER, WireServer


def send(server: WireServer, protocol: str, body: str = "x") -> HttpRequest:
    return server.post(protocol, "SendMessage", QueueUrl="orders", MessageBody=body)


def chunked(request: HttpRequest, *chunks: bytes) -> HttpRequest:
    """Return a request whose body comes in chunks."""
    lines = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return request.adding(("Transfer-Encoding", "chunked"))._replace(body=lines)


def test_body_that_was_changed_after_signing_is_rejected(server: WireServer, protocol: str) -> None:
    signed = server.signer(PRODUCER).sign(send(server, protocol))
    for body in (send(server, protocol, "y").body, b"", signed.body + b" "):
        error = server.rejection(signed._replace(body=body))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("size", [100, 40_000, 900_000])
def test_long_body_that_was_changed_after_signing_is_rejected(
    server: WireServer, protocol: str, size: int
) -> None:
    signed = server.signer().sign(send(server, protocol, "x" * size))
    assert server.answer(signed).status == 200
    server.purge("orders")
    error = server.rejection(signed._replace(body=send(server, protocol, "y" * size).body))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


def test_content_hash_must_be_that_of_the_body(server: WireServer, protocol: str) -> None:
    request = send(server, protocol)
    digest = ("X-Amz-Content-Sha256", hashlib.sha256(request.body).hexdigest())
    signed = server.signer().sign(request.adding(digest))
    assert server.answer(signed).status == 200
    server.purge("orders")
    error = server.rejection(signed._replace(body=send(server, protocol, "y").body))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "claimed",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        hashlib.sha256(b"").hexdigest(),
        "",
    ],
)
def test_body_is_signed_whatever_the_content_hash_says(server: WireServer, claimed: str) -> None:
    header = ("X-Amz-Content-Sha256", claimed)
    by_botocore = server.signer().sign(send(server, "json").adding(header))
    with_hash = draft(server, headers=(*JSON_HEADERS, header), payload=claimed)
    without_header = draft(server, payload=claimed)
    url = url_draft(server, payload=claimed if claimed != hashlib.sha256(b"").hexdigest() else "x")
    for request in (
        by_botocore,
        as_sent(with_hash.in_header()),
        as_sent(with_hash.in_query()),
        *([as_sent(without_header.in_header()), as_sent(url.in_query())] if claimed else []),
    ):
        error = server.rejection(request)
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


def test_signature_must_cover_the_content_hash(server: WireServer) -> None:
    signed = server.signer().sign(send(server, "json"))
    digest = hashlib.sha256(signed.body).hexdigest()
    error = server.rejection(signed.adding(("X-Amz-Content-Sha256", digest)))
    assert error.text == (
        "'x-amz-content-sha256' must be a 'SignedHeader' in the AWS Authorization."
    )


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", "identity, gzip", "aws-chunked"])
def test_content_encoding_is_rejected(
    server: WireServer, protocol: str, encoding: str, is_signed: bool
) -> None:
    header = ("Content-Encoding", encoding)
    request = send(server, protocol)
    packed = request._replace(body=gzip.compress(request.body))
    signer = server.signer()
    if is_signed:
        requests = [signer.sign(packed.adding(header)), signer.sign(request.adding(header))]
    else:
        requests = [signer.sign(packed).adding(header), signer.sign(request).adding(header)]
    requests.append(signer.sign(request).adding(header)._replace(body=packed.body))
    for sent in requests:
        assert server.rejection(sent).status == 400


def test_body_that_unpacks_to_the_signed_one_is_rejected(server: WireServer, protocol: str) -> None:
    # The body that the server would read is signed, but not the bytes that came.
    signed = server.signer().sign(send(server, protocol))
    packed = signed._replace(body=gzip.compress(signed.body))
    error = server.rejection(packed.adding(("Content-Encoding", "gzip")))
    assert (error.status, error.code) == (400, "IncompleteSignature")


def test_bomb_of_a_signed_request_is_rejected(server: WireServer) -> None:
    packed = gzip.compress(b"0" * 50_000_000)
    signed = server.signer().sign(send(server, "json")).adding(("Content-Encoding", "gzip"))
    assert server.rejection(signed._replace(body=packed)).status in {400, 413}


def test_chunked_body_is_verified_as_a_whole(server: WireServer, protocol: str) -> None:
    signed = server.signer().sign(send(server, protocol))
    middle = len(signed.body) // 2
    parts = (signed.body[:middle], signed.body[middle:])
    assert server.answer(chunked(signed, *parts)).status == 200
    server.purge("orders")
    for chunks in ((*parts, b" "), parts[:1], (parts[1], parts[0])):
        error = server.rejection(chunked(signed, *chunks))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


def test_body_of_a_presigned_get_is_signed(server: WireServer) -> None:
    request = as_sent(url_draft(server).in_query())
    error = server.rejection(request._replace(body=b"Action=PurgeQueue"))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
