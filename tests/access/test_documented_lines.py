"""The lines that the page about access control shows are those that programs print.

Times, numbers and random IDs are masked: the page has other ones.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from queueserver.access import new_keys
from tests.access.user_files import SECOND, SECRET, THIRD, UserFiles
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients
from tests.markdown import code_blocks, text_of
from tests.waiting import wait_until

PAGE = text_of("docs/access.md")
(USERS,) = (block for block in code_blocks(PAGE, "toml") if "[queues.orders]" in block)
BLOCKS = code_blocks(PAGE, "text")

_MASKS = {
    r"\d{4}-\d\d-\d\dT[0-9:.]+Z": "TIME",
    r"request_id=\S+": "request_id=ID",
    r"(users|keys|secrets_changed)=\d+": r"\1=N",
    r"digest=[0-9a-f]{16}": "digest=D",
    r"\bAKQS[A-Z2-7]{16}\b": "KEY",
    r"(_key|_KEY)( ?= ?)[A-Za-z0-9]{40}\b": r"\1\2SECRET",
    r" \(reached max retries: 0\)": "",
    r"\(sqlite:.*?\)": "(DATABASE)",
    r"http://127\.0\.0\.1:\d+": "URL",
}


def masked(text: str) -> str:
    """Return a text without what differs between two runs."""
    for pattern, word in _MASKS.items():
        text = re.sub(pattern, word, text)
    return text


def documented(part: str) -> str:
    """Return the block of the page with a text in it, masked."""
    (block,) = (block for block in BLOCKS if part in block)
    return masked(block)


@pytest.fixture(params=["log", "on"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest.fixture
def server(mode: str, files: UserFiles) -> Iterator[ServerProcess]:
    """Run a server with the users of the page."""
    for name, secret in (("admin", THIRD), ("shop", SECRET), ("billing", SECOND)):
        files.write(name, secret)
    files.path.write_text(USERS.replace("/run/secrets/", ""))
    arguments = ("--config", str(files.path), "--database", "sqlite://", "--access", mode)
    with ServerProcess(*arguments, directory=files.folder) as process:
        yield process


def receive_as_shop(server: ServerProcess, clients: Clients) -> None:
    """Receive from the queue `orders` with the key of the user `shop`."""
    sqs = clients.get("json", server.url, "AKSHOP1", "us-east-1", SECRET)
    sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="orders")["QueueUrl"])


def logged(server: ServerProcess, part: str) -> str:
    """Wait for a line of the log, and return it, masked."""
    wait_until(lambda: part in server.errors().rpartition("\n")[0], "there is no such line")
    (line,) = (line for line in server.errors().splitlines() if part in line)
    return f"{masked(line)}\n"


@pytest.mark.parametrize("mode", ["on"], indirect=True)
def test_rejected_request_has_the_documented_error_and_line(
    server: ServerProcess, clients: Clients
) -> None:
    with pytest.raises(ClientError) as caught:
        receive_as_shop(server, clients)
    error = f"{ClientError.__module__}.{ClientError.__qualname__}: {caught.value}\n"
    assert documented("calling the ReceiveMessage operation") == masked(error)
    assert documented("access denied") == logged(server, "access denied")


@pytest.mark.parametrize("mode", ["log"], indirect=True)
def test_allowed_request_in_mode_log_has_the_documented_line(
    server: ServerProcess, clients: Clients
) -> None:
    receive_as_shop(server, clients)
    assert documented("would be denied") == logged(server, "would be denied")


def test_new_pair_is_printed_as_documented() -> None:
    assert documented("QUEUESERVER_ACCESS_KEY_ID=") == masked(
        new_keys.make(None, None, "us-east-1")
    )


@pytest.mark.parametrize("mode", ["on"], indirect=True)
def test_start_and_reload_are_logged_as_documented(server: ServerProcess) -> None:
    assert documented(", access on, 1 user") == masked(server.line.replace("3 users", "1 user"))
    server.send_signal(signal.SIGHUP)
    assert logged(server, "reload 1: users=").endswith(f" {documented('secrets_changed=')}")
