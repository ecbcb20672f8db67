"""Web pages of other origins can neither change nor read anything; pages of listed origins can."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest
from msgspec import structs
from multidict import CIMultiDict

from queueserver.http.browser_rules import BrowserRules
from tests.api.live_server import LiveServer, config
from tests.api.raw_http import (
    FORM,
    Answer,
    call_action,
    exchange,
    form,
    json_headers,
    open_socket,
    parse_error,
)
from tests.api.server_process import failed_start
from tests.clock import ManualClock

LISTED = "https://app.example"
EVIL = "https://evil.example"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept-Language": "en"}
SDK_HEADERS = {
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "content-type",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-target",
    "x-amz-user-agent",
    "x-amzn-query-mode",
}

SETTINGS = structs.replace(
    config(
        "sqlite://",
        allowed_hosts=("queues.example.com", ".example.org"),
        cors_origins=(LISTED, "http://localhost:5173"),
    ),
    public_url="https://public.example/base",
)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Start a server on a loopback address, with listed origins and names of its own."""
    with contextlib.closing(LiveServer(SETTINGS, ManualClock())) as server:
        yield server


@pytest.fixture
def queue(server: LiveServer, name: str) -> str:
    """Create a queue with one message, and return its name."""
    assert call_action(server.url, "json", "CreateQueue", {"QueueName": name}).status == 200
    sent = {"QueueUrl": name, "MessageBody": "kept"}
    assert call_action(server.url, "json", "SendMessage", sent).status == 200
    return name


def filled_in(headers: Mapping[str, str], server: LiveServer) -> dict[str, str]:
    """Return headers with the address and the port of the server in them."""
    port = urlsplit(server.url).port
    return {name: value.format(port=port) for name, value in headers.items()}


def message_count(server: LiveServer, queue: str) -> str:
    asked = {"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"]}
    answer = call_action(server.url, "json", "GetQueueAttributes", asked)
    count: str = json.loads(answer.body)["Attributes"]["ApproximateNumberOfMessages"]
    return count


def purge(server: LiveServer, method: str, queue: str, headers: Mapping[str, str]) -> Answer:
    """Purge a queue by a request that a web page can send without a preflight."""
    purging = form("PurgeQueue", {"QueueUrl": queue})
    if method == "GET":
        return exchange(server.url, method, f"/?{purging}", headers)
    return exchange(server.url, method, "/", {"Content-Type": "text/plain", **headers}, purging)


OTHER_PAGES = [
    pytest.param({"Origin": EVIL}, f"Web pages of {EVIL} are not allowed", id="another origin"),
    pytest.param({"Origin": "null"}, "a web page without an origin", id="sandboxed page"),
    pytest.param({"Origin": ""}, "Web pages of  are not allowed", id="empty origin"),
    pytest.param({"Origin": "http://127.0.0.1:1"}, "--cors-origins", id="another port"),
    pytest.param({"Origin": "http://127.0.0.1"}, "--cors-origins", id="default port"),
    pytest.param({"Origin": "ftp://127.0.0.1:{port}"}, "--cors-origins", id="another scheme"),
    pytest.param({"Origin": f"{LISTED}.evil.example"}, "--cors-origins", id="longer origin"),
    pytest.param({"Origin": f"{LISTED}:8443"}, "--cors-origins", id="port of a listed host"),
    pytest.param({"Origin": LISTED.replace("s:", ":")}, "--cors-origins", id="listed without TLS"),
    pytest.param({"Sec-Fetch-Site": "cross-site"}, "another origin", id="another site"),
    pytest.param({"Sec-Fetch-Site": "same-site"}, "another origin", id="another port, no origin"),
    pytest.param({"Sec-Fetch-Site": "new-kind"}, "another origin", id="unknown site"),
    pytest.param(
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:{port}"},
        "another origin",
        id="contradiction",
    ),
    pytest.param(
        {"Sec-Fetch-Site": "same-origin", "Origin": EVIL}, "--cors-origins", id="wrong origin"
    ),
]
STRANGE_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "EVIL.example.",
    "localhost.evil.example",
    "127.0.0.1.evil.example:{port}",
    "sqs.us-east-1.evil.example",
    "us-east-1.queue.evil.example",
    "sqs.us-east-1.evil.amazonaws.com",
    "xlocalhost.localstack.cloud",
    "example.com",
    "sub.queues.example.com",
    "badexample.org",
    "a.public.example",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("headers", "text"), OTHER_PAGES)
