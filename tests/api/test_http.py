"""HTTP: errors, malformed bodies, encodings, methods, paths and headers."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import logging
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.api.live_server import AlarmCountingClock, LiveServer, config
from tests.api.raw_http import (
    FORM,
    Answer,
    ParsedError,
    connection,
    exchange,
    json_headers,
    open_socket,
    parse_error,
    read_answer,
)
from tests.api.sqs_clients import Sqs, bodies

SERVER_LIMIT_BYTES = 8 * 1024 * 1024
SQS_NAMESPACE, COMMON_NAMESPACE = "com.amazonaws.sqs", "com.amazon.coral.service"
NO_SUCH_QUEUE = "The specified queue does not exist."


def call_action(server: LiveServer, protocol: str, action: str, **parameters: object) -> Answer:
    """Call an action in a protocol, with string and number parameters only."""
    if protocol == "json":
        return exchange(server.url, headers=json_headers(action), body=json.dumps(parameters))
    form = urlencode({"Action": action, **parameters})
    return exchange(server.url, headers=FORM, body=form)


# Errors


@pytest.mark.parametrize(
    ("action", "parameters", "status", "kind", "code", "text"),
    [
        pytest.param(
            "DeleteMessage",
            {"ReceiptHandle": "garbage"},
            404,
            f"{SQS_NAMESPACE}#ReceiptHandleIsInvalid",
            "ReceiptHandleIsInvalid",
            'The input receipt handle "garbage" is not a valid receipt handle.',
            id="invalid handle",
        ),
        pytest.param(
            "SendMessage",
            {},
            400,
            f"{COMMON_NAMESPACE}#MissingRequiredParameterException",
            "MissingParameter",
            "The request must contain the parameter MessageBody.",
            id="missing parameter",
        ),
        pytest.param(
            "ReceiveMessage",
            {"MaxNumberOfMessages": 0},
            400,
            f"{COMMON_NAMESPACE}#InvalidParameterValueException",
            "InvalidParameterValue",
            "Value 0 for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
            id="value out of range",
        ),
    ],
)
def test_error_has_status_type_code_and_text_in_both_protocols(
    server: LiveServer,
    protocol: str,
    queue: str,
    action: str,
    parameters: dict[str, Any],
    status: int,
    kind: str,
    code: str,
    text: str,
) -> None:
    answer = call_action(server, protocol, action, QueueUrl=queue, **parameters)
    if protocol == "query":
        assert parse_error(answer) == (status, None, code, text.replace('"', "&quot;"))
    else:
        assert parse_error(answer) == (status, kind, code, text)


def test_error_text_of_missing_queue_depends_on_the_protocol(
    server: LiveServer, protocol: str
) -> None:
    error = parse_error(
        call_action(server, protocol, "SendMessage", QueueUrl="no-such-queue", MessageBody="x")
    )
    code = "AWS.SimpleQueueService.NonExistentQueue"
    if protocol == "json":
        assert error == (400, f"{SQS_NAMESPACE}#QueueDoesNotExist", code, NO_SUCH_QUEUE)
    else:
        text = "The specified queue does not exist for this wsdl version."
        assert error == (400, None, code, text)


def test_unknown_action_is_rejected(server: LiveServer, protocol: str) -> None:
    unknown = parse_error(call_action(server, protocol, "FooBar"))
    assert (unknown.status, unknown.code) == (400, "InvalidAction")
    if protocol == "json":
        assert unknown.type == f"{COMMON_NAMESPACE}#UnknownOperationException"


# Malformed bodies


MALFORMED = ParsedError(
    400,
    f"{COMMON_NAMESPACE}#SerializationException",
    "MalformedInput",
    "The request could not be parsed.",
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"QueueUrl":', id="cut off"),
        pytest.param(b"[1]", id="array"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b'{"QueueUrl":"q","MessageBody":"\xff"}', id="bad UTF-8"),
        pytest.param(b'{"QueueUrl":"q","MessageBody":' + b"[" * 9_000, id="deep nesting"),
        pytest.param(b'{"DelaySeconds":' + b"9" * 10_000 + b"}", id="long number"),
        pytest.param(b"Action=ListQueues", id="form"),
    ],
)
def test_malformed_json_is_rejected(server: LiveServer, body: bytes) -> None:
    assert (
        parse_error(exchange(server.url, headers=json_headers("SendMessage"), body=body))
        == MALFORMED
    )


def test_json_value_of_the_wrong_type_is_rejected_with_its_type(
    server: LiveServer, queue: str
) -> None:
    body = json.dumps({"QueueUrl": queue, "MessageBody": 7})
    error = parse_error(exchange(server.url, headers=json_headers("SendMessage"), body=body))
    assert error == MALFORMED._replace(text="NUMBER_VALUE can not be converted to a String")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"Action=SendMessage&MessageBody=%FF", "MalformedInput", id="bad UTF-8"),
        pytest.param(
            b"Action=ListQueues" + b"&a=1" * 10_001, "MalformedInput", id="many parameters"
        ),
        pytest.param(b"", "MissingAction", id="empty"),
        pytest.param(b'{"QueueNamePrefix":"x"}', "MissingAction", id="json"),
    ],
)
def test_malformed_form_is_rejected(server: LiveServer, body: bytes, code: str) -> None:
    error = parse_error(exchange(server.url, headers=FORM, body=body))
    assert (error.status, error.code) == (400, code)


@pytest.mark.parametrize(("spare_bytes", "status"), [(0, 400), (-1, 413)])
def test_body_up_to_the_server_limit_is_accepted(
    server: LiveServer, protocol: str, queue: str, spare_bytes: int, status: int
) -> None:
    headers = json_headers("SendMessage") if protocol == "json" else FORM
    parameters = {"QueueUrl": queue, "MessageBody": ""}
    empty = (
        json.dumps(parameters)
        if protocol == "json"
        else urlencode({"Action": "SendMessage", **parameters})
    )
    filling = "x" * (SERVER_LIMIT_BYTES - spare_bytes - len(empty))
    body = f'{empty[:-2]}{filling}"}}' if protocol == "json" else empty + filling
    assert len(body) == SERVER_LIMIT_BYTES - spare_bytes
    error = parse_error(exchange(server.url, headers=headers, body=body))
    code = "InvalidParameterValue" if status == 400 else "RequestEntityTooLarge"
    assert (error.status, error.code) == (status, code)


# Encodings of bodies


def test_chunked_body_is_accepted(server: LiveServer, sqs: Sqs, queue: str) -> None:
    body = json.dumps({"QueueUrl": queue, "MessageBody": "in pieces"}).encode()
    pieces = (body[start : start + 7] for start in range(0, len(body), 7))
    headers = {**json_headers("SendMessage"), "Transfer-Encoding": "chunked"}
    assert exchange(server.url, headers=headers, body=pieces).status == 200
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["in pieces"]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [pytest.param("gzip", gzip.compress), pytest.param("deflate", zlib.compress)],
)
def test_compressed_body_is_accepted(
    server: LiveServer, sqs: Sqs, queue: str, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    body = encode(json.dumps({"QueueUrl": queue, "MessageBody": "small"}).encode())
    headers = {**json_headers("SendMessage"), "Content-Encoding": encoding}
    assert exchange(server.url, headers=headers, body=body).status == 200
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["small"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"no gzip at all", 400, "MalformedInput", id="garbage"),
        pytest.param(gzip.compress(b"{}" * 999)[:-9], 400, "MalformedInput", id="cut off"),
        pytest.param(
            gzip.compress(b" " * 50_000_000, 1), 413, "RequestEntityTooLarge", id="compression bomb"
        ),
    ],
)
def test_invalid_or_oversized_compressed_body_is_rejected(
    server: LiveServer, body: bytes, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {**json_headers("ListQueues"), "Content-Encoding": "gzip"}
    error = parse_error(exchange(server.url, headers=headers, body=body))
    assert (error.status, error.code) == (status, code)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_expect_100_continue_is_answered_before_the_body(
    server: LiveServer, sqs: Sqs, queue: str
) -> None:
    body = json.dumps({"QueueUrl": queue, "MessageBody": "continue"}).encode()
    lines = [
        "POST / HTTP/1.1",
        "Host: localhost",
        "Expect: 100-continue",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in json_headers("SendMessage").items()),
    ]
    with open_socket(server.url, "\r\n".join([*lines, "", ""]).encode()) as client:
        assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(1_000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["continue"]


def test_connection_stays_open_after_an_error(server: LiveServer) -> None:
    client = connection(server.url)
    statuses = []
    for action in ("ListQueues", "FooBar", "ListQueues"):
        client.request("POST", "/", b"{}", json_headers(action))
        statuses.append(read_answer(client).status)
    client.close()
    assert statuses == [200, 400, 200]


def raw_answer(url: str, request: str) -> bytes:
    """Send a raw request, and read until the server closes the connection."""
    with open_socket(url, request.replace("\n", "\r\n").encode()) as client:
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_answer_to_head_has_no_body(server: LiveServer) -> None:
    answer = raw_answer(server.url, "HEAD / HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: " in head
    assert body == b""


def test_http_1_0_answer_states_keep_alive_or_close(server: LiveServer) -> None:
    last = "GET / HTTP/1.0\nConnection: close\n\n"
    first, _, second = raw_answer(
        server.url, f"GET / HTTP/1.0\nConnection: keep-alive\n\n{last}"
    ).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.0 404 Not Found\r\n")
    assert b"Connection: keep-alive" in first.split(b"\r\n")
    assert b"Connection: close" in second.split(b"\r\n")


def test_http_1_0_request_gets_no_100_continue(server: LiveServer) -> None:
    request = (
        "POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 2\nConnection: close\n"
        "Content-Type: application/x-amz-json-1.0\nX-Amz-Target: AmazonSQS.ListQueues\n\n{}"
    )
    assert b"100 Continue" not in raw_answer(server.url, request)


def test_date_header_is_the_real_time_and_not_that_of_messages(own_database: str) -> None:
    times = itertools.count(2_000_000_000, 61)
    clock = AlarmCountingClock()
    with contextlib.closing(LiveServer(config(own_database), clock, times.__next__)) as server:
        dates = []
        for _ in range(2):
            dates.append(exchange(server.url, "GET", "/").headers["date"])
            clock.advance(1_000)
    assert dates == ["Wed, 18 May 2033 03:33:20 GMT", "Wed, 18 May 2033 03:34:21 GMT"]


# Methods and paths


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/000000000000/q", "/health-not"])
def test_unsupported_methods_are_answered_404(server: LiveServer, method: str, path: str) -> None:
    answer = exchange(server.url, method, path, json_headers("ListQueues"), b"{}")
    assert_not_found(answer, with_body=method != "HEAD")


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/favicon.ico", "/000000000000/q", "/a/b/c/d", "/%00", "/%ff/%ff", "/?a=b"],
)
def test_get_without_an_action_is_answered_404(server: LiveServer, path: str) -> None:
    assert_not_found(exchange(server.url, "GET", path, {"Accept": "text/html"}))


def assert_not_found(answer: Answer, *, with_body: bool = True) -> None:
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/xml"
    assert answer.headers["x-amzn-requestid"]
    assert answer.body == (b"<UnknownOperationException/>" if with_body else b"")


@pytest.mark.parametrize("action", ["CreateQueue", "ListQueues"])
def test_queue_path_rejects_actions_that_have_no_queue(server: LiveServer, action: str) -> None:
    error = parse_error(exchange(server.url, "GET", f"/000000000000/q?Action={action}"))
    text = f"The action {action} is not valid for this endpoint."
    assert error == (400, None, "InvalidAction", text)


def test_json_answer_without_a_result_is_empty(server: LiveServer, queue: str) -> None:
    answer = call_action(server, "json", "PurgeQueue", QueueUrl=queue)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/x-amz-json-1.0"
    assert answer.headers["content-length"] == "0"
    assert call_action(server, "json", "ReceiveMessage", QueueUrl=queue).body == b"{}"


def test_query_answer_has_an_envelope_with_and_without_a_result(
    server: LiveServer, queue: str
) -> None:
    for action, result in (("PurgeQueue", ""), ("ReceiveMessage", "<ReceiveMessageResult/>")):
        answer = call_action(server, "query", action, QueueUrl=queue)
        request_id = answer.headers["x-amzn-requestid"]
        assert answer.headers["content-type"] == "text/xml"
        assert answer.body.decode() == (
            f'<?xml version="1.0"?><{action}Response '
            f'xmlns="http://queue.amazonaws.com/doc/2012-11-05/">{result}'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
            f"</{action}Response>"
        )


def test_get_that_accepts_json_is_answered_in_json(server: LiveServer, queue: str) -> None:
    accept = {"Accept": "application/json"}
    path = urlsplit(queue).path
    answer = exchange(server.url, "GET", f"{path}?Action=ReceiveMessage", accept)
    request_id = answer.headers["x-amzn-requestid"]
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {
        "ReceiveMessageResponse": {
            "ReceiveMessageResult": {"messages": None},
            "ResponseMetadata": {"RequestId": request_id},
        }
    }
    answer = exchange(server.url, "GET", f"{path}?Action=FooBar", accept)
    assert answer.status == 400
    assert "x-amzn-query-error" not in answer.headers
    assert json.loads(answer.body)["Error"]["Code"] == "InvalidAction"
    posted = exchange(server.url, "POST", path, {**FORM, **accept}, "Action=ReceiveMessage")
    assert posted.headers["content-type"] == "text/xml"
    assert_not_found(exchange(server.url, "GET", path, accept))


# Headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-Amzn-Trace-Id", "\xff\xfe", id="trace of invalid bytes"),
        pytest.param("X-Amzn-Trace-Id", "Ä", id="trace of non-ASCII letters"),
        pytest.param("Host", "\xff", id="host"),
        pytest.param("X-Forwarded-Host", "\xff", id="forwarded host"),
        pytest.param("X-Forwarded-Proto", "\xff", id="forwarded scheme"),
        pytest.param("Accept", "\xff", id="accept"),
        pytest.param("Expect", "\xff", id="expect"),
        pytest.param("Authorization", "Credential=\xff/x/\xff/", id="invalid credential"),
        pytest.param(
            "Authorization", f"Credential=a/20260101/{'long-' * 1_000}/sqs/", id="long region"
        ),
    ],
)
@pytest.mark.parametrize("protocol", ["json", "query"], indirect=True)
def test_invalid_header_values_are_ignored(
    server: LiveServer, protocol: str, name: str, value: str
) -> None:
    queue = "headers"
    parameters = {"QueueName": queue}
    bytes_of = {name: value.encode("latin-1")}
    headers: dict[str, Any] = {**json_headers("CreateQueue"), **bytes_of}
    body = json.dumps(parameters)
    if protocol == "query":
        headers = {**FORM, **bytes_of}
        body = urlencode({"Action": "CreateQueue", **parameters})
    answer = exchange(server.url, headers=headers, body=body)
    assert answer.status == 200, answer.body
    assert b"/000000000000/headers" in answer.body


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param(b"\xff\xfe", id="invalid bytes"),
        pytest.param(b"Sampled=1", id="no root"),
        pytest.param(b"Root=1-5759e988-bd862e3fe1be46a994272793;a=" + b"x" * 500, id="too long"),
    ],
)
def test_invalid_trace_header_does_not_stop_a_send(
    server: LiveServer, sqs: Sqs, queue: str, trace: bytes
) -> None:
    body = json.dumps({"QueueUrl": queue, "MessageBody": "x"})
    headers: dict[str, Any] = {**json_headers("SendMessage"), "X-Amzn-Trace-Id": trace}
    assert exchange(server.url, headers=headers, body=body).status == 200
    (message,) = sqs.receive_message(QueueUrl=queue, AttributeNames=["All"])["Messages"]
    assert "AWSTraceHeader" not in message["Attributes"]


@pytest.mark.parametrize(
    "request_line",
    [
        pytest.param(b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", id="method"),
        pytest.param(b"GET / HTTP/1.1\r\nno header\r\n\r\n", id="header"),
        pytest.param(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="TLS"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            id="Content-Length and chunked",
        ),
    ],
)
def test_invalid_http_is_answered_400_and_the_connection_closed(
    server: LiveServer, request_line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "aiohttp.server")
    answer = b""
    with open_socket(server.url, request_line) as client:
        while piece := client.recv(65_536):
            answer += piece
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 "), head
    assert b"\r\nContent-Type: text/xml\r\n" in head
    assert b"\r\nx-amzn-RequestId: " in head
    assert b"<Code>MalformedInput</Code>" in text
    assert b"Traceback" not in text


# Health and common headers


def test_health_endpoint_reports_ok(server: LiveServer) -> None:
    answer = exchange(server.url, "GET", "/health")
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    assert answer.headers["content-type"].startswith("application/json")


def test_server_paths_do_not_accept_sqs_actions(server: LiveServer) -> None:
    answer = exchange(server.url, "POST", "/_queueserver/x", json_headers("ListQueues"), b"{}")
    assert (answer.status, answer.body) == (404, b'{"status":"not found"}')


def test_no_answer_can_be_rendered_as_html(server: LiveServer) -> None:
    for path in ("/health", "/?Action=<script>", "/_queueserver/x", "/"):
        headers = exchange(server.url, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["server"] == "queueserver"
        assert "html" not in headers["content-type"]


def test_server_url_is_a_plain_http_address(server: LiveServer) -> None:
    address = urlsplit(server.url)
    assert (address.scheme, address.hostname, address.path) == ("http", "127.0.0.1", "")
