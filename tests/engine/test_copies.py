"""Copies of queues: kept for the next request, and no longer than anybody may ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queueserver.actions.queue_cache import CachedQueue, QueueCache
from queueserver.context import RequestContext
from storage import queues
from tests.engine.queue_client import ACCOUNT, REGION, QueueClient

CONTEXT = RequestContext(ACCOUNT, REGION, "http://localhost")
URL = f"http://localhost/{ACCOUNT}/orders"


async def act(queue: CachedQueue) -> int:
    return queue.id


@pytest.mark.parametrize("end", [queues.purge, queues.delete])
async def test_no_copy_is_kept_of_what_a_queue_was(
    client: QueueClient, end: Callable[..., None]
) -> None:
    directory = QueueCache(client.database)
    assert await directory.on_queue(CONTEXT, URL, act) == client.queue.id
    assert len(directory._copies) == 1
    await directory.change(CONTEXT, URL, lambda queue: client.database.write(end, queue))
    assert directory._copies == {}
