"""Connections: the sender is that of each request, never that of the connection."""

from __future__ import annotations

import pytest

from tests.access.declared_users import KeyPair
from tests.access.wire.conftest import live_server
from tests.access.wire.http_requests import HttpRequest
from tests.access.wire.wire_server import (
    ADMIN,
    PRODUCER,
    SERVICE,
    STRANGER,
    WireServer,
    read_answer,
)
from tests.api.raw_http import open_socket, read_until_closed


def send(server: WireServer, queue: str = "orders") -> HttpRequest:
    return server.json("SendMessage", QueueUrl=queue, MessageBody="x")


def attempts(server: WireServer) -> list[tuple[HttpRequest, int]]:
    """Return requests of several senders, and the status of each answer."""
    request = send(server)
    wrong = server.signer()._replace(pair=KeyPair(ADMIN.key_pairs[0].access_key_id, "x"))
    return [
        (server.signer().sign(request), 200),
        (request, 403),
        (server.signer(PRODUCER).sign(request), 200),
        (server.signer(PRODUCER).sign(send(server, "victim")), 403),
        (wrong.sign(request), 403),
        (server.signer().sign(send(server, "victim")), 200),
        (server.signer(STRANGER).sign(send(server, "/000000000000/orders")), 403),
        (send(server, "public"), 200),
        (send(server, "victim"), 403),
        (server.signer(PRODUCER).sign(send(server, "victim")), 403),
    ]


def purge(server: WireServer) -> None:
    for queue in ("orders", "victim", "public"):
        server.purge(queue)


def test_requests_of_several_senders_on_one_connection(server: WireServer) -> None:
    with open_socket(server.running.url, b"") as client:
        for request, status in attempts(server):
            client.sendall(bytes(request))
            assert read_answer(client).status == status
    assert [server.message_count(name) for name in ("orders", "victim", "public")] == [2, 1, 1]
    purge(server)


def test_pipelined_requests_of_several_senders(server: WireServer) -> None:
    tried = attempts(server)
    found = server.exchange(*(request for request, _ in tried))
    assert [answer.status for answer in found] == [status for _, status in tried]
    assert [server.message_count(name) for name in ("orders", "victim", "public")] == [2, 1, 1]
    purge(server)


def test_request_in_the_body_of_a_signed_one_is_not_run(server: WireServer) -> None:
    inner = bytes(server.signer().sign(send(server, "victim")))
    outer = server.signer(PRODUCER).sign(send(server))
    outer = outer._replace(body=inner)
    assert server.rejection(outer).code == "SignatureDoesNotMatch"
    signed = server.signer(PRODUCER).sign(send(server)._replace(body=inner))
    assert server.rejection(signed).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((("Transfer-Encoding", "chunked"), ("Content-Length", "{}")), id="both"),
        pytest.param((("Content-Length", "{}"), ("Transfer-Encoding", "chunked")), id="reversed"),
        pytest.param((("Content-Length", "{}"), ("Content-Length", "0")), id="two lengths"),
        pytest.param((("Content-Length", "{}"), ("Content-Length", "{}")), id="equal lengths"),
        pytest.param((("Content-Length", "{},0"),), id="list of lengths"),
        pytest.param((("Content-Length", "+{}"),), id="length with a sign"),
        pytest.param((("Content-Length", "{}"), ("Transfer-Encoding", "xchunked")), id="xchunked"),
        pytest.param((("Transfer-Encoding", "chunked, identity"),), id="chunked is not last"),
    ],
)
def test_body_of_unclear_length_is_rejected_with_all_that_follows(
    server: WireServer, headers: tuple[tuple[str, str], ...]
) -> None:
    # A proxy in front of the server may see another request in these bytes.
    signed = server.signer().sign(send(server))
    given = [(name, value.format(len(signed.body))) for name, value in headers]
    before = server.state()
    smuggled = bytes(server.signer().sign(send(server, "victim")))
    found = server.exchange(bytes(signed.adding(*given)) + b"0\r\n\r\n" + smuggled)
    assert [answer.status for answer in found] == [400]
    assert found[0].headers["connection"] == "close"
    assert server.state() == before


def test_upgrade_and_expectation_change_no_identity(server: WireServer) -> None:
    expects = ("Expect", "100-continue")
    for header in (expects, ("Upgrade", "h2c")):
        request = send(server, "victim").adding(header, ("Connection", "close"))
        with open_socket(server.running.url, bytes(request)) as client:
            assert b" 403 " in read_until_closed(client)


def test_source_of_a_service_counts_only_if_its_signature_covers_it(server: WireServer) -> None:
    arn = "arn:aws:sns:us-east-1:111122223333:topic"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
    }
    server.set_policy("victim", {"Version": "2012-10-17", "Statement": [statement]})
    source = ("X-Amz-Source-Arn", arn)
    request = send(server, "/000000000000/victim")
    assert server.answer(server.signer(SERVICE).sign(request.adding(source))).status == 200
    for rejected in (
        server.signer(SERVICE).sign(request).adding(source),
        server.signer(SERVICE).sign(request),
        server.signer(STRANGER).sign(request.adding(source)),
        request.adding(source),
    ):
        assert server.rejection(rejected).code == "AccessDenied"
    statement["Principal"] = "*"
    server.set_policy("victim", {"Version": "2012-10-17", "Statement": [statement]})
    for rejected in (server.signer(STRANGER).sign(request.adding(source)), request.adding(source)):
        assert server.rejection(rejected).code == "AccessDenied"
    assert server.answer(server.signer(SERVICE).sign(request.adding(source))).status == 200
    server.set_policy("victim", None)
    purge(server)


def test_small_signed_requests_are_answered_without_a_task(server: WireServer, way: str) -> None:
    # The other tests of the way `direct` would otherwise prove nothing of it.
    counter = live_server(server.running).count_direct_answers()
    for request in (server.signer().sign(send(server)), send(server, "public")):
        assert server.answer(request).status == 200
    form = server.form("SendMessage", QueueUrl="orders", MessageBody="x")
    assert server.answer(server.signer().sign(form)).status == 200
    assert counter.count == (3 if way == "direct" else 0)
    purge(server)
