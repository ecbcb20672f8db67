"""The SDKs and programs that sign requests, and what the scenario of each must observe.

The scenario of a signer is a script or a program with two arguments: the URL of the server, and a
JSON object with the name of a queue, the URL of the queue `orders`, and the key pairs of four
users. Two of these pairs are wrong. The scenario prints the facts that it observes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.access.declared_users import User, key_pair, write_config
from tests.api.server_process import ServerProcess
from tests.clients.environments import terraform_environment
from tests.clients.scenarios import Facts, command, run_scenario

ADMIN = key_pair("admin")
PRODUCER = User("producer", policies=["send:orders"])

BODY = 'line\r\nwith <xml> & "quotes", 100% + ünïcode and 🎉'
NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"

QUERY_CODES = {
    "denied": "AccessDenied",
    "wrong secret": "SignatureDoesNotMatch",
    "unknown key": "InvalidClientTokenId",
}
JSON_TYPES = {
    "denied": "AccessDeniedException",
    "wrong secret": "InvalidSignatureException",
    "unknown key": "UnrecognizedClientException",
}


class Signer(NamedTuple):
    """A program that signs requests.

    Attributes:
        name: its name, with which the name of its queue begins.
        client: the folder of its scenario.
        queue: the facts about the queue that the admin uses.
        errors: the names that it gives to the errors of rejected requests.
        release: the release of the client, if it is not the current one.
        sends: whether its scenario sends a message as the producer.
    """

    name: str
    client: str
    queue: Facts
    errors: Mapping[str, str] = QUERY_CODES
    release: str = ""
    sends: bool = True


def _queue(name: str) -> Facts:
    return {"arn": f"arn:aws:sqs:us-east-1:000000000000:{name}-queue", "timeout": "45"}


def _used_queue(name: str, missing: str = NO_QUEUE) -> Facts:
    return {
        **_queue(name),
        "bodies": ["batch 0", "batch 1", BODY],
        "texts": ["ü"],
        "left": ["0", "0"],
        "listed": True,
        "missing": missing,
    }


def _received(protocol: str) -> Facts:
    return {"protocol": protocol, "body": BODY, "deleted": 200, "left": ["0", "0"]}


SIGNERS = (
    # The slowest is first: the others run meanwhile.
    Signer(
        "terraform",
        "terraform",
        {**_queue("terraform"), "timeout": 45},
        # Each key pair needs a process of the provider, whose start takes seconds of CPU time.
        {case: QUERY_CODES[case] for case in ("denied", "wrong secret")},
        sends=False,
    ),
    Signer("java", "java_sdk", _used_queue("java")),
    Signer("go", "go_sdk", _used_queue("go")),
    Signer("javascript", "javascript_sdk", _used_queue("javascript", "QueueDoesNotExist")),
    Signer("javascript-v2", "javascript_sdk_v2", _used_queue("javascript-v2")),
    Signer("boto3", "boto3_current", _used_queue("boto3")),
    Signer("boto3-query", "boto3_query", _used_queue("boto3-query")),
    Signer("aiobotocore", "aiobotocore_concurrency", _used_queue("aiobotocore")),
    Signer(
        "cli",
        "aws_cli",
        {**_queue("cli"), "body": BODY, "text": "ü", "listed": True, "missing": NO_QUEUE},
    ),
    Signer("kombu", "celery_worker", _received("json"), JSON_TYPES, sends=False),
    Signer("kombu-query", "celery_worker", _received("query"), release="query_", sends=False),
    Signer(
        "presigned",
        "presigned_query",
        {
            **_queue("presigned"),
            "bodies": ["batch 0", BODY],
            "left": "0",
            "listed": True,
            "missing": NO_QUEUE,
        },
    ),
)


class SignerRuns:
    """The runs of scenarios on one server, a few at a time, because some wait more than compute."""

    def __init__(self, url: str, environments: Path, directory: Path) -> None:
        self._url = url
        self._environments = environments
        self._directory = directory
        self._pool = ThreadPoolExecutor(3)
        self._runs: dict[str, Future[Facts]] = {}

    def start(self, signer: Signer) -> None:
        """Start the scenario of a signer, or queue it until another one has ended."""
        self._runs[signer.name] = self._pool.submit(self._run, signer)

    def facts(self, signer: Signer) -> Facts:
        """Wait for the scenario of a signer, and return its facts."""
        return self._runs[signer.name].result()

    def close(self) -> None:
        """Wait for the scenarios that run, and drop the others."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, signer: Signer) -> Facts:
        directory = self._directory / signer.name
        directory.mkdir()
        case = signing_case(self._url, signer.name)
        return run_scenario([*self._command(signer), self._url, case], directory)

    def _command(self, signer: Signer) -> list[str]:
        scenario = command(self._environments, signer.client, signer.release, "signer")
        if signer.client != "terraform":
            return scenario
        terraform, directory = terraform_environment(self._environments, Path(scenario[1]).parent)
        return [*scenario, terraform, str(directory)]


@contextlib.contextmanager
def running_access_server(directory: Path, **settings: object) -> Iterator[ServerProcess]:
    """Run a server with the admin of the environment, the producer of the file, and `orders`."""
    path = write_config(directory, [PRODUCER], {"queues": {"orders": {}}, **settings})
    admin = {
        "QUEUESERVER_ACCESS_KEY_ID": ADMIN.access_key_id,
        "QUEUESERVER_SECRET_ACCESS_KEY": ADMIN.secret,
    }
    with ServerProcess("--config", str(path), directory=directory, settings=admin) as server:
        yield server
        status, printed, errors = server.stop()
        assert (status, printed) == (0, "")
        assert "Traceback" not in errors, errors


def signing_case(url: str, name: str) -> str:
    """Return the second argument of the scenario of a signer.

    The name of its queue does not begin with that of another signer's queue: scenarios list queues
    by this name.
    """
    pairs = {
        "admin": ADMIN,
        "producer": PRODUCER.key_pairs[0],
        "wrong secret": ADMIN._replace(secret=f"{ADMIN.secret[:-1]}!"),
        "unknown key": key_pair("unknown"),
    }
    return json.dumps(
        {
            "name": f"{name}-queue",
            "orders": f"{url}/000000000000/orders",
            "pairs": {user: [pair.access_key_id, pair.secret] for user, pair in pairs.items()},
        }
    )
