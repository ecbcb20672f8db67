"""The queue cache: one entry serves every request for its queue, until the queue changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from protocol.actions import PurgeQueue
from protocol.errors import QueueDoesNotExist
from queueserver.actions.queue_cache import CachedQueue, QueueCache
from queueserver.context import RequestContext
from storage import queues
from storage.queue_settings import QueueSettings
from tests.access.modes import ACCESS_OFF
from tests.engine.queue_client import ACCOUNT, REGION, QueueClient

CONTEXT = RequestContext(ACCOUNT, REGION, "http://localhost")
REQUEST = PurgeQueue(queue_url=f"http://localhost/{ACCOUNT}/orders")


async def act(queue: CachedQueue) -> int:
    """Return the cached queue's id."""
    return queue.id


@pytest.mark.parametrize("end", [queues.purge, queues.delete])
async def test_cache_entry_is_removed_when_its_queue_is_purged_or_deleted(
    client: QueueClient, end: Callable[..., None]
) -> None:
    cache = QueueCache(client.database, ACCESS_OFF)
    assert await cache.run(CONTEXT, REQUEST, act) == client.queue.id
    assert len(cache._entries) == 1
    await cache.change(CONTEXT, REQUEST, lambda queue: client.database.write(end, queue))
    assert cache._entries == {}


@pytest.mark.parametrize(
    "spelling",
    [
        f"https://another-host:1234/{ACCOUNT}/orders",
        f"http://{'x' * 2_000}/{ACCOUNT}/orders",
        f"/{ACCOUNT}/orders",
        f"{ACCOUNT}/orders?x=y#z",
        "http://localhost/queue/orders",
        "http://localhost/%6frders",
        "orders",
    ],
)
async def test_all_spellings_of_a_url_share_one_entry(client: QueueClient, spelling: str) -> None:
    cache = QueueCache(client.database, ACCESS_OFF)
    other = PurgeQueue(queue_url=spelling)
    for request in (REQUEST, other, REQUEST):
        assert await cache.run(CONTEXT, request, act) == client.queue.id
    assert len(cache._entries) == 1
    await cache.change(CONTEXT, other, lambda queue: client.database.write(queues.delete, queue))
    assert cache._entries == {}
    with pytest.raises(QueueDoesNotExist):
        await cache.run(CONTEXT, REQUEST, act)


async def test_entry_has_neither_tags_nor_policies(client: QueueClient) -> None:
    cache = QueueCache(client.database, ACCESS_OFF)
    arns = [f"arn:aws:sqs:{REGION}:{ACCOUNT}:{number}{'x' * 70}" for number in range(10)]
    allowed = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": arns})
    stored = {"Policy": "p" * 8_000, "RedriveAllowPolicy": allowed}

    async def change(queue: queues.Queue) -> None:
        tags = {f"{number:03}": "v" * 256 for number in range(50)}
        await client.database.write(queues.change_tags, queue, tags)
        changed = await cache.read(CONTEXT, REQUEST)
        settings = QueueSettings(queue.retention_ms)
        await client.database.write(queues.change_attributes, changed, stored, settings)

    await cache.change(CONTEXT, REQUEST, change)
    await cache.run(CONTEXT, REQUEST, act)
    (cached,) = cache._entries.values()
    parts = [getattr(cached, name) for name in CachedQueue.__slots__]
    parts += [getattr(cached.attributes, name) for name in cached.attributes.__struct_fields__]
    assert sum(map(sys.getsizeof, [cached, *parts])) < 1_500
