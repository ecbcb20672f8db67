"""Headers of proxies in requests: of a trusted proxy, of a stranger, and over TLS."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import pytest
from msgspec import structs

from queueserver.actions.direct import Done, Pending
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.raw_http import exchange, json_headers, open_socket, read_until_closed
from tests.certificates import Files

TRUSTED = ("127.0.0.0/8",)
STRANGERS = ("10.0.0.0/8",)
FORWARDED = {
    "Host": "inside",
    "X-Forwarded-Host": "outside",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "198.51.100.7",
}

StartServer: TypeAlias = Callable[..., LiveServer]


@pytest.fixture(params=["both ways", "tasks only"])
def start(sqlite: str, tls_files: Files, request: pytest.FixtureRequest) -> Iterator[StartServer]:
    """Return a function that starts a server with these trusted proxies, which has a queue."""
    with contextlib.ExitStack() as stack:

        def start(proxies: Sequence[str], *, tls: bool = False, **changes: object) -> LiveServer:
            changes = {**(tls_files.settings if tls else {}), **changes}
            settings = structs.replace(config(sqlite), trusted_proxies=tuple(proxies), **changes)
            server = LiveServer(settings, AlarmCountingClock())
            stack.callback(server.close)
            call(server, "CreateQueue", QueueName="q")
            call(server, "SendMessage", QueueUrl="q", MessageBody="x")
            if request.param == "tasks only":
                server.answer_with_tasks_only()
            return server

        yield start


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[RequestContext]:
    """Record and return the contexts of the actions, of both ways."""
    contexts: list[RequestContext] = []
    dispatch, begin = Dispatcher.dispatch, Dispatcher.begin

    async def record(
        self: Dispatcher, context: RequestContext, request: msgspec.Struct
    ) -> msgspec.Struct | None:
        contexts.append(context)
        return await dispatch(self, context, request)

    def record_begin(
        self: Dispatcher, context: RequestContext, request: msgspec.Struct, done: Done
    ) -> Pending | None:
        pending = begin(self, context, request, done)
        if pending is not None:
            contexts.append(context)
        return pending

    monkeypatch.setattr(Dispatcher, "dispatch", record)
    monkeypatch.setattr(Dispatcher, "begin", record_begin)
    return contexts


def call(
    server: LiveServer, action: str, headers: dict[str, str] | None = None, **parameters: object
) -> bytes:
    all_headers = {**json_headers(action), **(headers or {})}
    answer = exchange(server.url, headers=all_headers, body=json.dumps(parameters))
    assert answer.status == 200, answer.body
    return answer.body


def send(server: LiveServer, headers: dict[str, str]) -> None:
    """Send two messages: the first one of a host is never answered without a task."""
    for _ in range(2):
        call(server, "SendMessage", headers, QueueUrl="q", MessageBody="x")


@pytest.mark.parametrize(
    ("proxies", "tls", "headers", "expected"),
    [
        pytest.param(
            TRUSTED, False, {}, ("https://outside", "198.51.100.7", True), id="trusted proxy"
        ),
        pytest.param(STRANGERS, False, {}, ("http://inside", "127.0.0.1", False), id="stranger"),
        pytest.param((), False, {}, ("https://outside", "127.0.0.1", False), id="no list"),
        pytest.param(
            TRUSTED,
            True,
            {"X-Forwarded-Proto": "http"},
            ("http://outside", "198.51.100.7", False),
            id="trusted proxy of HTTP, over TLS",
        ),
        pytest.param(
            STRANGERS,
            True,
            {"X-Forwarded-Proto": "http"},
            ("https://inside", "127.0.0.1", True),
            id="stranger over TLS",
        ),
        pytest.param(
            TRUSTED,
            False,
            {"X-Forwarded-For": "203.0.113.9, 198.51.100.8, 127.9.9.9"},
            ("https://outside", "198.51.100.8", True),
            id="two proxies",
        ),
        pytest.param(
            TRUSTED,
            False,
            {"X-Forwarded-Proto": "https, http"},
            ("https://outside", "198.51.100.7", False),
            id="one hop of HTTP",
        ),
    ],
)
def test_forwarded_headers_count_on_connections_of_trusted_proxies(
    start: StartServer,
    contexts: list[RequestContext],
    proxies: Sequence[str],
    tls: bool,
    headers: dict[str, str],
    expected: tuple[str, str, bool],
) -> None:
    server = start(proxies, tls=tls)
    contexts.clear()
    send(server, {**FORWARDED, **headers})
    assert len(contexts) == 2
    for context in contexts:
        assert (context.base_url, context.client_address, context.is_secure) == expected


@pytest.mark.parametrize("proxies", [TRUSTED, STRANGERS, ()])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_request_without_forwarded_headers_is_as_secure_as_its_connection(
    start: StartServer, contexts: list[RequestContext], proxies: Sequence[str], tls: bool
) -> None:
    server = start(proxies, tls=tls)
    contexts.clear()
    send(server, {"Host": "inside"})
    scheme = "https" if tls else "http"
    assert len(contexts) == 2
    for context in contexts:
        assert (context.base_url, context.is_secure) == (f"{scheme}://inside", tls)
        assert context.client_address == "127.0.0.1"


def test_addresses_of_requests_on_one_connection_of_a_proxy_differ(
    start: StartServer, contexts: list[RequestContext]
) -> None:
    server = start(TRUSTED)
    send(server, FORWARDED)
    contexts.clear()
    for number in range(3):
        send(server, {**FORWARDED, "X-Forwarded-For": f"198.51.100.{number}"})
    assert [context.client_address for context in contexts] == [
        f"198.51.100.{number}" for number in (0, 0, 1, 1, 2, 2)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 127.9.9.9", ("198.51.100.7", True)),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.7", ("198.51.100.7", True)),
        ("X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: x", ("127.0.0.1", True)),
        ("X-Forwarded-Proto: http", ("127.0.0.1", False)),
    ],
)
def test_headers_of_one_name_are_read_as_one_list(
    start: StartServer, contexts: list[RequestContext], lines: str, expected: tuple[str, bool]
) -> None:
    server = start(TRUSTED)
    contexts.clear()
    request = (
        "GET /?Action=ListQueues HTTP/1.1\r\nHost: inside\r\nConnection: close\r\n"
        f"X-Forwarded-Proto: https\r\n{lines}\r\n\r\n"
    )
    with open_socket(server.url, request.encode()) as client:
        assert read_until_closed(client).startswith(b"HTTP/1.1 200 ")
    (context,) = contexts
    assert (context.client_address, context.is_secure) == expected


# Web pages


@pytest.mark.parametrize(
    ("proxies", "status"),
    [
        pytest.param(TRUSTED, 200, id="trusted proxy"),
        pytest.param(STRANGERS, 403, id="stranger"),
        pytest.param((), 200, id="no list"),
    ],
)
def test_forwarded_host_of_a_stranger_permits_no_page(
    start: StartServer, proxies: Sequence[str], status: int
) -> None:
    server = start(proxies)
    headers = {**json_headers("ListQueues"), **FORWARDED, "Origin": "https://outside"}
    assert exchange(server.url, headers=headers, body="{}").status == status


@pytest.mark.parametrize("proxies", [TRUSTED, STRANGERS, ()])
def test_forwarded_host_does_not_permit_an_unknown_host(
    start: StartServer, proxies: Sequence[str]
) -> None:
    server = start(proxies)
    headers = {**json_headers("ListQueues"), **FORWARDED, "Host": "stranger.example"}
    headers["X-Forwarded-Host"] = "localhost"
    assert exchange(server.url, headers=headers, body="{}").status == 403


def test_public_url_overrides_the_headers_of_a_trusted_proxy(start: StartServer) -> None:
    server = start(TRUSTED, public_url="https://public.example")
    body = call(server, "GetQueueUrl", FORWARDED, QueueName="q")
    assert json.loads(body)["QueueUrl"] == "https://public.example/000000000000/q"
