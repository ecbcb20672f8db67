"""Forwarded headers: they count for policies and signatures if a trusted proxy sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.access.wire.conftest import wire_server
from tests.access.wire.http_requests import HttpRequest, get
from tests.access.wire.wire_server import WireServer
from tests.api.sqs_clients import Clients

FORWARDED = (
    ("X-Forwarded-Host", "sqs.example.com"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-For", "10.1.2.3"),
)
Change = Callable[[HttpRequest], HttpRequest]


@pytest.fixture(scope="module")
def behind_proxy(
    tmp_path_factory: pytest.TempPathFactory, clients: Clients, way: str
) -> Iterator[WireServer]:
    """Return a server that trusts this machine as a proxy."""
    trusted = ["127.0.0.1/32"]
    with wire_server(tmp_path_factory, clients, way, trusted_proxies=trusted) as server:
        yield server


@pytest.fixture(scope="module")
def elsewhere_proxy(
    tmp_path_factory: pytest.TempPathFactory, clients: Clients, way: str
) -> Iterator[WireServer]:
    """Return a server that trusts a proxy, which is not this machine."""
    trusted = ["10.0.0.0/8"]
    with wire_server(tmp_path_factory, clients, way, trusted_proxies=trusted) as server:
        yield server


@pytest.fixture(params=["no proxy", "another proxy"])
def untrusting(request: pytest.FixtureRequest, server: WireServer) -> WireServer:
    """Return a server that does not trust this machine."""
    if request.param == "no proxy":
        return server
    other: WireServer = request.getfixturevalue("elsewhere_proxy")
    return other


def allow(server: WireServer, **condition: object) -> None:
    """Set the policy of the queue `victim`: all senders may use it under a condition."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": condition,
    }
    server.set_policy("victim", {"Version": "2012-10-17", "Statement": [statement]})


def reset(server: WireServer) -> None:
    server.set_policy("victim", None)
    server.purge("victim")


def send(server: WireServer, protocol: str) -> HttpRequest:
    return server.post(protocol, "SendMessage", QueueUrl="victim", MessageBody="x")


CONDITIONS = {
    "SecureTransport": {"Bool": {"aws:SecureTransport": "true"}},
    "SourceIp": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
}


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_headers_of_a_stranger_satisfy_no_condition(
    untrusting: WireServer, protocol: str, condition: dict[str, object]
) -> None:
    allow(untrusting, **condition)
    for headers in (FORWARDED, (*FORWARDED, *FORWARDED), (("Forwarded", "for=10.1.2.3"),)):
        error = untrusting.rejection(send(untrusting, protocol).adding(*headers))
        assert error.code == "AccessDenied"
    reset(untrusting)


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_headers_of_a_trusted_proxy_satisfy_conditions(
    behind_proxy: WireServer, protocol: str, condition: dict[str, object]
) -> None:
    allow(behind_proxy, **condition)
    request = send(behind_proxy, protocol)
    assert behind_proxy.answer(request.adding(*FORWARDED)).status == 200
    assert behind_proxy.rejection(request).code == "AccessDenied"
    reset(behind_proxy)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((("X-Forwarded-For", "10.1.2.3, 192.0.2.1"),), id="client's own entry"),
        pytest.param(
            (("X-Forwarded-For", "10.1.2.3"), ("X-Forwarded-For", "192.0.2.1")), id="own header"
        ),
        pytest.param((("X-Forwarded-For", "10.1.2.3, x"),), id="no address"),
        pytest.param((("X-Forwarded-For", "10.1.2.3\udcff"),), id="not UTF-8"),
        pytest.param((("X-Forwarded-For", "010.1.2.3"),), id="octal"),
        pytest.param((("X-Forwarded-For", "0x0a.1.2.3"),), id="hexadecimal"),
        pytest.param((("X-Forwarded-For", "10.1.2.3," * 3_000),), id="many empty entries"),
        pytest.param((("X-Real-IP", "10.1.2.3"), ("Client-IP", "10.1.2.3")), id="other headers"),
    ],
)
def test_client_behind_a_trusted_proxy_cannot_choose_its_address(
    behind_proxy: WireServer, protocol: str, headers: tuple[tuple[str, str], ...]
) -> None:
    allow(behind_proxy, **CONDITIONS["SourceIp"])
    error = behind_proxy.rejection(send(behind_proxy, protocol).adding(*headers))
    assert error.code == "AccessDenied"
    reset(behind_proxy)


