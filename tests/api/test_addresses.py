"""Hosts and paths of requests: the region in a host name, and the queue URLs in answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlencode, urlsplit

import pytest

from tests.api.live_server import LiveServer
from tests.api.raw_http import FORM, Answer, call_action, exchange, form, json_headers, parse_error
from tests.api.sqs_clients import Connect, Sqs, bodies

Call: TypeAlias = Callable[..., Answer]

SIGNED_FOR_FRANKFURT = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-central-1/"
    "sqs/aws4_request, SignedHeaders=host, Signature=0"
}

REGIONAL_HOSTS = [
    pytest.param("sqs.{}.localhost.localstack.cloud:4566", id="LocalStack"),
    pytest.param("{}.queue.localhost.localstack.cloud:4566", id="LocalStack with domain strategy"),
    pytest.param("{}.queue.localhost:4566", id="localhost"),
    pytest.param("sqs.{}.amazonaws.com", id="AWS"),
    pytest.param("{}.queue.amazonaws.com", id="AWS legacy"),
    pytest.param("sqs-fips.{}.amazonaws.com", id="FIPS"),
    pytest.param("sqs.{}.api.aws", id="dual stack"),
    pytest.param("sqs.{}.amazonaws.com.cn", id="China"),
]
OTHER_HOSTS = [
    pytest.param("localhost:9324", id="ElasticMQ"),
    pytest.param("localhost.localstack.cloud:4566", id="LocalStack without region"),
    pytest.param("queue.amazonaws.com", id="AWS without region"),
    pytest.param("sqs:9324", id="container name"),
    pytest.param("sqs.example.org", id="own domain"),
    pytest.param("[::1]:9324", id="IPv6"),
]


@pytest.fixture
def call(server: LiveServer, protocol: str) -> Call:
    """Return a function that calls an action with the given headers."""

    def call_with(headers: Mapping[str, str], action: str, **parameters: object) -> Answer:
        if protocol == "json":
            all_headers = {**json_headers(action), **headers}
            return exchange(server.url, headers=all_headers, body=json.dumps(parameters))
        return exchange(server.url, headers={**FORM, **headers}, body=form(action, parameters))

    return call_with


def url_in(answer: Answer) -> str:
    """Return the queue URL in an answer of either protocol."""
    assert answer.status == 200, answer.body
    found = re.search(r'"QueueUrl":"([^"]+)"|<QueueUrl>([^<]+)</QueueUrl>', answer.body.decode())
    assert found, answer.body
    return found[1] or found[2]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-2", "us-gov-west-1"])
@pytest.mark.parametrize("host", REGIONAL_HOSTS)
def test_region_in_the_host_overrides_the_signature(
    call: Call, connect: Connect, name: str, host: str, region: str
) -> None:
    headers = {**SIGNED_FOR_FRANKFURT, "Host": host.format(region)}
    url = url_in(call(headers, "CreateQueue", QueueName=name))
    assert url == f"http://{host.format(region)}/000000000000/{name}"
    answer = connect(region=region).get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    assert answer["Attributes"]["QueueArn"].split(":")[3] == region
    assert "QueueUrls" not in connect(region="eu-central-1").list_queues(QueueNamePrefix=name)


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_host_without_a_region_uses_the_region_of_the_signature(
    call: Call, connect: Connect, name: str, host: str
) -> None:
    url = url_in(call({**SIGNED_FOR_FRANKFURT, "Host": host}, "CreateQueue", QueueName=name))
    assert url == f"http://{host}/000000000000/{name}"
    assert connect(region="eu-central-1").list_queues(QueueNamePrefix=name)["QueueUrls"]
    assert "QueueUrls" not in connect(region="us-east-1").list_queues(QueueNamePrefix=name)


@pytest.mark.parametrize("host", ["sqs.us-east-1.localhost.localstack.cloud:4566", "q:1"])
def test_every_returned_queue_url_uses_the_host_of_the_request(
    call: Call, sqs: Sqs, name: str, host: str
) -> None:
    dead, source = (sqs.create_queue(QueueName=f"{name}-{n}")["QueueUrl"] for n in "ab")
    arn = f"arn:aws:sqs:us-east-1:000000000000:{name}-a"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": policy})
    urls = {f"http://{host}/000000000000/{name}-{n}" for n in "ab"}
    headers = {"Host": host}
    found = url_in(call(headers, "GetQueueUrl", QueueName=f"{name}-a"))
    assert found == f"http://{host}/000000000000/{name}-a"
    listed = call(headers, "ListQueues", QueueNamePrefix=name).body.decode()
    assert urls <= set(re.findall(r"http://[^<\"]+", listed))
    sources = call(headers, "ListDeadLetterSourceQueues", QueueUrl=dead).body.decode()
    assert f"http://{host}/000000000000/{name}-b" in sources


@pytest.mark.parametrize(
    "url",
    [
        "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/{}",
        "http://us-east-1.queue.localhost.localstack.cloud:4566/000000000000/{}",
        "http://localhost:4566/queue/us-east-1/000000000000/{}",
        "http://localhost:9324/queue/{}",
        "https://queue.amazonaws.com/000000000000/{}",
        "https://sqs.ap-northeast-1.amazonaws.com/000000000000/{}",
    ],
)
def test_queue_url_of_another_server_finds_the_queue(
    call: Call, sqs: Sqs, queue: str, name: str, url: str
) -> None:
    answer = call({}, "SendMessage", QueueUrl=url.format(name), MessageBody="x")
    assert answer.status == 200, answer.body
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


PATHS = [
    "/000000000000/{}",
    "/queue/us-east-1/000000000000/{}",
    "/queue/{}",
    "//000000000000/{}/",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_form_is_accepted_on_the_path_of_any_queue_url(
    server: LiveServer, sqs: Sqs, queue: str, name: str, method: str, path: str
) -> None:
    parameters = urlencode({"Action": "SendMessage", "MessageBody": "x"})
    path = path.format(name)
    if method == "GET":
        answer = exchange(server.url, method, f"{path}?{parameters}")
    else:
        answer = exchange(server.url, method, path, FORM, parameters)
    assert answer.status == 200, answer.body
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


def test_queue_url_in_the_form_overrides_the_path(
    server: LiveServer, sqs: Sqs, queue: str, name: str
) -> None:
    parameters = {"Action": "SendMessage", "MessageBody": "x", "QueueUrl": queue}
    path = "/000000000000/another-queue"
    assert exchange(server.url, "POST", path, FORM, urlencode(parameters)).status == 200
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


def test_get_queue_url_on_a_queue_path_finds_another_queue(
    server: LiveServer, queue: str, name: str
) -> None:
    path = f"/000000000000/another-queue?Action=GetQueueUrl&QueueName={name}"
    assert url_in(exchange(server.url, "GET", path)) == queue


def test_returned_queue_url_finds_its_queue(
    server: LiveServer, protocol: str, call: Call, name: str
) -> None:
    url = url_in(call({"Host": "us-east-1.queue.localhost:4566"}, "CreateQueue", QueueName=name))
    assert urlsplit(url).hostname == "us-east-1.queue.localhost"
    assert call_action(server.url, protocol, "PurgeQueue", {"QueueUrl": url}).status == 200


def test_host_of_another_region_does_not_find_the_queue(call: Call, queue: str, name: str) -> None:
    host = {"Host": "sqs.eu-west-1.amazonaws.com"}
    error = parse_error(call(host, "SendMessage", QueueUrl=name, MessageBody="x"))
    assert (error.status, error.code) == (400, "AWS.SimpleQueueService.NonExistentQueue")


MISSING_QUEUES = {
    "no URL": ({}, "/", False),
    "empty URL": ({"QueueUrl": ""}, "/", False),
    "another host": ({"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/missing"}, "/", False),
    "another host and no name": ({"QueueUrl": "https://localhost/000000000000/"}, "/", False),
    "another host and an invalid name": ({"QueueUrl": "http://localhost/1/a%00"}, "/", False),
    "host without a path": ({"QueueUrl": "http://incorrect-address"}, "/", True),
    "name": ({"QueueUrl": "missing"}, "/", True),
    "path": ({"QueueUrl": "/000000000000/missing"}, "/", True),
    "same host": ({"QueueUrl": "http://HERE:1/000000000000/missing"}, "/", True),
    "host of the public URL": ({"QueueUrl": "http://proxy/000000000000/missing"}, "/", True),
    "path of a queue": ({}, "/000000000000/missing", True),
    "path of a queue and URL of another host": (
        {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/missing"},
        "/000000000000/missing",
        True,
    ),
}


@pytest.mark.parametrize(
    ("parameters", "path", "is_address"),
    [pytest.param(*case, id=name) for name, case in MISSING_QUEUES.items()],
)
def test_form_without_a_usable_queue_url_has_the_wrong_address(
    server: LiveServer, parameters: Mapping[str, str], path: str, is_address: bool
) -> None:
    hosts = {"Host": "here:1", "X-Forwarded-Host": "proxy"}
    body = form("SendMessage", {"MessageBody": "x", **parameters})
    error = parse_error(exchange(server.url, "POST", path, {**FORM, **hosts}, body))
    if is_address:
        assert (error.status, error.code) == (400, "AWS.SimpleQueueService.NonExistentQueue")
    else:
        text = "The address https://here:1/ is not valid for this endpoint."
        assert error == (404, None, "InvalidAddress", text)


@pytest.mark.parametrize("url", [None, "", "https://sqs.us-east-1.amazonaws.com/1/missing"])
def test_json_without_a_usable_queue_url_names_no_queue(
    server: LiveServer, url: str | None
) -> None:
    answer = call_action(server.url, "json", "PurgeQueue", {"QueueUrl": url})
    error = parse_error(answer)
    assert (error.status, error.code) == (400, "AWS.SimpleQueueService.NonExistentQueue")


def test_trace_header_of_a_raw_request_is_stored_with_the_message(
    call: Call, sqs: Sqs, queue: str
) -> None:
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
    call({"X-Amzn-Trace-Id": trace}, "SendMessage", QueueUrl=queue, MessageBody="x")
    call({}, "SendMessage", QueueUrl=queue, MessageBody="y")
    answer = sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["AWSTraceHeader"]
    )
    traced, plain = answer["Messages"]
    assert traced["Attributes"] == {"AWSTraceHeader": trace}
    assert "Attributes" not in plain
