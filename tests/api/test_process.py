"""The server process: start, output, stop, and the messages that survive kill -9."""

from __future__ import annotations

import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError

from queueserver import declared_queues
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.permissions import Permissions
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.context import RequestContext
from queueserver.declared_queues import DeclaredQueue
from queueserver.dispatch import Dispatcher
from queueserver.start_errors import StartError
from storage.database import Database
from tests.access.modes import ACCESS_OFF
from tests.api.live_server import config
from tests.api.raw_http import exchange, open_socket, request_bytes
from tests.api.server_process import ServerProcess, failed_start
from tests.api.sqs_clients import Clients, Sqs, bodies, json_client, receive_all, rejection
from tests.clock import ManualClock
from tests.databases import execute
from tests.waiting import TIMEOUT_SECONDS

ACKNOWLEDGED = 1_000
"""Acknowledged messages before the server is killed."""


def create_queue(clients: Clients, url: str) -> str:
    created: str = json_client(clients, url).create_queue(QueueName="q")["QueueUrl"]
    return created


# Start


def test_server_prints_one_line_when_it_listens(tmp_path: Path) -> None:
    with ServerProcess("--database", "sqlite:///q.db", directory=tmp_path) as server:
        port = urlsplit(server.url).port
        assert server.line == f"queueserver listening on http://127.0.0.1:{port} (sqlite:///q.db)\n"
        assert exchange(server.url, "GET", "/health").status == 200
        assert server.stop() == (0, "", "")


def test_server_prints_no_password(tmp_path: Path, postgresql: str) -> None:
    address = urlsplit(postgresql)
    _, _, host = address.netloc.rpartition("@")
    user = address.username or "postgres"
    password = address.password or "secret"
    url = address._replace(netloc=f"{user}:{password}@{host}").geturl()
    with ServerProcess("--database", url, directory=tmp_path) as server:
        assert server.database == address._replace(netloc=f"{user}:***@{host}").geturl()
        assert password not in server.line
        assert server.stop() == (0, "", "")


def test_flags_override_environment_and_environment_overrides_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        'account = "111111111111"\nregion = "eu-west-1"\ndatabase = "sqlite:///file.db"\n'
    )
    settings = {
        "QUEUESERVER_CONFIG": "settings.toml",
        "QUEUESERVER_REGION": "eu-west-2",
        "QUEUESERVER_DATABASE": "sqlite:///environment.db",
    }
    flags = ("--database", "sqlite://")
    with ServerProcess(*flags, directory=tmp_path, settings=settings) as server:
        assert server.database == "sqlite://"
        path = "/?Action=CreateQueue&QueueName=q"
        assert b"/111111111111/q<" in exchange(server.url, "GET", path).body
        path = "/111111111111/q?Action=GetQueueAttributes&AttributeName.1=QueueArn"
        answer = exchange(server.url, "GET", path)
        assert b"<Value>arn:aws:sqs:eu-west-2:111111111111:q</Value>" in answer.body


def test_start_creates_and_updates_declared_queues(
    tmp_path: Path, clients: Clients, own_database: str
) -> None:
    file = tmp_path / "settings.toml"
    flags = ("--database", own_database, "--config", str(file))
    file.write_text(
        '[queues.jobs]\nVisibilityTimeout = 120\ntags = { team = "a" }\n[queues.mails]\n'
    )
    with ServerProcess(*flags, directory=tmp_path) as server:
        sqs = json_client(clients, server.url)
        assert len(sqs.list_queues()["QueueUrls"]) == 2
        sqs.send_message(QueueUrl="jobs", MessageBody="kept")
        assert server.stop()[0] == 0
    file.write_text('[queues.jobs]\nVisibilityTimeout = 60\nDelaySeconds = "1"\n')
    with ServerProcess(*flags, directory=tmp_path) as server:
        sqs = json_client(clients, server.url)
        names = ["VisibilityTimeout", "DelaySeconds"]
        answer = sqs.get_queue_attributes(QueueUrl="jobs", AttributeNames=names)
        assert answer["Attributes"] == {"VisibilityTimeout": "60", "DelaySeconds": "1"}
        assert sqs.list_queue_tags(QueueUrl="jobs")["Tags"] == {"team": "a"}
        assert bodies(sqs.receive_message(QueueUrl="jobs")) == ["kept"]
        assert len(sqs.list_queues()["QueueUrls"]) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            ["--port", "70000"], "'70000' is not a number from 0 to 65535", id="port out of range"
        ),
        pytest.param(
            ["--colour", "red"], "unrecognized arguments: --colour red", id="unknown flag"
        ),
        pytest.param(
            ["--database", "mysql://x"], "'mysql://x' is not sqlite:///PATH", id="unknown database"
        ),
        pytest.param(
            ["--database", "sqlite:///no/such/q.db"], "No such file", id="missing directory"
        ),
        pytest.param(["--database", "sqlite:///text"], "file is not a database", id="no database"),
        pytest.param(["--database", "sqlite:///folder"], "s a directory", id="a directory"),
        pytest.param(
            ["--database", "postgresql://u:secret@127.0.0.1:1/q"], "127.0.0.1", id="no server"
        ),
        pytest.param(
            ["--database", "sqlite://", "--config", "no.toml"], "No such", id="missing config"
        ),
        pytest.param(
            ["--database", "sqlite://", "--host", "192.0.2.1"], "192.0.2.1", id="foreign address"
        ),
        pytest.param(
            ["--database", "sqlite://", "--host", "no such host"], "host", id="invalid address"
        ),
    ],
)
def test_failed_start_prints_one_line(tmp_path: Path, arguments: list[str], text: str) -> None:
    (tmp_path / "text").write_text("This is no database, but long enough to be one. " * 100)
    (tmp_path / "folder").mkdir()
    line = failed_start(*arguments, directory=tmp_path)
    assert line.startswith("queueserver: error: ")
    assert text in line
    assert "secret" not in line


