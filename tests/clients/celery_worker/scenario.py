"""Two hundred tasks for a Celery worker, some delayed and some failing at first."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

TASKS = 200
DONE_SECONDS = 40
STOP_SECONDS = 60
"""Timeout of a worker's stop: a pool process waits up to 30 s for its parent process."""
NOTHING = ["0", "0", "0"]
FLAGS = {
    "prefork": ("--pool", "prefork", "--concurrency", "2"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
}


def configure(url: str, kind: str, queue_url: str) -> None:
    """Configure the application by the environment: an endpoint, or predefined queues."""
    address = urlsplit(url)
    options: dict[str, Any] = {
        "region": "us-east-1",
        "is_secure": False,
        "visibility_timeout": 60,
        "wait_time_seconds": 1,
        "polling_interval": 0.1,
    }
    queue = queue_url.rpartition("/")[2]
    if kind == "predefined":
        keys = {"access_key_id": "test", "secret_access_key": "secret"}
        options["predefined_queues"] = {queue: {"url": queue_url, **keys}}
    os.environ.update(
        BROKER_URL=f"sqs://test:secret@{address.netloc}//",
        TRANSPORT_OPTIONS=json.dumps(options),
        QUEUE=queue,
        DONE_PIPE=str(Path("done").absolute()),
    )
    os.mkfifo("done")


def lines(pipe: int, count: int, seconds: float) -> Iterator[str]:
    """Yield up to `count` lines of the tasks; end when none arrives for `seconds`."""
    text = ""
    while count and select.select([pipe], [], [], seconds)[0]:
        *whole, text = (text + os.read(pipe, 65_536).decode()).split("\n")
        count -= len(whole)
        yield from whole


def send_tasks() -> None:
    from jobs import DELAYED_EVERY, work  # type: ignore[import-not-found]

    for number in range(TASKS):
        work.apply_async((number,), countdown=1 if number % DELAYED_EVERY == 0 else None)


def wait_until_deleted(sqs: Any, url: str) -> None:  # noqa: ANN401
    """Wait until the worker has deleted all messages: a stopped worker may not delete them."""
    deadline = time.monotonic() + DONE_SECONDS
    while counts(sqs, url) != NOTHING and time.monotonic() < deadline:
        pass


def run_worker(pool: str, pipe: int, sqs: Any, url: str) -> tuple[list[str], int]:  # noqa: ANN401
    """Run a worker until all tasks are done, stop it, and return the lines and its exit status."""
    celery = [sys.executable, "-m", "celery", "--app", "jobs", "worker", "--loglevel", "warning"]
    with Path("worker.log").open("w") as log:
        worker = subprocess.Popen(
            [*celery, *FLAGS[pool]],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            stdout=log,
            stderr=log,
        )
        try:
            done = list(lines(pipe, TASKS, DONE_SECONDS))
            wait_until_deleted(sqs, url)
            worker.send_signal(signal.SIGTERM)
            status = worker.wait(STOP_SECONDS)
        finally:
            worker.kill()
            worker.wait()
    # A task that ran twice has reported it before the worker stopped.
    return [*done, *lines(pipe, -1, 0)], status


def counts(sqs: Any, url: str) -> list[str]:  # noqa: ANN401 - boto3 creates the type at run time
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return [value for name, value in sorted(answer["Attributes"].items()) if "NumberOf" in name]


def main(endpoint: str, kind: str, pool: str) -> None:
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    protocol = sqs.meta.service_model.metadata["protocol"]
    name = f"celery-{protocol}-{kind}"
    if kind == "predefined":
        sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})
    configure(endpoint, kind, f"{endpoint}/000000000000/{name}")
    pipe = os.open("done", os.O_RDWR)  # open for writing too, so reads never reach the end
    send_tasks()
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    sent = counts(sqs, url)
    done, status = run_worker(pool, pipe, sqs, url)
    facts = {
        "protocol": protocol,
        "sent": sent,
        "done": sorted(done),
        "left": counts(sqs, url),
        "status": status,
    }
    json.dump({**facts, "log": Path("worker.log").read_text()[-2_000:]}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
