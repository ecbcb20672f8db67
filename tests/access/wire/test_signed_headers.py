"""Headers of signed requests: the server obeys no header that the signature does not cover.

A valid request is changed, or signed in a way that no SDK would, and sent to a real server.
"""

from __future__ import annotations

import json

import pytest

from tests.access.wire.drafts import draft, url_draft
from tests.access.wire.http_requests import HttpRequest, as_sent
from tests.access.wire.wire_server import WireServer

JSON = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"
INJECTED_FORMS = [
    "&Action=PurgeQueue&QueueUrl=victim&x=",
    "&Action=SendMessage&QueueUrl=victim&MessageBody=other&x=",
]
"""Bodies of messages: in a form, each would be another request."""


def send(server: WireServer) -> HttpRequest:
    return server.json("SendMessage", QueueUrl="victim", MessageBody="x")


def send_form(server: WireServer) -> HttpRequest:
    return server.form("SendMessage", QueueUrl="victim", MessageBody="x")


# Credentials in two places


@pytest.mark.parametrize("forged", ["header", "query"])
def test_credentials_in_the_header_and_in_the_query_string_are_rejected(
    server: WireServer, forged: str
) -> None:
    url = as_sent(url_draft(server).in_query())
    header = as_sent(url_draft(server).in_header()).get("Authorization")
    if forged == "header":
        header = f"{header[:-64]}{'0' * 64}"
    else:
        signed = server.signer()._replace(unsigned=())
        target = f"{url.target}&X-Amz-Signature={'0' * 64}"
        url = signed.sign(url.without("X-Amz-Date")._replace(target=target))
        header = url.get("Authorization")
        url = url.without("Authorization")
    error = server.rejection(url.adding(("Authorization", header)))
    assert error[:3] == (403, None, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Target", "x-amz-TARGET"]
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_header_that_comes_twice_is_rejected(server: WireServer, name: str, place: str) -> None:
    signed = server.signer().sign(send(server))
    other = signed.get(name)
    if "target" in name.lower():
        other = "AmazonSQS.PurgeQueue"
    pair = (name, other)
    request = signed.prefixing(pair) if place == "before" else signed.adding(pair)
    error = server.rejection(request)
    if name == "Content-Type":  # not valid HTTP
        assert (error.status, error.code) == (400, "MalformedInput")
    else:
        assert (error.status, error.code) == (400, "IncompleteSignature")
        assert name.lower() in error.text


@pytest.mark.parametrize("name", ["X-Amz-Target", "Content-Type", "X-Amz-Security-Token"])
def test_header_that_comes_twice_is_rejected_although_the_signature_covers_both(
    server: WireServer, name: str
) -> None:
    values = {
        "X-Amz-Target": ("AmazonSQS.SendMessage", "AmazonSQS.PurgeQueue"),
        "Content-Type": (JSON, FORM),
        "X-Amz-Security-Token": ("", ""),
    }[name]
    request = send(server).without(name).adding(*((name, value) for value in values))
    error = server.rejection(server.signer().sign(request))
    expected = "MalformedInput" if name == "Content-Type" else "IncompleteSignature"
    assert (error.status, error.code) == (400, expected)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("Credential", "{credential}"), id="Credential"),
        pytest.param(("SignedHeaders", "host"), id="SignedHeaders"),
        pytest.param(("Signature", "0" * 64), id="Signature"),
    ],
)
def test_parameter_that_comes_twice_in_the_authorization_is_rejected(
    server: WireServer, more: tuple[str, str]
) -> None:
    one = draft(server)
    pair = (more[0], more[1].format(credential=one.credential))
    error = server.rejection(as_sent(one._replace(more=(pair,)).in_header()))
    assert (error.status, error.code) == (400, "IncompleteSignature")
    assert f"'{more[0]}' parameter only once" in error.text


# The list of signed headers


def test_request_for_another_host_is_rejected(server: WireServer) -> None:
    for host in ("sqs.example.com", server.host.replace("127.0.0.1", "localhost")):
        for request in (send(server), send_form(server)):
            signed = server.signer().sign(request.replacing("Host", host))
            assert server.answer(signed).status == 200
            moved = server.signer().sign(request).replacing("Host", host)
            assert server.rejection(moved)[2] == "SignatureDoesNotMatch"
    server.purge("victim")


