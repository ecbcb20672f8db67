"""Users of a running server: what each may do, and what a reload changes."""

from __future__ import annotations

import pytest

from tests.access.access_server import StartAccessServer
from tests.access.declared_users import User, admin, key_pair
from tests.api.sqs_clients import bodies, rejection

PRODUCER = User("producer", ["send:orders"])
CONSUMER = User("consumer", ["receive:orders"])
QUEUES: dict[str, object] = {"orders": {}, "invoices": {}}

DENIED = (403, "AccessDenied")
UNKNOWN = (403, "InvalidClientTokenId")


@pytest.fixture(params=["json", "query"])
def protocol(request: pytest.FixtureRequest) -> str:
    protocol: str = request.param
    return protocol


@pytest.fixture(params=["start", "start_process"])
def start_either(request: pytest.FixtureRequest) -> StartAccessServer:
    """Return a function that starts a server: once in this process, once as the command."""
    start: StartAccessServer = request.getfixturevalue(request.param)
    return start


def test_producer_only_sends_and_consumer_only_receives(
    start_either: StartAccessServer, protocol: str
) -> None:
    server = start_either(admin(), PRODUCER, CONSUMER, queues=QUEUES)
    sends, receives = (server.client(user, protocol) for user in (PRODUCER, CONSUMER))
    url = sends.get_queue_url(QueueName="orders")["QueueUrl"]
    entries = [{"Id": "one", "MessageBody": "batch"}]
    sends.send_message(QueueUrl=url, MessageBody="single")
    sends.send_message_batch(QueueUrl=url, Entries=entries)
    assert rejection(sends.receive_message, QueueUrl=url)[:2] == DENIED
    assert rejection(receives.send_message, QueueUrl=url, MessageBody="x")[:2] == DENIED
    assert rejection(receives.send_message_batch, QueueUrl=url, Entries=entries)[:2] == DENIED
    assert rejection(receives.list_queues)[:2] == DENIED
    received = receives.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    assert sorted(bodies(received)) == ["batch", "single"]
    for message in received["Messages"]:
        receives.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    everything = server.client(admin(), protocol)
    assert len(everything.list_queues()["QueueUrls"]) == len(QUEUES)


def test_denied_client_gets_the_text_of_aws(start: StartAccessServer, protocol: str) -> None:
    server = start(PRODUCER, queues=QUEUES)
    url = f"{server.url}/000000000000/invoices"
    producer = server.client(PRODUCER, protocol)
    text = (
        "User: arn:aws:iam::000000000000:user/producer is not authorized to perform: "
        "sqs:sendmessage on resource: arn:aws:sqs:us-east-1:000000000000:invoices because no "
        "identity-based policy allows the sqs:sendmessage action"
    )
    assert rejection(producer.send_message, QueueUrl=url, MessageBody="x") == (*DENIED, text)
    anonymous = server.anonymous(protocol)
    text = f"Access to the resource {url} is denied."
    assert rejection(anonymous.send_message, QueueUrl=url, MessageBody="x") == (*DENIED, text)


def test_wrong_secret_and_unknown_key_are_rejected(start: StartAccessServer, protocol: str) -> None:
    server = start(admin())
    wrong = server.client_with(key_pair("admin")._replace(secret="wrong"), protocol)
    assert rejection(wrong.list_queues)[:2] == (403, "SignatureDoesNotMatch")
    unknown = server.client_with(key_pair("unknown"), protocol)
    assert rejection(unknown.list_queues)[:2] == UNKNOWN


def test_reload_adds_and_removes_users(start_either: StartAccessServer, protocol: str) -> None:
    server = start_either(PRODUCER, queues=QUEUES)
    producer, consumer = (server.client(user, protocol) for user in (PRODUCER, CONSUMER))
    url = producer.get_queue_url(QueueName="orders")["QueueUrl"]
    assert rejection(consumer.receive_message, QueueUrl=url)[:2] == UNKNOWN
    server.reload(CONSUMER)
    assert "Messages" not in consumer.receive_message(QueueUrl=url)
    assert rejection(producer.send_message, QueueUrl=url, MessageBody="x")[:2] == UNKNOWN
    server.reload(CONSUMER, PRODUCER)
    producer.send_message(QueueUrl=url, MessageBody="x")
