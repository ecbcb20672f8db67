"""HTTPS: clients, handshakes, client certificates, and what is not TLS."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import boto3
import pytest
import trustme
from botocore.config import Config as BotoConfig
from botocore.exceptions import SSLError
from msgspec import structs

from tests.api.live_server import AlarmCountingClock, LiveServer, Start, config, starting_servers
from tests.api.raw_http import (
    call_action,
    exchange,
    head,
    open_socket,
    parse_raw_error,
    read_until_closed,
    request_bytes,
)
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Sqs
from tests.certificates import Files, TlsSocket, authority, client_context, usual_client
from tests.waiting import wait_until

LIST = request_bytes("ListQueues")
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
LATE_SECONDS = 7.0
"""Less than the 8 s that a stop waits for requests in progress."""


@pytest.fixture
def start(sqlite: str, tls_files: Files) -> Iterator[Start]:
    """Return a function that starts a server with HTTPS and a queue."""
    with starting_servers(sqlite, AlarmCountingClock(), **tls_files.settings) as start:
        yield start


@pytest.fixture
def server(start: Start) -> LiveServer:
    return start()


def tcp(url: str) -> socket.socket:
    """Connect without TLS."""
    return open_socket(url.replace("https", "http"), b"")


def boto3_client(url: str, verify: str | bool) -> Sqs:
    return boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        verify=verify,
        config=BotoConfig(proxies={}, retries={"total_max_attempts": 1}),
    )


def unexpected(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines that an operator sees by default, other than those of the start."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.INFO
        and "loaded the TLS certificate" not in record.getMessage()
    ]


# Clients


@pytest.mark.parametrize("tasks_only", [False, True], ids=["both ways", "tasks only"])
def test_boto3_sends_and_receives_over_https(
    server: LiveServer, tls_files: Files, tasks_only: bool
) -> None:
    if tasks_only:
        server.answer_with_tasks_only()
    with contextlib.closing(boto3_client(server.url, str(tls_files.ca))) as sqs:
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        assert url == f"{server.url}/000000000000/orders"
        assert url.startswith("https://")
        sqs.send_message(QueueUrl=url, MessageBody="hello")
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        assert message["Body"] == "hello"
        assert sqs.list_queues(QueueNamePrefix="orders")["QueueUrls"] == [url]


def test_boto3_with_a_ca_bundle_variable_accepts_the_certificate(
    server: LiveServer, tls_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tls_files.ca))
    with contextlib.closing(
        boto3.Session().client(
            "sqs",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
    ) as sqs:
        assert sqs.list_queues()["QueueUrls"]


def test_client_that_does_not_trust_the_issuer_gets_no_answer(server: LiveServer) -> None:
    with (
        contextlib.closing(boto3_client(server.url, True)) as sqs,
        pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        sqs.list_queues()


def test_http_and_https_are_served_side_by_side(sqlite: str, tls_files: Files) -> None:
    settings = structs.replace(config(sqlite), tls_port=(0,), **tls_files.settings)
    with contextlib.closing(LiveServer(settings, AlarmCountingClock())) as server:
        http, https = server.urls
        assert (http[:7], https[:8]) == ("http://", "https://")
        for url in (http, https):
            answer = call_action(url, "json", "CreateQueue", {"QueueName": "q"})
            assert f'"QueueUrl":"{url}/000000000000/q"'.encode() in answer.body


def test_start_line_lists_urls_of_http_and_https(tmp_path: Path, tls_files: Files) -> None:
    flags = ("--database", "sqlite://", *tls_files.flags, "--tls-port", "0")
    with ServerProcess(*flags, "--log-level", "warning", directory=tmp_path) as server:
        http, https = server.urls
        assert http.startswith("http://127.0.0.1:")
        assert https.startswith("https://127.0.0.1:")
        assert [exchange(url, "GET", "/health").status for url in (http, https)] == [200, 200]
        assert server.stop() == (0, "", "")


# Handshakes


@pytest.mark.parametrize(
    ("version", "is_accepted"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_tls_before_1_2_is_rejected(
    server: LiveServer,
    version: ssl.TLSVersion,
    is_accepted: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = client_context()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port or 0)) as client:
        if is_accepted:
            with context.wrap_socket(client, server_hostname="localhost") as tls:
                tls.sendall(LIST)
                assert tls.recv(65_536).startswith(b"HTTP/1.1 200 ")
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)alert.protocol.version"):
                context.wrap_socket(client, server_hostname="localhost")
    assert unexpected(caplog) == []


def test_protocol_is_negotiated_as_http_1_1(server: LiveServer) -> None:
    context = client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with tcp(server.url) as client, context.wrap_socket(client, server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"


def test_client_cannot_renegotiate(server: LiveServer) -> None:
    assert server.certificates.context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a part"])
def test_client_without_a_handshake_is_disconnected_after_the_request_timeout(
    start: Start, sent: bytes
) -> None:
    server = start(request_timeout=1)
    began = perf_counter()
    with tcp(server.url) as client:
        client.sendall(sent)
        wait_until(lambda: server.connections.count() == 1)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        # Waits for the real request timeout of 1 s.
        assert 1 < perf_counter() - began < LATE_SECONDS
    wait_until(lambda: server.connections.count() == 0)


def test_connections_in_handshake_count_against_the_connection_limit(start: Start) -> None:
    server = start(connection_limit=5)
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(tcp(server.url))
        wait_until(lambda: server.connections.count() == 5)
        with open_socket(server.url, LIST) as excess:
            assert parse_raw_error(read_until_closed(excess)).status == 503


def test_client_that_resets_its_connection_in_the_handshake_is_not_logged(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    outgoing = ssl.MemoryBIO()
    hello = usual_client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    with tcp(server.url) as client:
        client.sendall(outgoing.read())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert exchange(server.url, "GET", "/health").status == 200
    wait_until(lambda: server.connections.count() == 0)
    assert unexpected(caplog) == []


# Bytes that are not TLS


@pytest.mark.parametrize(
    "sent",
    [LIST, HEALTH, b"HEAD / HTTP/1.1\r\n\r\n", b"PUT / HTTP/1.1\r\n\r\n"],
    ids=["POST", "GET", "HEAD", "PUT"],
)
def test_plain_http_on_a_port_of_https_is_answered_with_the_reason(
    server: LiveServer, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with tcp(server.url) as client:
        client.sendall(sent)
        answer = read_until_closed(client)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nThis port speaks HTTPS: the URL must begin with https://\n")
    assert unexpected(caplog) == []


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x00" * 300, id="zeros"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="SSH"),
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="no handshake message"),
        pytest.param(b"\x16\x03\x01\xff\xff" + b"x" * 70_000, id="long record"),
    ],
)
def test_garbage_on_a_port_of_https_closes_the_connection(
    server: LiveServer, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.DEBUG, "queueserver")
    with tcp(server.url) as client, contextlib.suppress(ConnectionError):
        client.sendall(sent)
        read_until_closed(client)
    wait_until(lambda: server.connections.count() == 0)
    failed = [text for text in caplog.messages if text.startswith("TLS handshake failed")]
    assert len(failed) == 1
    assert "client_address=127.0.0.1" in failed[0]
    assert unexpected(caplog) == []


def test_garbage_after_the_handshake_closes_the_connection(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = tcp(server.url)
    with TlsSocket(client, usual_client(), "localhost"), contextlib.suppress(ConnectionError):
        client.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        read_until_closed(client)
    wait_until(lambda: server.connections.count() == 0)
    assert unexpected(caplog) == []


@pytest.mark.parametrize("tasks_only", [False, True], ids=["both ways", "tasks only"])
def test_tls_on_a_port_of_http_is_answered_400_and_logged(
    sqlite: str, caplog: pytest.LogCaptureFixture, tasks_only: bool
) -> None:
    caplog.set_level(logging.INFO)
    with starting_servers(sqlite, AlarmCountingClock()) as start:
        server = start()
        if tasks_only:
            server.answer_with_tasks_only()
        with (
            tcp(server.url) as client,
            pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number"),
        ):
            usual_client().wrap_socket(client, server_hostname="localhost")
        assert exchange(server.url, "GET", "/health").status == 200
    (line,) = unexpected(caplog)
    assert line.startswith("request is not valid HTTP, answering MalformedInput (400) and closing")
    assert line.endswith(
        " reason=a client spoke TLS to a port of HTTP: its URL must begin with http://, or set "
        "--tls-cert"
    )
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# Stop


def test_stop_closes_tls_connections_within_the_limits(tmp_path: Path, tls_files: Files) -> None:
    flags = ("--database", "sqlite://", *tls_files.flags, "--log-level", "warning")
    with ServerProcess(*flags, directory=tmp_path) as server, contextlib.ExitStack() as stack:
        idle = stack.enter_context(open_socket(server.url, LIST))
        assert idle.recv(65_536).startswith(b"HTTP/1.1 200 ")
        incomplete = stack.enter_context(open_socket(server.url, head("ListQueues", 9) + b"{"))
        silent = stack.enter_context(tcp(server.url))
        assert exchange(server.url, "GET", "/health").status == 200
        began = perf_counter()
        assert server.stop() == (0, "", "")
        # Waits for the real stop of the server process.
        assert perf_counter() - began < LATE_SECONDS
        assert idle.recv(1) == b""
        assert parse_raw_error(read_until_closed(incomplete)).status == 503
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""


# Certificates of clients


@pytest.fixture
def strict_url(sqlite: str, tls_files: Files) -> Iterator[str]:
    """Return the URL of a server that requires certificates of clients."""
    settings = {**tls_files.settings, "tls_client_ca": str(tls_files.ca)}
    settings_of_server = structs.replace(config(sqlite), **settings)
    with contextlib.closing(LiveServer(settings_of_server, AlarmCountingClock())) as server:
        yield server.url


def answer_to(url: str, issuer: trustme.CA | None) -> bytes:
    """Request the server's health, with a certificate of an issuer or without one."""
    context = client_context()
    if issuer is not None:
        issuer.issue_cert("client.example").configure_cert(context)
    with TlsSocket(tcp(url), context, "localhost") as client:
        client.sendall(HEALTH)
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_client_with_a_certificate_of_the_ca_is_served(strict_url: str) -> None:
    assert answer_to(strict_url, authority()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "issuer", [pytest.param(None, id="none"), pytest.param(trustme.CA(), id="another issuer")]
)
def test_client_without_a_certificate_of_the_ca_gets_no_answer_not_even_health(
    strict_url: str, issuer: trustme.CA | None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        answer_to(strict_url, issuer)
    assert unexpected(caplog) == []