@pytest.mark.parametrize(
    "protos", [("https", "http"), ("http", "https"), ("https, http",), ("HTTP",)]
)
def test_request_is_secure_if_all_proxies_say_so(
    behind_proxy: WireServer, protocol: str, protos: tuple[str, ...]
) -> None:
    allow(behind_proxy, **CONDITIONS["SecureTransport"])
    headers = [("X-Forwarded-Proto", proto) for proto in protos]
    error = behind_proxy.rejection(send(behind_proxy, protocol).adding(*headers))
    assert error.code == "AccessDenied"
    reset(behind_proxy)


# The signed host


def signed_for(server: WireServer, host: str, protocol: str) -> HttpRequest:
    """Return a request that was signed for a host and arrives with the server's own."""
    signed = server.signer().sign(send(server, protocol).replacing("Host", host))
    return signed.replacing("Host", server.host)


def test_forwarded_host_of_a_stranger_is_not_the_signed_one(
    untrusting: WireServer, protocol: str
) -> None:
    request = signed_for(untrusting, "sqs.example.com", protocol).adding(*FORWARDED)
    assert untrusting.rejection(request).code == "SignatureDoesNotMatch"


def test_forwarded_host_of_a_trusted_proxy_may_be_the_signed_one(
    behind_proxy: WireServer, protocol: str
) -> None:
    request = signed_for(behind_proxy, "sqs.example.com", protocol)
    assert behind_proxy.answer(request.adding(*FORWARDED)).status == 200
    last = ("X-Forwarded-Host", "mine.example, sqs.example.com")
    assert behind_proxy.answer(request.adding(last)).status == 200
    behind_proxy.purge("victim")
    first = ("X-Forwarded-Host", "sqs.example.com, mine.example")
    for headers in ((first,), (("X-Original-Host", "sqs.example.com"),), ()):
        error = behind_proxy.rejection(request.adding(*headers))
        assert error.code == "SignatureDoesNotMatch"


def test_presigned_url_for_a_forwarded_host_is_for_that_host_alone(
    behind_proxy: WireServer,
) -> None:
    signer = behind_proxy.signer()._replace(expires="600")
    target = get("sqs.example.com", "/000000000000/victim", Action="SendMessage", MessageBody="x")
    url = signer.sign(target).replacing("Host", behind_proxy.host)
    assert behind_proxy.answer(url.adding(FORWARDED[0])).status == 200
    behind_proxy.purge("victim")
    other = ("X-Forwarded-Host", "elsewhere.example")
    assert behind_proxy.rejection(url.adding(other)).code == "SignatureDoesNotMatch"


def test_forwarded_host_of_a_stranger_is_not_in_queue_urls(
    untrusting: WireServer, protocol: str
) -> None:
    request = untrusting.post(protocol, "GetQueueUrl", QueueName="orders").adding(*FORWARDED)
    body = untrusting.answer(untrusting.signer().sign(request)).body.decode()
    assert f"http://{untrusting.host}/000000000000/orders" in body
    denied = untrusting.rejection(send(untrusting, protocol).adding(*FORWARDED))
    assert f"http://{untrusting.host}/000000000000/victim" in denied.text


def test_host_of_the_public_url_may_be_the_signed_one(
    tmp_path_factory: pytest.TempPathFactory, clients: Clients, way: str, protocol: str
) -> None:
    url = "https://public.example"
    with wire_server(tmp_path_factory, clients, way, public_url=url) as server:
        assert server.answer(signed_for(server, "public.example", protocol)).status == 200
        request = signed_for(server, "sqs.example.com", protocol).adding(*FORWARDED)
        assert server.rejection(request).code == "SignatureDoesNotMatch"
