"""Queues: creation, change, purge and end, in constant time and against copies that are stale."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage import queues
from storage.messages import dropped_queues
from storage.messages.commands import Command, Receipt
from storage.queues import QueueChanged
from tests.engine.recorder import recording
from tests.engine.stage import ACCOUNT, REGION, SETTINGS, Stage, new_message, turn

PURGE_OR_DELETE = pytest.mark.parametrize("end", [queues.purge, queues.delete])

COMMANDS = [
    pytest.param(lambda stage: stage.sending(new_message("late")), id="send"),
    pytest.param(lambda stage: stage.receiving(), id="receive"),
    pytest.param(lambda stage: stage.deleting(Receipt(stage.queue.id, 1, 1)), id="delete"),
    pytest.param(lambda stage: stage.changing((Receipt(stage.queue.id, 1, 1), 5)), id="change"),
]


async def free_leftovers(stage: Stage, limit: int) -> int:
    steps = 0
    while await stage.database.write(dropped_queues.free_dropped, limit):
        steps += 1
    return steps


async def test_a_queue_is_found_as_it_was_created(stage: Stage) -> None:
    made = await stage.database.write(
        queues.create,
        ACCOUNT,
        REGION,
        "q",
        queues.STANDARD,
        {"VisibilityTimeout": "5"},
        {"\u00e9": "\U0001f600"},
        SETTINGS,
    )
    now_ms = stage.clock.now_ms()
    assert await stage.find("q") == made
    assert (made.created_at_ms, made.modified_at_ms, made.purged_at_ms) == (now_ms, now_ms, None)
    assert (made.attributes, made.tags) == ({"VisibilityTimeout": "5"}, {"\u00e9": "\U0001f600"})


async def test_creating_a_queue_that_exists_gives_it_unchanged(stage: Stage) -> None:
    again = await stage.database.write(
        queues.create,
        ACCOUNT,
        REGION,
        "orders",
        queues.STANDARD,
        {"DelaySeconds": "9"},
        {"a": "b"},
        SETTINGS,
    )
    assert again == stage.queue


async def test_a_queue_is_known_by_account_region_and_name_together(stage: Stage) -> None:
    made = {stage.queue.id}
    for account, region in (("111111111111", REGION), (ACCOUNT, "eu-west-1")):
        assert await stage.database.read(queues.find, account, region, "orders") is None
        made.add(
            (
                await stage.database.write(
                    queues.create, account, region, "orders", queues.STANDARD, {}, {}, SETTINGS
                )
            ).id
        )
    assert len(made) == 3


async def test_two_servers_that_create_one_queue_make_one_queue(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    for position in range(20):
        name = f"race-{position}"
        made = await asyncio.gather(one.create(name), other.create(name))
        assert made[0] == made[1] == await one.find(name)
    assert (await one.rows())["backlogs"] == 21


async def test_pages_of_names_are_sorted_by_byte_and_end_at_the_prefix(stage: Stage) -> None:
    names = ["Z", "a", "a-b", "aB", "a_b", "ab", "ab.fifo", "b"]
    for name in reversed(names):
        await stage.create(name)
    await stage.database.write(
        queues.create, ACCOUNT, "eu-west-1", "abroad", queues.STANDARD, {}, {}, SETTINGS
    )

    async def page(prefix: str, after: str = "", limit: int = 100) -> object:
        return await stage.database.read(queues.list_names, ACCOUNT, REGION, prefix, after, limit)

    assert await page("") == [*names, "orders"]
    assert await page("a") == names[1:-1]
    assert await page("a", limit=2) == ["a", "a-b"]
    assert await page("a", after="a-b", limit=2) == ["aB", "a_b"]
    assert await page("ab", after="ab.fifo") == []


async def test_changed_attributes_replace_the_old_and_count_as_a_modification(
    stage: Stage,
) -> None:
    stage.clock.advance(5)
    await stage.database.write(
        queues.change_attributes, stage.queue, {"DelaySeconds": "1"}, SETTINGS
    )
    found = await stage.find()
    assert found is not None
    assert found.attributes == {"DelaySeconds": "1"}
    assert found.modified_at_ms == stage.queue.modified_at_ms + 5_000
    assert found.revision != stage.queue.revision


async def test_changed_tags_are_no_modification_of_the_queue(stage: Stage) -> None:
    stage.clock.advance(5)
    await stage.database.write(queues.change_tags, stage.queue, {"a": ""})
    found = await stage.find()
    assert found is not None
    assert (found.tags, found.modified_at_ms) == ({"a": ""}, stage.queue.modified_at_ms)


@pytest.mark.parametrize(
    ("change", "more"), [(queues.change_attributes, (SETTINGS,)), (queues.change_tags, ())]
)
async def test_a_change_of_a_stale_copy_is_refused_and_writes_nothing(
    stage: Stage, change: Callable[..., None], more: tuple[object, ...]
) -> None:
    await stage.database.write(queues.change_tags, stage.queue, {"first": "1"})
    before = await stage.find()
    with pytest.raises(QueueChanged):
        await stage.database.write(change, stage.queue, {"second": "2"}, *more)
    assert await stage.find() == before


@PURGE_OR_DELETE
async def test_the_end_of_a_stale_copy_is_refused_and_writes_nothing(
    stage: Stage, end: Callable[..., None]
) -> None:
    await stage.send("a")
    await stage.database.write(queues.change_tags, stage.queue, {"first": "1"})
    before = await stage.find()
    with pytest.raises(QueueChanged):
        await stage.database.write(end, stage.queue)
    await stage.refresh()
    assert stage.queue == before
    assert await stage.bodies() == ["a"]
    assert (await stage.rows())["dropped_queues"] == 0


@pytest.mark.parametrize("make", COMMANDS)
@pytest.mark.parametrize("end", [queues.purge, queues.delete, queues.change_tags])
async def test_a_command_made_for_a_stale_copy_is_refused_and_writes_nothing(
    stage: Stage, make: Callable[[Stage], Command[Any]], end: Callable[..., None]
) -> None:
    await stage.send("a")
    command = make(stage)
    await stage.database.write(end, stage.queue, *([{}] if end is queues.change_tags else []))
    before = await stage.rows()
    with pytest.raises(QueueChanged):
        await stage.database.submit(command)
    assert await stage.rows() == before


async def test_a_stale_command_does_not_harm_the_others_of_its_drain(stage: Stage) -> None:
    stale = stage.sending(new_message("stale"))
    await stage.database.write(queues.change_tags, stage.queue, {"a": "b"})
    await stage.refresh()
    commands = [stage.sending(new_message("a")), stale, stage.sending(new_message("b"))]
    results = await asyncio.gather(
        *(stage.database.submit(command) for command in commands), return_exceptions=True
    )
    assert isinstance(results[1], QueueChanged)
    assert await stage.bodies() == ["a", "b"]


@PURGE_OR_DELETE
async def test_the_end_of_a_backlog_takes_as_many_statements_as_of_a_few_messages(
    stage: Stage, end: Callable[..., None]
) -> None:
    said = {}
    for size in (10, 5_000):
        stage.queue = await stage.create(f"with-{size}")
        await stage.database.submit(stage.sending(*[new_message("x")] * size))
        # A first write may reserve numbers, which has nothing to do with the size.
        await stage.database.write(lambda transaction: transaction.take_numbers(1))
        with recording() as heard:
            await stage.database.write(end, stage.queue)
        said[size] = heard.texts()
    assert len(said[10]) > 1
    assert said[10] == said[5_000]


async def test_a_purge_leaves_an_empty_queue_that_goes_on(stage: Stage) -> None:
    await stage.send(*"ab")
    await stage.send("delayed", delay_s=5)
    await stage.receive_one()
    stage.clock.advance(1)
    before = stage.queue
    await stage.purge()
    assert await stage.counts() == (0, 0, 0)
    assert stage.queue.purged_at_ms == stage.clock.now_ms()
    assert stage.queue.created_at_ms == before.created_at_ms
    assert stage.queue.modified_at_ms == before.modified_at_ms
    stage.clock.advance(60)
    assert await stage.bodies() == []
    await stage.send("new")
    assert await stage.bodies() == ["new"]


@pytest.mark.parametrize("freed", [False, True], ids=["not-yet-freed", "freed"])
async def test_receipts_from_before_a_purge_do_nothing(stage: Stage, freed: bool) -> None:
    await stage.send("old")
    old = await stage.receive_one()
    await stage.purge()
    await stage.send("new")
    if freed:
        await free_leftovers(stage, 500)
    assert not await stage.change(old.receipt, 0)
    await stage.delete(old.receipt)
    await stage.release(old)
    assert await stage.counts() == (1, 0, 0)
    assert await stage.bodies() == ["new"]


async def test_a_deleted_queue_is_gone_and_its_name_begins_anew(stage: Stage) -> None:
    await stage.send("old")
    old = await stage.receive_one()
    await stage.database.write(queues.delete, stage.queue)
    assert await stage.find() is None
    first, stage.queue = stage.queue, await stage.create("orders")
    assert stage.queue.id > first.id
    assert await stage.counts() == (0, 0, 0)
    assert not await stage.change(old.receipt, 0)
    stage.clock.advance(60)
    assert await stage.bodies() == []


async def test_a_deletion_is_remembered_until_it_is_forgotten(stage: Stage) -> None:
    async def deleted_at_ms() -> int | None:
        return await stage.database.read(queues.deleted_at_ms, ACCOUNT, REGION, "orders")

    assert await deleted_at_ms() is None
    for _ in range(2):
        await stage.database.write(queues.delete, stage.queue)
        assert await deleted_at_ms() == stage.clock.now_ms()
        stage.queue = await stage.create("orders")
        stage.clock.advance(1)
    await stage.database.write(queues.free_old_deletions, stage.clock.now_ms() - 1_000)
    assert await deleted_at_ms() is not None
    await stage.database.write(queues.free_old_deletions, stage.clock.now_ms() - 999)
    assert await deleted_at_ms() is None


@PURGE_OR_DELETE
async def test_what_is_left_is_freed_in_steps_and_nothing_remains(
    stage: Stage, end: Callable[..., None]
) -> None:
    kept = await stage.create("kept")
    await stage.send(*["old"] * 25)
    await stage.receive(3)
    await stage.database.write(end, stage.queue)
    stage.queue, ended = kept, stage.queue
    await stage.send("kept")
    left = 25
    for freed in (10, 10, 5):
        assert await stage.database.write(dropped_queues.free_dropped, 10)
        left -= freed
        rows = await stage.rows()
        assert rows["messages"] == rows["bodies"] == left + 1
    assert await free_leftovers(stage, 10) == 0
    rows = await stage.rows()
    assert rows["dropped_queues"] == 0
    assert rows["backlogs"] == (2 if end is queues.purge else 1)
    assert await stage.counts() == (1, 0, 0)
    assert ended.id != kept.id


@PURGE_OR_DELETE
async def test_nothing_is_remembered_of_a_queue_that_has_ended(
    stage: Stage, end: Callable[..., None]
) -> None:
    await stage.send("old")
    await stage.receive_one()
    remembered = stage.database.hints._by_queue
    assert stage.queue.id in remembered
    await stage.database.write(end, stage.queue)
    assert stage.queue.id not in remembered


async def test_leftovers_of_many_queues_and_of_empty_ones_are_all_freed(stage: Stage) -> None:
    for size in (0, 4, 8):
        queue = stage.queue
        await stage.send(*["x"] * size) if size else None
        await stage.purge()
        assert stage.queue.id > queue.id
    await free_leftovers(stage, 4)
    rows = await stage.rows()
    assert rows == {"messages": 0, "bodies": 0, "backlogs": 1, "dropped_queues": 0}


@PURGE_OR_DELETE
async def test_all_who_wait_for_a_queue_that_ends_are_woken(
    stage: Stage, end: Callable[..., None]
) -> None:
    waiters = stage.database.waiters
    with waiters.register(stage.queue.id) as one, waiters.register(stage.queue.id) as other:
        deadline_ms = stage.clock.now_ms() + 20_000
        sleeps = [asyncio.create_task(each.sleep_until(deadline_ms)) for each in (one, other)]
        await turn()
        assert not any(sleep.done() for sleep in sleeps)
        await stage.database.write(end, stage.queue)
        await asyncio.wait_for(asyncio.gather(*sleeps), timeout=5)


async def test_every_queue_is_listed_by_id_in_pages(stage: Stage) -> None:
    made = [stage.queue, *[await stage.create(name) for name in "cba"]]
    assert await stage.database.read(queues.list_after, 0, 3) == made[:3]
    assert await stage.database.read(queues.list_after, made[2].id, 3) == made[3:]
    assert await stage.database.read(queues.list_after, made[3].id, 3) == []


async def test_counts_are_of_one_moment_while_another_server_works(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    await one.counts()
    steps = iter([other.send("x", "y"), other.receive()])

    @sa.event.listens_for(sa.Engine, "after_cursor_execute")
    def interfere(_connection: object, _cursor: object, text: str, *_: object) -> None:
        if text.startswith("SELECT backlogs"):
            for step in steps:
                await_only(step)

    try:
        assert await one.counts() == (0, 0, 0)
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", interfere)
    assert await one.counts() == (0, 2, 0)
