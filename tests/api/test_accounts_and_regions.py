"""Accounts and regions, and the forms of a queue's URL."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.awsrequest import AWSRequest

from tests.api.live_server import LiveServer
from tests.api.raw_http import FORM, exchange, json_headers
from tests.api.sqs_clients import Connect, Sqs, bodies, rejection

ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"


def test_each_client_uses_its_own_protocol(sqs: Sqs, protocol: str) -> None:
    sent: list[Any] = []

    def record(request: AWSRequest, **_: object) -> None:
        sent.append(request)

    sqs.meta.events.register("before-send.sqs", record, unique_id="record")
    sqs.list_queues(QueueNamePrefix="a b")
    sqs.meta.events.unregister("before-send.sqs", unique_id="record")
    (request,) = sent
    target = request.headers.get("X-Amz-Target")
    if protocol == "query":
        assert request.headers["Content-Type"].startswith(b"application/x-www-form-urlencoded")
        assert target is None
        assert "Action=ListQueues" in request.body
    else:
        assert request.headers["Content-Type"] == b"application/x-amz-json-1.0"
        assert target == b"AmazonSQS.ListQueues"
        assert json.loads(request.body) == {"QueueNamePrefix": "a b"}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{name}", id="name"),
        pytest.param("/000000000000/{name}", id="path"),
        pytest.param("https://sqs.eu-west-1.amazonaws.com/000000000000/{name}", id="any host"),
        pytest.param("http://localhost:1/some/where/000000000000/{name}/", id="any base"),
        pytest.param("http://localhost:9324/queue/{name}", id="ElasticMQ"),
    ],
)
def test_queue_is_found_by_every_form_of_its_url(
    sqs: Sqs, queue: str, name: str, form: str
) -> None:
    sqs.send_message(QueueUrl=form.format(name=name), MessageBody="x")
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


# In the Query protocol, another host has the wrong address: see test_addresses.
@pytest.mark.parametrize("protocol", ["json"], indirect=True)
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://whatever-incorrect-queue-address", id="host only"),
        pytest.param("https://localhost/000000000000/", id="account only"),
        pytest.param("", id="empty"),
        pytest.param("http://localhost/000000000000/{name}%00", id="invalid character"),
    ],
)
def test_url_without_a_queue_name_is_rejected(sqs: Sqs, queue: str, name: str, url: str) -> None:
    rejected = rejection(sqs.send_message, QueueUrl=url.format(name=name), MessageBody="x")
    assert (rejected.status, rejected.code) == (400, "AWS.SimpleQueueService.NonExistentQueue")


def test_queue_names_are_case_sensitive(sqs: Sqs, queue: str, name: str) -> None:
    rejected = rejection(sqs.get_queue_url, QueueName=name.upper())
    assert rejected.code == "AWS.SimpleQueueService.NonExistentQueue"


def test_accounts_have_separate_queues(connect: Connect, name: str) -> None:
    first, second = connect(ACCOUNT), connect(OTHER_ACCOUNT)
    first_queue = first.create_queue(QueueName=name)["QueueUrl"]
    assert first_queue.endswith(f"/{ACCOUNT}/{name}")
    assert rejection(second.get_queue_url, QueueName=name).status == 400
    second_queue = second.create_queue(QueueName=name, Attributes={"DelaySeconds": "1"})["QueueUrl"]
    assert second_queue.endswith(f"/{OTHER_ACCOUNT}/{name}")
    first.send_message(QueueUrl=name, MessageBody="x")
    assert "Messages" not in second.receive_message(QueueUrl=name)
    assert first.list_queues(QueueNamePrefix=name)["QueueUrls"] == [first_queue]
    assert second.list_queues(QueueNamePrefix=name)["QueueUrls"] == [second_queue]
    second.delete_queue(QueueUrl=name)
    assert bodies(first.receive_message(QueueUrl=name)) == ["x"]


def test_queue_url_can_name_the_queue_of_another_account(connect: Connect, name: str) -> None:
    first, second = connect(ACCOUNT), connect(OTHER_ACCOUNT)
    queue = first.create_queue(QueueName=name)["QueueUrl"]
    found = second.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=ACCOUNT)["QueueUrl"]
    assert found == queue
    second.send_message(QueueUrl=queue, MessageBody="x")
    (message,) = first.receive_message(QueueUrl=queue, AttributeNames=["SenderId"])["Messages"]
    assert message["Attributes"] == {"SenderId": OTHER_ACCOUNT}


@pytest.mark.parametrize("access_key", ["AKIAIOSFODNN7EXAMPLE", "1234567890123", "x"])
def test_access_key_that_is_no_account_id_gets_the_configured_account(
    connect: Connect, name: str, access_key: str
) -> None:
    queue = connect(access_key).create_queue(QueueName=name)["QueueUrl"]
    assert queue.endswith(f"/000000000000/{name}")


def test_regions_have_separate_queues(connect: Connect, name: str) -> None:
    ireland, china = connect(region="eu-west-1"), connect(region="cn-north-1")
    arns = {}
    for sqs in (ireland, china):
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        arns[sqs.meta.region_name] = answer["Attributes"]["QueueArn"]
    assert arns == {
        "eu-west-1": f"arn:aws:sqs:eu-west-1:000000000000:{name}",
        "cn-north-1": f"arn:aws-cn:sqs:cn-north-1:000000000000:{name}",
    }
    ireland.send_message(QueueUrl=name, MessageBody="x")
    assert "Messages" not in china.receive_message(QueueUrl=name)
    assert "QueueUrls" not in connect(region="us-east-2").list_queues(QueueNamePrefix=name)


@pytest.mark.parametrize("path", ["/000000000000/{name}", "/", "/?Version=2012-11-05"])
def test_form_names_its_queue_by_path_or_parameter(
    sqs: Sqs, server: LiveServer, queue: str, name: str, path: str
) -> None:
    form = {"Action": "SendMessage", "MessageBody": "x y", "QueueUrl": queue}
    if "{name}" in path:
        del form["QueueUrl"]
    answer = exchange(server.url, "POST", path.format(name=name), FORM, urlencode(form))
    assert answer.status == 200
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x y"]


def test_json_is_accepted_on_any_path(sqs: Sqs, server: LiveServer, queue: str) -> None:
    body = json.dumps({"QueueUrl": queue, "MessageBody": "x"})
    answer = exchange(server.url, "POST", "/any/where", json_headers("SendMessage"), body)
    assert answer.status == 200
    assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]


def test_unsigned_request_gets_the_configured_account_and_region(
    sqs: Sqs, server: LiveServer, queue: str, name: str
) -> None:
    answer = exchange(server.url, "GET", f"/?Action=GetQueueUrl&QueueName={name}")
    assert f"<QueueUrl>{queue}</QueueUrl>".encode() in answer.body


def test_signature_in_the_url_sets_account_and_region(
    connect: Connect, server: LiveServer, name: str
) -> None:
    connect(ACCOUNT, "eu-west-1").create_queue(QueueName=name)
    credential = f"{ACCOUNT}%2F20260101%2Feu-west-1%2Fsqs%2Faws4_request"
    path = f"/?Action=GetQueueUrl&QueueName={name}&X-Amz-Credential={credential}"
    answer = exchange(server.url, "GET", path)
    assert f"/{ACCOUNT}/{name}</QueueUrl>".encode() in answer.body


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        pytest.param({"Host": "queues:1234"}, "http://queues:1234", id="host"),
        pytest.param(
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.org, proxy"},
            "https://example.org",
            id="forwarded host and scheme",
        ),
        pytest.param(
            {"Host": "q", "X-Forwarded-Proto": "javascript"}, "http://q", id="invalid scheme"
        ),
        pytest.param({"Host": "q", "X-Forwarded-Host": "a\xffb"}, None, id="invalid host"),
        pytest.param({"Host": ""}, None, id="empty host"),
    ],
)
def test_queue_urls_use_the_host_of_the_request(
    sqs: Sqs, server: LiveServer, queue: str, name: str, headers: dict[str, str], base: str | None
) -> None:
    answer = exchange(server.url, "GET", f"/?Action=GetQueueUrl&QueueName={name}", headers)
    expected = f"<QueueUrl>{base or server.url}/000000000000/{name}</QueueUrl>"
    assert expected.encode() in answer.body
