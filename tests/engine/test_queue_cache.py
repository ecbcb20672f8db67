"""The queue cache: an entry serves the next requests, and is removed when its queue changes."""

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
    """Return the cached queue's id."""
    return queue.id


@pytest.mark.parametrize("end", [queues.purge, queues.delete])
async def test_cache_entry_is_removed_when_its_queue_is_purged_or_deleted(
    client: QueueClient, end: Callable[..., None]
) -> None:
    cache = QueueCache(client.database)
    assert await cache.run(CONTEXT, URL, act) == client.queue.id
    assert len(cache._entries) == 1
    await cache.change(CONTEXT, URL, lambda queue: client.database.write(end, queue))
    assert cache._entries == {}
