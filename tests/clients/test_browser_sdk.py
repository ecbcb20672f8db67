"""Web pages in Chromium: the JavaScript SDK v3 in pages of a listed origin, and requests of others.

The pages are served on ports of their own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess
from tests.clients.environments import chromium
from tests.clients.scenarios import Facts, command, run_scenario
from tests.clients.signers import QUERY_CODES, running_access_server, signing_case

ATTACKS = {
    "beacon",
    "events",
    "fetch",
    "form",
    "frame",
    "get-form",
    "image",
    "image-by-http",
    "image-without-referrer",
    "json",
    "opaque",
    "script",
    "socket",
    "text",
}
ATTACKED_QUEUES = {*ATTACKS, "data-url", "navigation", "rebound"}


class _Pages(SimpleHTTPRequestHandler):
    """Serves the files of a directory, without a log."""

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def origin(directory: Path) -> Iterator[str]:
    """Serve the files of a directory, and yield the origin."""
    handler = functools.partial(_Pages, directory=directory)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{pages.server_port}"
        finally:
            pages.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def facts(environments: Path, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """Return what the scenario observes, and the message counts of the attacked queues after it."""
    browser = chromium()
    scenario = command(environments, "browser_sdk")
    directory = tmp_path_factory.mktemp("scenario")
    with (
        origin(directory) as listed,
        origin(directory) as unlisted,
        ServerProcess(
            "--database",
            "sqlite://",
            directory=tmp_path_factory.mktemp("server"),
            settings={"QUEUESERVER_CORS_ORIGINS": listed},
        ) as server,
        running_access_server(
            tmp_path_factory.mktemp("access-server"), cors_origins=[listed]
        ) as access_server,
    ):
        for queue in ATTACKED_QUEUES:
            server.call("CreateQueue", QueueName=queue)
            server.call("SendMessage", QueueUrl=queue, MessageBody="kept")
        origins = [listed, unlisted]
        signing = [access_server.url, signing_case(access_server.url, "browser")]
        facts = run_scenario([*scenario, server.url, browser, *origins, *signing], directory)
        counts = {queue: message_count(server, queue) for queue in ATTACKED_QUEUES}
        assert server.stop()[0] == 0
    return {**facts, "counts": counts}


def message_count(server: ServerProcess, queue: str) -> str:
    names = ["ApproximateNumberOfMessages"]
    answer = server.call("GetQueueAttributes", QueueUrl=queue, AttributeNames=names)
    count: str = json.loads(answer.body)["Attributes"][names[0]]
    return count


@pytest.mark.parametrize("relation", ["anotherPort", "anotherSite"])
def test_page_of_a_listed_origin_sends_receives_and_deletes(facts: Facts, relation: str) -> None:
    used = facts["listedPage"][relation]
    assert (used["body"], used["sameId"], used["bytes"]) == ("ünïcode 🎉", True, [0, 255])
    assert used["left"] == ["0", "0"]


@pytest.mark.parametrize("relation", ["anotherPort", "anotherSite"])
def test_page_of_a_listed_origin_gets_the_exception_of_the_sdk(facts: Facts, relation: str) -> None:
    assert facts["listedPage"][relation]["error"] == {
        "name": "QueueDoesNotExist",
        "code": "AWS.SimpleQueueService.NonExistentQueue",
        "status": 400,
        "known": True,
        "hasRequestId": True,
    }


def test_page_of_a_listed_origin_signs_with_the_keys_of_a_user(facts: Facts) -> None:
    assert facts["signingPage"] == {"bodies": ["ünïcode 🎉"], **QUERY_CODES}


def test_page_of_another_origin_cannot_use_the_sdk(facts: Facts) -> None:
    assert facts["unlistedPage"] == "page.evaluate: TypeError: Failed to fetch"


def test_every_request_of_a_page_of_another_origin_is_rejected(facts: Facts) -> None:
    assert facts["attacks"]["statuses"] == dict.fromkeys(ATTACKS, 403)
    assert facts["attacks"]["results"] == ["TypeError", "TypeError", "opaque", "TypeError"]
    assert facts["pageWithoutOrigin"] == {"data-url": 403}
    assert facts["navigation"] == 403


def test_page_that_was_rebound_to_the_server_is_rejected(facts: Facts) -> None:
    for status, text in facts["rebinding"]:
        assert status == 403
        assert "evil.example is not allowed" in text


def test_rejected_requests_of_pages_change_nothing(facts: Facts) -> None:
    assert facts["counts"] == dict.fromkeys(ATTACKED_QUEUES, "1")


def test_typed_address_is_served(facts: Facts) -> None:
    assert facts["typedAddress"] == 200