def test_invalid_declared_queue_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[queues.jobs]\nVisibilityTimeout = 43201\n")
    line = failed_start("--config", "bad.toml", "--database", "sqlite://", directory=tmp_path)
    assert "queues.jobs: Invalid value for the parameter VisibilityTimeout." in line


async def test_database_that_fails_stops_the_start_with_the_name_of_the_declared_queue() -> None:
    settings = config("sqlite://", queues={"jobs": DeclaredQueue({}, {})})
    clock = ManualClock()
    database = await Database.open(settings.database, clock)
    await database.close()
    cache = QueueCache(database, ACCESS_OFF)
    dispatcher = Dispatcher(
        Queues(database, cache, ACCESS_OFF, clock, cooldowns=False),
        Messages(database, cache, clock, in_flight_limit=settings.in_flight_limit),
        MoveTasks(database, ACCESS_OFF, clock),
        Permissions(database, cache),
    )
    context = RequestContext(settings.account, settings.region, "")
    with pytest.raises(StartError) as caught:
        await declared_queues.declare(settings.queues, dispatcher, context)
    assert str(caught.value) == "queue jobs: cannot be created or changed: the database is closing"


def test_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = failed_start("--database", "sqlite://", "--port", port, directory=tmp_path)
    expected = f"cannot listen on 127.0.0.1:{port}: address already in use"
    assert line == f"queueserver: error: {expected}"


def test_second_server_on_one_sqlite_file_does_not_start(tmp_path: Path) -> None:
    flags = ("--database", "sqlite:///q.db", "--port", "0")
    with ServerProcess(*flags, directory=tmp_path) as server:
        line = failed_start(*flags, directory=tmp_path)
        assert line == "queueserver: error: q.db is in use by another queueserver"
        assert exchange(server.url, "GET", "/health").status == 200


