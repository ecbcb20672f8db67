"""What may wait for the writer, and how much one transaction takes: bounded in number and bytes."""

from __future__ import annotations

import asyncio

import pytest

from storage.commits.write_queue import LIMIT, LIMIT_BYTES, WriteQueue
from storage.database import Database
from storage.errors import DatabaseBusy
from storage.messages.commands import Receive, Release
from tests.engine.recorder import recorded, recording
from tests.engine.stage import Stage, new_message

MIB = 1024 * 1024


async def reopen(stage: Stage, limit: int = LIMIT, limit_bytes: int = LIMIT_BYTES) -> None:
    await stage.database.close()
    stage.database = await Database.open(
        stage.url, stage.clock, limit=limit, limit_bytes=limit_bytes, engine_settings=recorded()
    )


async def test_what_is_beyond_the_limit_is_refused_at_once_and_the_rest_done(stage: Stage) -> None:
    await reopen(stage, limit=2)
    accepted = [stage.database.submit(stage.sending(new_message("x"))) for _ in range(2)]
    with pytest.raises(DatabaseBusy):
        stage.database.submit(stage.sending(new_message("x")))
    await asyncio.gather(*accepted)
    await stage.send("x")
    assert await stage.counts() == (3, 0, 0)


async def test_bodies_beyond_the_limit_are_refused_though_commands_are_few(stage: Stage) -> None:
    await reopen(stage, limit_bytes=2 * MIB)
    big = new_message("x" * MIB)
    accepted = [stage.database.submit(stage.sending(big))]
    with pytest.raises(DatabaseBusy):
        stage.database.submit(stage.sending(big))
    accepted.append(stage.database.submit(stage.sending(new_message("small"))))
    await asyncio.gather(*accepted)
    assert await stage.counts() == (2, 0, 0)


async def test_one_command_is_always_taken_however_large(stage: Stage) -> None:
    await reopen(stage, limit_bytes=1)
    await stage.send("longer than that")
    assert await stage.bodies() == ["longer than that"]


async def test_claims_are_given_back_however_much_waits(stage: Stage) -> None:
    await reopen(stage, limit=1)
    await stage.send("a")
    received = await stage.receive_one()
    waiting = stage.database.submit(stage.sending(new_message("b")))
    await asyncio.gather(waiting, stage.database.submit(Release([received])))
    assert sorted(await stage.bodies()) == ["a", "b"]


async def test_a_drain_takes_so_many_bytes_and_the_next_one_the_rest(stage: Stage) -> None:
    big = stage.sending(*[new_message("x" * MIB)] * 8)
    with recording() as heard:
        await asyncio.gather(*(stage.database.submit(big) for _ in range(8)))
    assert heard.commits == 2


async def test_receives_take_no_more_into_memory_than_bodies_are_long(stage: Stage) -> None:
    hints = stage.database.hints

    def line(count: int) -> WriteQueue:
        waiting = WriteQueue(hints, LIMIT, LIMIT_BYTES)
        for _ in range(count):
            waiting.add(look(), asyncio.get_running_loop().create_future())
        return waiting

    def look() -> Receive:
        queue = stage.queue
        return Receive(queue.id, queue.revision, queue.kind, 10, 30_000, False, 120_000)

    assert len(line(1_000).take().writes) == 4, "nothing is known: they may be as long as can be"
    await stage.send(*["short"] * 200)
    while await stage.receive(10):
        pass
    for _ in range(60):
        await stage.send("short")
        await stage.receive(1)
    assert len(line(1_000).take().writes) == 1_000
    await stage.send("x" * 100_000)
    assert len(line(1_000).take().writes) < 40, "a long one was sent"