def test_page_of_another_origin_changes_nothing(
    server: LiveServer, queue: str, method: str, headers: dict[str, str], text: str
) -> None:
    answer = purge(server, method, queue, filled_in(headers, server))
    assert answer.status == 403
    assert text in answer.body.decode()
    assert "access-control-allow-origin" not in answer.headers
    assert message_count(server, queue) == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_page_under_a_strange_host_name_changes_nothing(
    server: LiveServer, queue: str, method: str, host: str
) -> None:
    headers = filled_in({"Host": host, "Origin": f"http://{host}"}, server)
    answer = purge(server, method, queue, {**headers, "X-Forwarded-Host": "localhost"})
    assert answer.status == 403
    name = urlsplit(f"http://{host}".format(port=1)).hostname or ""
    assert f"The host name {name.rstrip('.')} is not allowed." in answer.body.decode()
    assert "--allowed-hosts" in answer.body.decode()
    assert message_count(server, queue) == "1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/", "/health", "/_queueserver", "/000000000000/q", "//x", "/a?Action=ListQueues"]
)
@pytest.mark.parametrize(
    "headers", [{"Origin": EVIL}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
)
def test_rejection_is_a_plain_text_on_every_path(
    server: LiveServer, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = exchange(server.url, method, path, headers)
    assert answer.status == 403
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.body == b"") == (method == "HEAD")


def test_body_of_a_rejected_request_is_not_read(server: LiveServer) -> None:
    head = (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {EVIL}\r\n"
        "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with contextlib.closing(open_socket(server.url, head.encode())) as client:
        assert client.recv(1_000).startswith(b"HTTP/1.1 403 Forbidden\r\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no browser"),
        pytest.param({"Sec-Fetch-Site": "none", **BROWSER}, id="typed address"),
        pytest.param({"Sec-Fetch-Site": "same-origin", **BROWSER}, id="page of the server"),
        pytest.param({"Origin": "http://127.0.0.1:{port}"}, id="own origin"),
        pytest.param({"Host": "Localhost:1", "Origin": "http://localhost:1"}, id="own name"),
        pytest.param({"Host": "b:1", "Origin": "https://public.example"}, id="public URL"),
        pytest.param(
            {"Origin": "https://front.example", "X-Forwarded-Host": "front.example, proxy"},
            id="own name behind a proxy",
        ),
        pytest.param({"Origin": LISTED, "Sec-Fetch-Site": "cross-site"}, id="listed origin"),
        pytest.param({"User-Agent": "Mozilla/5.0 WindowsPowerShell/5.1"}, id="PowerShell"),
        pytest.param({"User-Agent": "node", "Accept-Language": "*"}, id="Node.js"),
        *[
            pytest.param({"Host": host}, id=f"host {host}")
            for host in (
                "localhost",
                "LOCALHOST:{port}",
                "localhost.:{port}",
                "queues.localhost:1",
                "127.0.0.1:{port}",
                "192.168.1.5",
                "127.1:1",
                "[::1]:{port}",
                "[fe80::1]",
                "queue:9324",
                "my_queue",
                "",
                "sqs.us-east-1.localhost.localstack.cloud:4566",
                "localhost.localstack.cloud",
                "us-east-1.queue.localhost",
                "sqs.us-east-1.amazonaws.com",
                "queue.amazonaws.com",
                "us-east-1.queue.amazonaws.com",
                "sqs.us-east-1.amazonaws.com.cn",
                "queues.example.com:1",
                "example.org",
                "Sub.example.org.",
                "public.example",
            )
        ],
    ],
)
def test_other_clients_and_own_pages_are_served(
    server: LiveServer, queue: str, method: str, headers: dict[str, str]
) -> None:
    assert purge(server, method, queue, filled_in(headers, server)).status == 200
    assert message_count(server, queue) == "0"


def test_get_of_a_browser_that_does_not_name_its_page_changes_nothing(
    server: LiveServer, queue: str
) -> None:
    answer = purge(server, "GET", queue, BROWSER)
    assert answer.status == 403
    assert "does not say which web page" in answer.body.decode()
    assert message_count(server, queue) == "1"
    assert exchange(server.url, "GET", "/health", BROWSER).status == 200


# Host names


@pytest.mark.parametrize(
    ("addresses", "allowed_hosts", "checks"),
    [
        (["127.0.0.1"], (), True),
        (["127.8.8.8", "::1", "::ffff:127.0.0.1"], (), True),
        (["0.0.0.0"], (), False),  # the addresses are not bound
        (["::"], (), False),
        (["192.168.1.5"], (), False),
        (["127.0.0.1", "192.168.1.5"], (), False),
        (["0.0.0.0"], ("a.example",), True),
    ],
)
def test_host_names_are_checked_on_loopback_or_if_they_are_configured(
    addresses: list[str], allowed_hosts: tuple[str, ...], checks: bool
) -> None:
    rules = BrowserRules(config("sqlite://", allowed_hosts=allowed_hosts))
    headers = CIMultiDict({"Host": "evil.example"})
    assert rules.rejection("POST", "/", headers)
    rules.listen_on(addresses)
    assert (rules.rejection("POST", "/", headers) is not None) is checks


def test_name_of_the_configured_host_is_served() -> None:
    rules = BrowserRules(structs.replace(config("sqlite://"), host=("Queues.Example",)))
    assert rules.rejection("POST", "/", CIMultiDict({"Host": "queues.example:9324"})) is None