@pytest.mark.parametrize("host", ["sqs.example.com", "127.0.0.1"])
def test_signature_must_cover_the_host(server: WireServer, host: str) -> None:
    signer = server.signer()._replace(unsigned=["host"])
    url = server.form("PurgeQueue", "/000000000000/victim")
    url = url._replace(method="GET", target=f"{url.target}?{url.body.decode()}", body=b"")
    for request in (
        signer.sign(send(server)),
        signer.sign(send_form(server)),
        signer._replace(expires="60").sign(url.without("Content-Type")),
    ):
        error = server.rejection(request.replacing("Host", host))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
        expected = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        assert error.text == expected.replace("'", error.text[0])


LISTS = [
    pytest.param("", id="empty"),
    pytest.param("Content-Type;Host;X-Amz-Date;X-Amz-Target", id="upper case"),
    pytest.param("host;x-amz-date;x-amz-target;Content-Type", id="one in upper case"),
    pytest.param("content-type;host;x-amz-target;x-amz-date", id="not sorted"),
    pytest.param("content-type;host;x-amz-date;x-amz-date;x-amz-target", id="repeated"),
    pytest.param("content-type;host;x-absent;x-amz-date;x-amz-target", id="absent header"),
    pytest.param(";content-type;host;x-amz-date;x-amz-target", id="empty name"),
    pytest.param("content-type;host;x-amz-date;x-amz-target;", id="empty name at the end"),
    pytest.param("content-type;host; x-amz-date;x-amz-target", id="space"),
    pytest.param("content-type;host;x-amz-date;x-amz-target\u00a0", id="not ASCII"),
]


@pytest.mark.parametrize("signed", LISTS)
def test_list_of_signed_headers_must_be_canonical(server: WireServer, signed: str) -> None:
    for request in (
        draft(server, signed=signed).in_header(),
        draft(server, signed=signed).in_query(),
    ):
        error = server.rejection(as_sent(request))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


# Headers that choose the action


def test_signature_must_cover_the_target(server: WireServer) -> None:
    signed = server.signer()._replace(unsigned=["x-amz-target"]).sign(send(server))
    for target in ("AmazonSQS.SendMessage", "AmazonSQS.PurgeQueue"):
        error = server.rejection(signed.replacing("X-Amz-Target", target))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
        assert error.text == "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization."


def test_target_that_is_added_to_a_signed_form_is_rejected(server: WireServer) -> None:
    signer = server.signer()._replace(unsigned=["content-type"])
    for signed in (signer.sign(send_form(server)), server.signer().sign(send_form(server))):
        error = server.rejection(signed.adding(("X-Amz-Target", "AmazonSQS.PurgeQueue")))
        assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Target", "AmazonSQS.PurgeQueue"),
        ("Content-Type", FORM),
        ("X-Amz-Date", "20960102T030406Z"),
    ],
)
def test_signed_header_that_was_changed_is_rejected(
    server: WireServer, name: str, value: str
) -> None:
    error = server.rejection(server.signer().sign(send(server)).replacing(name, value))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("body", INJECTED_FORMS)
@pytest.mark.parametrize("content_type", [FORM, "text/plain", "", JSON])
def test_unsigned_content_type_does_not_choose_the_protocol_of_a_target(
    server: WireServer, content_type: str, body: str
) -> None:
    signer = server.signer()._replace(unsigned=["content-type"])
    signed = signer.sign(server.json("SendMessage", QueueUrl="victim", MessageBody=body))
    answer = server.answer(signed.replacing("Content-Type", content_type))
    assert answer.status == 200, answer
    assert "MessageId" in json.loads(answer.body)
    assert server.message_count("victim") == 1
    server.purge("victim")


@pytest.mark.parametrize("content_type", [JSON, "text/plain", ""])
def test_unsigned_content_type_does_not_choose_the_protocol_of_a_form(
    server: WireServer, content_type: str
) -> None:
    signer = server.signer()._replace(unsigned=["content-type"])
    signed = signer.sign(send_form(server)).replacing("Content-Type", content_type)
    answer = server.answer(signed)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/xml"
    server.purge("victim")
