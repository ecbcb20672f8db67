"""A Celery application with SQS as its broker; its tasks report their completion in a pipe."""

from __future__ import annotations

import json
import os
from pathlib import Path

from celery import Celery, Task  # type: ignore[import-not-found]

FAILING_EVERY = 4
DELAYED_EVERY = 10

app = Celery("jobs", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_transport_options=json.loads(os.environ["TRANSPORT_OPTIONS"]),
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_default_queue=os.environ["QUEUE"],
    task_ignore_result=True,
    worker_enable_remote_control=False,
)


@app.task(bind=True, max_retries=3)  # type: ignore[untyped-decorator]
def work(self: Task, number: int) -> None:
    """Report completion; every fourth task fails twice before."""
    if number % FAILING_EVERY == 0 and self.request.retries < 2:
        raise self.retry(countdown=1)
    line = f"{number} {self.request.retries}\n"
    pipe = os.open(Path(os.environ["DONE_PIPE"]), os.O_WRONLY)
    try:
        os.write(pipe, line.encode())  # short enough for an atomic write
    finally:
        os.close(pipe)
