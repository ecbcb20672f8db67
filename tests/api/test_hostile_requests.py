"""Hostile requests: no injection into headers or logs, no access to other queues or accounts."""

from __future__ import annotations

import gc
import json
import logging
import re
import tracemalloc
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.api import raw_http
from tests.api.live_server import LiveServer
from tests.api.raw_http import Answer, exchange, json_headers, open_socket, parse_error
from tests.api.sqs_clients import Connect, Sqs, bodies, rejection

SECRET = "TOPSECRET"


def call_action(server: LiveServer, action: str, body: str) -> Answer:
    return exchange(server.url, headers=json_headers(action), body=body)


# Invalid HTTP


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"GET / HTTP/1.1\r\nHost: a\r\nX-Token: {SECRET}\0\r\n\r\n", id="header"),
        pytest.param(f"GET / HTTP/1.1\r\nHost: a\r\n{SECRET}\r\n\r\n", id="header without colon"),
        pytest.param(f"GET /?Token={SECRET} HTTP/x\r\nHost: a\r\n\r\n", id="version"),
        pytest.param(f"{SECRET} / HTTP/1.1\r\nHost: a\r\n\r\n", id="method"),
        pytest.param(f"GET http://{SECRET}:x/ HTTP/1.1\r\nHost: a\r\n\r\n", id="request target"),
        pytest.param(
            f"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
            id="body",
        ),
    ],
)
def test_invalid_http_is_logged_without_its_content(
    server: LiveServer, sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with open_socket(server.url, sent.encode()) as client:
        while client.recv(65_536):
            pass
    (line,) = [message for message in caplog.messages if "is not valid HTTP" in message]
    assert re.search(r" request_id=\S+ reason=\S", line)
    assert not [record for record in caplog.records if SECRET in logging.Formatter().format(record)]


@pytest.mark.parametrize(
    "target", ["http://elsewhere/", "http://elsewhere:1/000000000000/ignored/..", "//elsewhere/"]
)
def test_absolute_request_target_cannot_change_the_host(
    server: LiveServer, name: str, target: str
) -> None:
    path = f"{target}?Action=CreateQueue&QueueName={name}"
    answer = exchange(server.url, "GET", path, {"Host": "here"})
    assert "elsewhere" not in answer.body.decode()
    assert (answer.status == 200) == (f"http://here/000000000000/{name}" in answer.body.decode())


# Injection


@pytest.mark.parametrize("injected", ["\r\nX-Injected: 1", "\n\n<html>", "\r", "\x0b\x85\u2028"])
@pytest.mark.parametrize(
    "query",
    [
        "Action=CreateQueue&QueueName={}",
        "Action=CreateQueue&QueueName=q&Attribute.1.Name={}&Attribute.1.Value=1",
        "Action=GetQueueUrl&QueueName={}",
        "Action=ListQueues&QueueNamePrefix={}",
        "Action={}",
        "Action=ListQueues&Version={}",
    ],
)
def test_line_breaks_in_parameters_cannot_inject_headers(
    server: LiveServer, query: str, injected: str
) -> None:
    path = "/?" + query.format(quote(injected))
    answer = exchange(server.url, "GET", path)
    assert answer.status in {200, 400, 404}
    assert "x-injected" not in answer.headers
    assert answer.headers["content-type"] == "text/xml"
    assert len(answer.body) == int(answer.headers["content-length"])
    assert answer.body.startswith(b"<?xml")


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_markup_in_the_host_header_is_escaped(server: LiveServer, name: str, protocol: str) -> None:
    host = {"Host": 'a"<&>\\b'}
    if protocol == "json":
        body = json.dumps({"QueueName": name})
        headers = {**json_headers("CreateQueue"), **host}
        answer = exchange(server.url, headers=headers, body=body)
        assert json.loads(answer.body)["QueueUrl"].startswith('http://a"<&>\\b/')
    else:
        answer = exchange(server.url, "GET", f"/?Action=CreateQueue&QueueName={name}", host)
        assert b"<QueueUrl>http://a&quot;&lt;&amp;&gt;\\b/" in answer.body


# JSON

JSON = pytest.mark.parametrize("protocol", ["json"], indirect=True)


@JSON
@pytest.mark.parametrize(
    "number",
    ["1e999", "-1e999", "1e-999", "1e2", "NaN", "Infinity", "1" * 5_000, "0x1", "1_0", "01"],
)
def test_invalid_json_number_is_rejected(server: LiveServer, queue: str, number: str) -> None:
    answer = call_action(
        server,
        "SendMessage",
        f'{{"QueueUrl": "{queue}", "MessageBody": "x", "DelaySeconds": {number}}}',
    )
    assert (answer.status, parse_error(answer).code) == (400, "MalformedInput")


@JSON
def test_last_of_duplicate_json_members_is_used(server: LiveServer, queue: str) -> None:
    duplicated = (
        f'"QueueUrl": "elsewhere", "QueueUrl": "{queue}", "MessageBody": "x", "MessageBody": "y"'
    )
    answer = call_action(server, "SendMessage", f"{{{duplicated}}}")
    assert answer.status == 200
    answer = call_action(server, "ReceiveMessage", f'{{"QueueUrl": "{queue}"}}')
    assert [message["Body"] for message in json.loads(answer.body)["Messages"]] == ["y"]


# Memory


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Free only what no object refers to, not even one of a cycle."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        pytest.param("SendMessage", {"QueueUrl": "<queue>", "MessageBody": "<long>"}, id="size"),
        pytest.param("SendMessage", {"QueueUrl": "missing", "MessageBody": "<long>"}, id="queue"),
        pytest.param("CreateQueue", {"QueueName": "<long>"}, id="name"),
        pytest.param("GetQueueUrl", {"QueueName": "<long>"}, id="unknown name"),
        pytest.param("CancelMessageMoveTask", {"TaskHandle": "<long>"}, id="handle"),
        pytest.param("DeleteMessage", {"QueueUrl": 1, "ReceiptHandle": "<long>"}, id="JSON"),
    ],
)
@pytest.mark.usefixtures("no_garbage_collection")
def test_rejected_request_is_freed_with_its_answer(
    server: LiveServer, queue: str, protocol: str, action: str, parameters: dict[str, object]
) -> None:
    longest = {"<queue>": queue, "<long>": "x" * 4_000_000}
    given = {name: longest.get(str(value), value) for name, value in parameters.items()}
    before, _ = tracemalloc.get_traced_memory()
    assert raw_http.call_action(server.url, protocol, action, given).status in {400, 404}
    after, _ = tracemalloc.get_traced_memory()
    assert after - before < 1_000_000


# Receipt handles


def test_receipt_handle_is_invalid_on_another_queue_and_in_another_account(
    connect: Connect, sqs: Sqs, queue: str, name: str
) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"]
    handle = message["ReceiptHandle"]
    other_account = connect("111111111111")
    other_queue = sqs.create_queue(QueueName=f"{name}-other")["QueueUrl"]
    foreign_queue = other_account.create_queue(QueueName=name)["QueueUrl"]
    for client, url in ((sqs, other_queue), (other_account, foreign_queue)):
        for action, more in (
            ("delete_message", {}),
            ("change_message_visibility", {"VisibilityTimeout": 9}),
        ):
            error = rejection(getattr(client, action), QueueUrl=url, ReceiptHandle=handle, **more)
            assert (error.status, error.code) == (404, "ReceiptHandleIsInvalid")
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]