def test_rejected_names_are_logged_once_and_not_without_a_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with contextlib.closing(LiveServer(config("sqlite://"), ManualClock())) as server:
        for _ in range(3):
            exchange(server.url, headers={"Host": "evil.example:1", "Origin": EVIL})
            exchange(server.url, headers={"Origin": EVIL})
        host, origin = caplog.messages
        assert host.endswith("add it to --allowed-hosts: host=evil.example")
        assert origin.endswith(f"add the origin to --cors-origins: origin={EVIL}")
        for n in range(120):
            head = f"POST / HTTP/1.1\r\nHost: {n}.{'é' * 1_000}.example\r\n\r\n"
            with contextlib.closing(open_socket(server.url, head.encode("latin-1"))) as client:
                assert client.recv(1_000).startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert len(caplog.messages) == 100
    assert max(len(message) for message in caplog.messages) < 500
    assert all(message.isascii() for message in caplog.messages)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize(
    ("flag", "value"), [("--cors-origins", "https://app.example/path"), ("--allowed-hosts", "a,,b")]
)
def test_invalid_list_stops_the_start(
    flag: str, value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    line = failed_start(flag, value, directory=tmp_path_factory.mktemp("start"))
    assert line.startswith(f"queueserver: error: {flag}: '{value}' is not a list of ")


# Listed origins


def preflight(server: LiveServer, path: str, origin: str, **headers: str) -> Answer:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-amz-target",
        "Sec-Fetch-Site": "cross-site",
    }
    return exchange(server.url, "OPTIONS", path, {**asked, **headers})


@pytest.mark.parametrize("path", ["/", "/000000000000/q", "/health", "/_queueserver/x"])
def test_preflight_of_a_listed_origin_permits_what_the_sdk_sends(
    server: LiveServer, path: str
) -> None:
    answer = preflight(server, path, LISTED)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    allowed = answer.headers["access-control-allow-headers"]
    assert set(allowed.split(", ")) == SDK_HEADERS
    assert answer.headers["access-control-max-age"] == "7200"
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert "access-control-allow-private-network" not in answer.headers


def test_preflight_of_another_origin_is_rejected(server: LiveServer) -> None:
    answer = preflight(server, "/", EVIL)
    assert answer.status == 403
    assert answer.headers["vary"] == "Origin"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("protocol", ["json", "query"])
@pytest.mark.parametrize("origin", SETTINGS.cors_origins)
def test_page_of_a_listed_origin_can_read_results_and_errors(
    server: LiveServer, queue: str, protocol: str, origin: str
) -> None:
    headers = json_headers("ReceiveMessage") if protocol == "json" else FORM
    for name, status in ((queue, 200), ("missing", 400)):
        asked = {"QueueUrl": name}
        body = json.dumps(asked) if protocol == "json" else form("ReceiveMessage", asked)
        answer = exchange(server.url, headers={**headers, "Origin": origin}, body=body)
        assert answer.status == status
        assert_readable(answer, origin)


def assert_readable(answer: Answer, origin: str = LISTED) -> None:
    assert answer.headers["access-control-allow-origin"] == origin
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert exposed == ["x-amzn-RequestId", "x-amzn-query-error", "Date", "Retry-After"]
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/health", {}, 200, id="health"),
        pytest.param("GET", "/_queueserver/x", {}, 404, id="own API"),
        pytest.param("GET", "/?Action=Nothing", {}, 400, id="unknown action"),
        pytest.param("POST", "/", {"Host": "evil.example"}, 403, id="strange host"),
        pytest.param("POST", "/", {"Content-Encoding": "gzip"}, 400, id="unreadable body"),
    ],
)
def test_page_of_a_listed_origin_can_read_every_answer(
    server: LiveServer, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = exchange(server.url, method, path, {"Origin": LISTED, **headers}, b"x")
    assert answer.status == status
    assert_readable(answer)


def test_page_of_a_listed_origin_can_read_that_its_request_is_too_large(server: LiveServer) -> None:
    answer = exchange(server.url, headers={"Origin": LISTED}, body=b"x" * (8 * 1024 * 1024 + 1))
    assert (answer.status, parse_error(answer).code) == (413, "RequestEntityTooLarge")
    assert_readable(answer)


def test_page_of_a_listed_origin_can_read_that_there_are_too_many_connections() -> None:
    settings = structs.replace(SETTINGS, connection_limit=1)
    with (
        contextlib.closing(LiveServer(settings, ManualClock())) as server,
        contextlib.closing(open_socket(server.url, b"")),
    ):
        answer = exchange(server.url, headers={"Origin": LISTED, **json_headers("ListQueues")})
    assert answer.status == 503
    assert_readable(answer)


def test_bytes_that_are_not_http_get_an_answer_if_origins_are_listed(server: LiveServer) -> None:
    with contextlib.closing(
        open_socket(server.url, b"GET / HTTP/x\r\nOrigin: a\r\n\r\n")
    ) as client:
        assert client.recv(1_000).startswith(b"HTTP/1.0 400 Bad Request\r\n")


def test_answer_varies_by_origin_only_if_origins_are_listed(server: LiveServer) -> None:
    headers = json_headers("ListQueues")
    plain = exchange(server.url, headers=headers, body="{}")
    assert plain.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in plain.headers
    with contextlib.closing(LiveServer(config("sqlite://"), ManualClock())) as unlisted:
        plain = exchange(unlisted.url, headers=headers, body="{}")
        assert "vary" not in plain.headers
        assert preflight(unlisted, "/", LISTED).status == 403