def test_two_servers_share_one_postgresql_database(
    tmp_path: Path, clients: Clients, postgresql: str
) -> None:
    with (
        ServerProcess("--database", postgresql, directory=tmp_path) as first,
        ServerProcess("--database", postgresql, directory=tmp_path) as second,
    ):
        create_queue(clients, first.url)
        one, two = json_client(clients, first.url), json_client(clients, second.url)
        for number in range(5):
            one.send_message(QueueUrl="q", MessageBody=f"one {number}")
            two.send_message(QueueUrl="q", MessageBody=f"two {number}")
        messages = two.receive_message(QueueUrl="q", MaxNumberOfMessages=10)["Messages"]
        assert len(messages) == 10
        assert "Messages" not in one.receive_message(QueueUrl="q")
        for message in messages:
            one.change_message_visibility(
                QueueUrl="q", ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        two.purge_queue(QueueUrl="q")
        assert "Messages" not in one.receive_message(QueueUrl="q")
        one.delete_queue(QueueUrl="q")
        rejected = rejection(two.send_message, QueueUrl="q", MessageBody="x")
        assert rejected.code == "AWS.SimpleQueueService.NonExistentQueue"


# Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_server_and_answers_waiting_receivers(
    tmp_path: Path, clients: Clients, own_database: str, number: signal.Signals
) -> None:
    with ServerProcess("--database", own_database, directory=tmp_path) as server:
        create_queue(clients, server.url)
        request = request_bytes("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
        receivers = [open_socket(server.url, request) for _ in range(5)]
        idle = open_socket(server.url, b"")
        assert exchange(server.url, "GET", "/health").status == 200
        assert server.stop(number) == (0, "", "")
        for receiver in receivers:
            answer = receiver.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n{}")
            receiver.close()
        idle.close()


# Kill


def test_acknowledged_messages_survive_kill_9(
    tmp_path: Path, clients: Clients, own_database: str
) -> None:
    flags = ("--database", own_database)
    with ServerProcess(*flags, directory=tmp_path) as server:
        create_queue(clients, server.url)
        acknowledged = send_until_killed(json_client(clients, server.url), server)
    assert len(acknowledged) >= ACKNOWLEDGED
    with ServerProcess(*flags, directory=tmp_path) as server:
        received = list(receive_all(json_client(clients, server.url)))
    assert len(set(received)) == len(received), "a message was received twice"
    assert acknowledged - set(received) == set(), "an acknowledged message is lost"


def send_until_killed(sqs: Sqs, server: ServerProcess) -> set[str]:
    """Send single messages and batches, kill the server, and return the acknowledged bodies."""
    acknowledged: set[str] = set()
    is_loaded = threading.Event()

    def acknowledge(*bodies: str) -> None:
        acknowledged.update(bodies)
        if len(acknowledged) >= ACKNOWLEDGED:
            is_loaded.set()

    def send_singles(sender: int) -> None:
        for number in range(100_000):
            body = f"single {sender} {number}"
            sqs.send_message(QueueUrl="q", MessageBody=body)
            acknowledge(body)

    def send_batches(sender: int) -> None:
        for number in range(100_000):
            entries = [
                {"Id": str(n), "MessageBody": f"batch {sender} {number} {n}"} for n in range(10)
            ]
            answer = sqs.send_message_batch(QueueUrl="q", Entries=entries)
            assert len(answer["Successful"]) == 10
            acknowledge(*(entry["MessageBody"] for entry in entries))

    with ThreadPoolExecutor(8) as threads:
        sending = [threads.submit(send_singles, sender) for sender in range(6)]
        sending += [threads.submit(send_batches, sender) for sender in range(2)]
        assert is_loaded.wait(TIMEOUT_SECONDS)
        assert server.stop(signal.SIGKILL)[0] == -signal.SIGKILL
        for sender in sending:
            assert isinstance(sender.exception(TIMEOUT_SECONDS), BotoCoreError)
    return acknowledged


# A database that fails


def test_server_answers_503_while_the_database_is_unreachable_and_recovers(
    tmp_path: Path, clients: Clients, postgresql: str, postgres_url: str
) -> None:
    name = urlsplit(postgresql).path.removeprefix("/")
    with ServerProcess("--database", postgresql, directory=tmp_path) as server:
        queue = create_queue(clients, server.url)
        send = json_client(clients, server.url).send_message
        send(QueueUrl=queue, MessageBody="before")
        execute(
            postgres_url,
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        answer = exchange(server.url, "GET", "/health")
        assert (answer.status, answer.body) == (503, b'{"status":"the database does not answer"}')
        rejected = rejection(send, QueueUrl=queue, MessageBody="unreachable")
        assert (rejected.status, rejected.code) == (503, "ServiceUnavailable")

        execute(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert exchange(server.url, "GET", "/health").status == 200
        send(QueueUrl=queue, MessageBody="after")
        assert sorted(receive_all(json_client(clients, server.url))) == ["after", "before"]
        assert server.stop()[0] == 0


def test_declared_fifo_queues_can_refer_to_each_other_in_any_order(
    tmp_path: Path, clients: Clients
) -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:dead.fifo"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3}, separators=(",", ":"))
    file = tmp_path / "queues.toml"
    file.write_text(
        f"[queues.\"orders.fifo\"]\nFifoQueue = true\nRedrivePolicy = '{policy}'\n"
        '[queues."dead.fifo"]\nFifoQueue = true\nDeduplicationScope = "messageGroup"\n'
    )
    for _ in range(2):
        with ServerProcess("--config", str(file), directory=tmp_path) as server:
            sqs = json_client(clients, server.url)
            names = ["RedrivePolicy", "FifoQueue"]
            described = sqs.get_queue_attributes(QueueUrl="orders.fifo", AttributeNames=names)
            assert described["Attributes"] == {"RedrivePolicy": policy, "FifoQueue": "true"}
