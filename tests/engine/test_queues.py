"""Queues: create, change, purge and delete, in constant time, and stale revisions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage import queues
from storage.messages import dropped_queues
from storage.messages.commands import Command, Receipt
from storage.queues import QueueChanged
from tests.engine.queue_client import (
    ACCOUNT,
    REGION,
    SETTINGS,
    QueueClient,
    TwoServers,
    new_message,
    run_event_loop,
)
from tests.engine.recorder import recording
from tests.waiting import TIMEOUT_SECONDS

PURGE_OR_DELETE = pytest.mark.parametrize("drop", [queues.purge, queues.delete])

COMMANDS = [
    pytest.param(lambda client: client.send_command(new_message("late")), id="send"),
    pytest.param(lambda client: client.receive_command(), id="receive"),
    pytest.param(lambda client: client.delete_command(Receipt(client.queue.id, 1, 1)), id="delete"),
    pytest.param(
        lambda client: client.change_command((Receipt(client.queue.id, 1, 1), 5)), id="change"
    ),
]


async def free_dropped(client: QueueClient, limit: int) -> int:
    """Free the rows of all dropped queues; return the number of steps."""
    steps = 0
    while await client.database.write(dropped_queues.free_dropped, limit):
        steps += 1
    return steps


async def test_created_queue_is_found_with_its_attributes_and_tags(client: QueueClient) -> None:
    created = await client.database.write(
        queues.create,
        ACCOUNT,
        REGION,
        "q",
        queues.STANDARD,
        {"VisibilityTimeout": "5"},
        {"\u00e9": "\U0001f600"},
        SETTINGS,
    )
    now_ms = client.clock.now_ms()
    assert await client.find("q") == created
    assert (created.created_at_ms, created.modified_at_ms, created.purged_at_ms) == (
        now_ms,
        now_ms,
        None,
    )
    assert (created.attributes, created.tags) == (
        {"VisibilityTimeout": "5"},
        {"\u00e9": "\U0001f600"},
    )


async def test_create_of_existing_queue_returns_it_unchanged(client: QueueClient) -> None:
    again = await client.database.write(
        queues.create,
        ACCOUNT,
        REGION,
        "orders",
        queues.STANDARD,
        {"DelaySeconds": "9"},
        {"a": "b"},
        SETTINGS,
    )
    assert again == client.queue


async def test_queues_of_one_name_in_other_accounts_and_regions_are_separate(
    client: QueueClient,
) -> None:
    created = {client.queue.id}
    for account, region in (("111111111111", REGION), (ACCOUNT, "eu-west-1")):
        assert await client.database.read(queues.find, account, region, "orders") is None
        created.add(
            (
                await client.database.write(
                    queues.create, account, region, "orders", queues.STANDARD, {}, {}, SETTINGS
                )
            ).id
        )
    assert len(created) == 3


async def test_two_servers_that_create_one_queue_create_it_once(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    for position in range(20):
        name = f"race-{position}"
        created = await asyncio.gather(one.create(name), other.create(name))
        assert created[0] == created[1] == await one.find(name)
    assert (await one.rows())["backlogs"] == 21


async def test_pages_of_names_are_sorted_by_byte_and_limited_to_the_prefix(
    client: QueueClient,
) -> None:
    names = ["Z", "a", "a-b", "aB", "a_b", "ab", "ab.fifo", "b"]
    for name in reversed(names):
        await client.create(name)
    await client.database.write(
        queues.create, ACCOUNT, "eu-west-1", "abroad", queues.STANDARD, {}, {}, SETTINGS
    )

    async def page(prefix: str, after: str = "", limit: int = 100) -> object:
        return await client.database.read(queues.list_names, ACCOUNT, REGION, prefix, after, limit)

    assert await page("") == [*names, "orders"]
    assert await page("a") == names[1:-1]
    assert await page("a", limit=2) == ["a", "a-b"]
    assert await page("a", after="a-b", limit=2) == ["aB", "a_b"]
    assert await page("ab", after="ab.fifo") == []


async def test_changed_attributes_replace_the_old_and_update_the_modification_time(
    client: QueueClient,
) -> None:
    client.clock.advance(5)
    await client.database.write(
        queues.change_attributes, client.queue, {"DelaySeconds": "1"}, SETTINGS
    )
    found = await client.find()
    assert found is not None
    assert found.attributes == {"DelaySeconds": "1"}
    assert found.modified_at_ms == client.queue.modified_at_ms + 5_000
    assert found.revision != client.queue.revision


async def test_changed_tags_do_not_update_the_modification_time(client: QueueClient) -> None:
    client.clock.advance(5)
    await client.database.write(queues.change_tags, client.queue, {"a": ""})
    found = await client.find()
    assert found is not None
    assert (found.tags, found.modified_at_ms) == ({"a": ""}, client.queue.modified_at_ms)


@pytest.mark.parametrize(
    ("change", "more"), [(queues.change_attributes, (SETTINGS,)), (queues.change_tags, ())]
)
async def test_change_with_a_stale_revision_is_rejected_and_writes_nothing(
    client: QueueClient, change: Callable[..., None], more: tuple[object, ...]
) -> None:
    await client.database.write(queues.change_tags, client.queue, {"first": "1"})
    before = await client.find()
    with pytest.raises(QueueChanged):
        await client.database.write(change, client.queue, {"second": "2"}, *more)
    assert await client.find() == before


@PURGE_OR_DELETE
async def test_purge_or_delete_with_a_stale_revision_is_rejected_and_writes_nothing(
    client: QueueClient, drop: Callable[..., None]
) -> None:
    await client.send("a")
    await client.database.write(queues.change_tags, client.queue, {"first": "1"})
    before = await client.find()
    with pytest.raises(QueueChanged):
        await client.database.write(drop, client.queue)
    await client.refresh()
    assert client.queue == before
    assert await client.bodies() == ["a"]
    assert (await client.rows())["dropped_queues"] == 0


@pytest.mark.parametrize("make", COMMANDS)
@pytest.mark.parametrize("end", [queues.purge, queues.delete, queues.change_tags])
async def test_command_with_a_stale_revision_is_rejected_and_writes_nothing(
    client: QueueClient, make: Callable[[QueueClient], Command[Any]], end: Callable[..., None]
) -> None:
    await client.send("a")
    command = make(client)
    await client.database.write(end, client.queue, *([{}] if end is queues.change_tags else []))
    before = await client.rows()
    with pytest.raises(QueueChanged):
        await client.database.submit(command)
    assert await client.rows() == before


async def test_command_with_a_stale_revision_does_not_affect_the_others_of_its_batch(
    client: QueueClient,
) -> None:
    stale = client.send_command(new_message("stale"))
    await client.database.write(queues.change_tags, client.queue, {"a": "b"})
    await client.refresh()
    commands = [client.send_command(new_message("a")), stale, client.send_command(new_message("b"))]
    results = await asyncio.gather(
        *(client.database.submit(command) for command in commands), return_exceptions=True
    )
    assert isinstance(results[1], QueueChanged)
    assert await client.bodies() == ["a", "b"]


@PURGE_OR_DELETE
async def test_statements_of_purge_or_delete_do_not_grow_with_the_backlog(
    client: QueueClient, drop: Callable[..., None]
) -> None:
    statements = {}
    for size in (10, 5_000):
        client.queue = await client.create(f"with-{size}")
        await client.database.submit(client.send_command(*[new_message("x")] * size))
        # This write reserves numbers if necessary, so that the next one does not.
        await client.database.write(lambda transaction: transaction.take_numbers(1))
        with recording() as record:
            await client.database.write(drop, client.queue)
        # A notification's payload has the ids of the server and the queue.
        statements[size] = [re.sub(r"^(NOTIFY \w+), '.*'$", r"\1", text) for text in record.texts()]
    assert len(statements[10]) > 1
    assert statements[10] == statements[5_000]


async def test_purged_queue_is_empty_and_can_be_used(client: QueueClient) -> None:
    await client.send(*"ab")
    await client.send("delayed", delay_s=5)
    await client.receive_one()
    client.clock.advance(1)
    before = client.queue
    await client.purge()
    assert await client.counts() == (0, 0, 0)
    assert client.queue.purged_at_ms == client.clock.now_ms()
    assert client.queue.created_at_ms == before.created_at_ms
    assert client.queue.modified_at_ms == before.modified_at_ms
    client.clock.advance(60)
    assert await client.bodies() == []
    await client.send("new")
    assert await client.bodies() == ["new"]


@pytest.mark.parametrize("freed", [False, True], ids=["not-yet-freed", "freed"])
async def test_receipts_from_before_a_purge_have_no_effect(
    client: QueueClient, freed: bool
) -> None:
    await client.send("old")
    old = await client.receive_one()
    await client.purge()
    await client.send("new")
    if freed:
        await free_dropped(client, 500)
    assert not await client.change(old.receipt, 0)
    await client.delete(old.receipt)
    await client.release(old)
    assert await client.counts() == (1, 0, 0)
    assert await client.bodies() == ["new"]


async def test_queue_recreated_after_delete_is_empty(client: QueueClient) -> None:
    await client.send("old")
    old = await client.receive_one()
    await client.database.write(queues.delete, client.queue)
    assert await client.find() is None
    first, client.queue = client.queue, await client.create("orders")
    assert client.queue.id > first.id
    assert await client.counts() == (0, 0, 0)
    assert not await client.change(old.receipt, 0)
    client.clock.advance(60)
    assert await client.bodies() == []


async def test_deletion_time_is_stored_until_it_is_freed(client: QueueClient) -> None:
    async def deleted_at_ms() -> int | None:
        return await client.database.read(queues.deleted_at_ms, ACCOUNT, REGION, "orders")

    assert await deleted_at_ms() is None
    for _ in range(2):
        await client.database.write(queues.delete, client.queue)
        assert await deleted_at_ms() == client.clock.now_ms()
        client.queue = await client.create("orders")
        client.clock.advance(1)
    await client.database.write(queues.free_old_deletions, client.clock.now_ms() - 1_000)
    assert await deleted_at_ms() is not None
    await client.database.write(queues.free_old_deletions, client.clock.now_ms() - 999)
    assert await deleted_at_ms() is None


@PURGE_OR_DELETE
async def test_rows_of_dropped_queue_are_freed_in_steps(
    client: QueueClient, drop: Callable[..., None]
) -> None:
    kept = await client.create("kept")
    await client.send(*["old"] * 25)
    await client.receive(3)
    await client.database.write(drop, client.queue)
    client.queue, dropped = kept, client.queue
    await client.send("kept")
    remaining = 25
    for freed in (10, 10, 5):
        assert await client.database.write(dropped_queues.free_dropped, 10)
        remaining -= freed
        rows = await client.rows()
        assert rows["messages"] == rows["bodies"] == remaining + 1
    assert await free_dropped(client, 10) == 0
    rows = await client.rows()
    assert rows["dropped_queues"] == 0
    assert rows["backlogs"] == (2 if drop is queues.purge else 1)
    assert await client.counts() == (1, 0, 0)
    assert dropped.id != kept.id


@PURGE_OR_DELETE
async def test_hints_of_dropped_queue_are_removed(
    client: QueueClient, drop: Callable[..., None]
) -> None:
    await client.send("old")
    await client.receive_one()
    hints = client.database.hints._by_queue
    assert client.queue.id in hints
    await client.database.write(drop, client.queue)
    assert client.queue.id not in hints


async def test_rows_of_many_dropped_queues_are_all_freed(
    client: QueueClient,
) -> None:
    for size in (0, 4, 8):
        queue = client.queue
        await client.send(*["x"] * size) if size else None
        await client.purge()
        assert client.queue.id > queue.id
    await free_dropped(client, 4)
    rows = await client.rows()
    assert rows == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}


@PURGE_OR_DELETE
async def test_purge_or_delete_wakes_all_receivers(
    client: QueueClient, drop: Callable[..., None]
) -> None:
    waiters = client.database.waiters
    with waiters.register(client.queue.id) as one, waiters.register(client.queue.id) as other:
        deadline_ms = client.clock.now_ms() + 20_000
        sleeps = [asyncio.create_task(each.sleep_until(deadline_ms)) for each in (one, other)]
        await run_event_loop()
        assert not any(sleep.done() for sleep in sleeps)
        await client.database.write(drop, client.queue)
        await asyncio.wait_for(asyncio.gather(*sleeps), TIMEOUT_SECONDS)


async def test_all_queues_are_listed_by_id_in_pages(client: QueueClient) -> None:
    queues_created = [client.queue, *[await client.create(name) for name in "cba"]]
    created = [queues.QueueRetention(q.id, q.name, q.retention_ms) for q in queues_created]
    assert await client.database.read(queues.list_after, 0, 3) == created[:3]
    assert await client.database.read(queues.list_after, created[2].id, 3) == created[3:]
    assert await client.database.read(queues.list_after, created[3].id, 3) == []


async def test_counts_are_of_one_snapshot_while_another_server_writes(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    await one.counts()
    steps = iter([other.send("x", "y"), other.receive()])

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def run_on_other_server(_connection: object, _cursor: object, text: str, *_: object) -> None:
        if text.startswith("SELECT backlogs"):
            for step in steps:
                await_only(step)

    try:
        assert await one.counts() == (0, 0, 0)
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", run_on_other_server)
    assert await one.counts() == (0, 2, 0)
