"""Requests to a process with access control: before and after a reload of its users."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.access.access_server import AccessServer, access_process
from tests.access.declared_users import CONFIG_FILE, KeyPair, User, admin, key_pair
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients, Sqs, bodies, rejection
from tests.waiting import wait_until

ADMIN = admin()
SHOP = User("shop", ["send:orders"])
BILLING = User("billing", ["receive:orders"])
UNKNOWN_KEY = (403, "InvalidClientTokenId")
WRONG_SIGNATURE = (403, "SignatureDoesNotMatch")
DENIED = (403, "AccessDenied")


@pytest.fixture
def server(tmp_path: Path, clients: Clients) -> Iterator[AccessServer]:
    """Run the command with an administrator, a producer and a consumer; create a queue."""
    with access_process(tmp_path, clients, ADMIN, SHOP, BILLING, database="sqlite://") as running:
        running.client(ADMIN).create_queue(QueueName="orders")
        yield running


def reload(server: AccessServer, number: int, outcome: str = ": users=") -> None:
    """Send SIGHUP, and wait for the log line of the reload of this number."""
    process = server.server
    assert isinstance(process, ServerProcess)
    process.send_signal(signal.SIGHUP)
    line = f"reload {number}{outcome}"
    wait_until(lambda: line in process.errors(), f"the log has no line {line!r}")


def error(client: Sqs, body: str = "x") -> tuple[int, str]:
    """Return the status and the code of a message that must be rejected."""
    return rejection(client.send_message, QueueUrl="orders", MessageBody=body)[:2]


def send(client: Sqs, body: str = "x") -> None:
    """Send a message to the queue."""
    client.send_message(QueueUrl="orders", MessageBody=body)


def test_producer_may_only_send_and_consumer_may_only_receive(server: AccessServer) -> None:
    shop, billing = server.client(SHOP), server.client(BILLING)
    send(shop, "order 1")
    assert rejection(shop.receive_message, QueueUrl="orders")[:2] == DENIED
    assert error(billing) == DENIED
    received = billing.receive_message(QueueUrl="orders")
    assert bodies(received) == ["order 1"]
    billing.delete_message(
        QueueUrl="orders", ReceiptHandle=received["Messages"][0]["ReceiptHandle"]
    )
    for client in (shop, billing):
        assert rejection(client.purge_queue, QueueUrl="orders")[:2] == DENIED
        assert rejection(client.list_queues)[:2] == DENIED


def test_removed_user_is_rejected_on_its_open_connection(server: AccessServer) -> None:
    shop = server.client(SHOP)
    send(shop)
    server.reload(ADMIN, BILLING)
    # boto3 sends the next request on the connection of the one before.
    assert error(shop) == UNKNOWN_KEY
    send(server.client(ADMIN))


def test_policies_of_a_user_change(server: AccessServer) -> None:
    shop = server.client(SHOP)
    send(shop)
    server.reload(ADMIN, User("shop", ["receive:orders"]))
    assert error(shop) == DENIED
    assert bodies(shop.receive_message(QueueUrl="orders")) == ["x"]


def test_secret_of_a_key_changes(server: AccessServer) -> None:
    old = key_pair("shop")
    new = KeyPair(old.access_key_id, key_pair("another").secret)
    send(server.client_with(old))
    assert error(server.client_with(new)) == WRONG_SIGNATURE
    changed = User("shop", SHOP.policies, keys=[new])
    server.reload(ADMIN, changed)
    # The server had derived a signing key from the old secret.
    assert error(server.client_with(old)) == WRONG_SIGNATURE
    send(server.client_with(new))


def test_key_is_replaced_by_another_while_both_work(server: AccessServer) -> None:
    old, new = key_pair("shop"), key_pair("shop 2")
    both, last = (User("shop", SHOP.policies, keys=keys) for keys in ([old, new], [new]))
    assert error(server.client_with(new)) == UNKNOWN_KEY
    server.reload(ADMIN, both)
    send(server.client_with(old))
    send(server.client_with(new))
    server.reload(ADMIN, last)
    assert error(server.client_with(old)) == UNKNOWN_KEY
    send(server.client_with(new))


def test_expired_key_is_rejected(server: AccessServer) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = KeyPair(*key_pair("shop")[:2], expires=yesterday)
    send(server.client(SHOP))
    keys = [expired, key_pair("shop 2"), key_pair("shop 3")]
    server.reload(ADMIN, User("shop", SHOP.policies, keys=keys))
    assert error(server.client_with(expired)) == UNKNOWN_KEY
    for pair in keys[1:]:
        send(server.client_with(pair))


def test_reload_that_fails_keeps_users_and_rejections(server: AccessServer, tmp_path: Path) -> None:
    stranger = server.client_with(key_pair("stranger"))
    for number, document in enumerate(["", "access = 'off'", "[users]", "[user.x]", "x"], 1):
        (tmp_path / CONFIG_FILE).write_text(document)
        reload(server, number, " failed, the server continues as before: ")
        send(server.client(SHOP))
        assert error(stranger) == UNKNOWN_KEY
        assert error(server.anonymous()) == DENIED
        assert error(server.client(BILLING)) == DENIED


def test_mode_log_allows_and_logs_what_would_be_rejected(tmp_path: Path, clients: Clients) -> None:
    users = (ADMIN, SHOP)
    with access_process(tmp_path, clients, *users, access="log", database="sqlite://") as server:
        server.client(ADMIN).create_queue(QueueName="orders")
        server.client(SHOP).purge_queue(QueueUrl="orders")
        send(server.anonymous())
        process = server.server
        assert isinstance(process, ServerProcess)
        errors = process.errors
        wait_until(lambda: "user=anonymous" in errors(), "the denial is not logged")
        assert "action=sqs:PurgeQueue" in errors()


def test_12_digit_key_chooses_no_account(server: AccessServer) -> None:
    digits = KeyPair("111111111111", key_pair("admin").secret)
    for client in (server.client_with(digits), server.client_with(digits, "query")):
        assert error(client) == UNKNOWN_KEY
