"""How databases go about the hot statements: along an index from its head, whatever the backlog."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import sqlalchemy as sa

from storage import queues
from storage.transaction import Transaction
from tests.engine.stage import Said, Stage, listening, new_message

MESSAGES = 20_000
QUEUES = 4


async def fill(stage: Stage) -> None:
    """Spread messages over queues: visible, in flight, delayed and expired ones."""
    names = [f"queue-{position}" for position in range(QUEUES)]
    chances = random.Random(1)
    for name in names:
        stage.queue = await stage.create(name)
        for age_s in (stage.retention_s, 1_000, 10):
            messages = [
                new_message("x", chances.choice((0, 0, 0, 900)))
                for _ in range(MESSAGES // QUEUES // 3)
            ]
            await stage.database.submit(stage.sending(*messages))
            await stage.receive(300, timeout_s=chances.choice((5, 3_600)))
            stage.clock.advance(0.3 if age_s == 10 else age_s - 10)


async def act(stage: Stage) -> Said:
    """Do everything once that requests and the freeing of space do, in the last of the queues."""
    database, ids = stage.database, (stage.queue.id, stage.expired_ms())
    other = Stage(stage.url, stage.clock, database)
    other.queue = await other.create("other")
    await other.send(*"x" * 10)
    elsewhere = [received.receipt for received in await other.receive()]
    with listening() as heard:
        await stage.send("x", "y")
        received = await stage.receive(10)
        here = [message.receipt for message in received]
        await stage.change(here[0], 10)
        await stage.delete(*here[1:3])
        # What shares a drain must not make one another's statements slow.
        await asyncio.gather(
            stage.delete(*here[3:5]),
            other.delete(*elsewhere[:5]),
            other.change(elsewhere[5], 10),
            stage.release(*received[5:]),
            stage.receive(),
            other.receive(),
        )
        with database.arrivals.join(stage.queue.id):
            await stage.receive(1)
        await stage.counts()
        await database.read(queues.with_expired_head, [ids])
        await database.write(queues.free_expired, *ids, 500)
        await stage.find("queue-0")
        await database.read(queues.every, 0, 200)
        await database.read(queues.page, stage.queue.account, stage.queue.region, "q", "", 10)
        await database.write(queues.purge, stage.queue)
        await database.write(queues.free_leftovers, 500)
    return heard


def hot(heard: Said) -> dict[str, Any]:
    """Give each statement that looks for rows once, with parameters that it really had."""
    return {
        text: parameters
        for text, parameters in heard.statements
        if " WHERE " in text.replace("\n", " ") and "properties" not in text
    }


async def plans(stage: Stage, explain: str) -> dict[str, list[str]]:
    """Give how the database goes about each hot statement, line by line."""
    statements = hot(await act(stage))

    def ask(transaction: Transaction) -> dict[str, list[str]]:
        return {
            text: [
                str(row[-1])
                for row in transaction.connection.exec_driver_sql(f"{explain} {text}", parameters)
            ]
            for text, parameters in statements.items()
        }

    found = await stage.database.write(ask)
    assert len(found) > 20
    return found


def sqlite_reads_too_much(plan: list[str]) -> bool:
    return any(
        "TEMP B-TREE" in step or (step.startswith("SCAN") and "CONSTANT" not in step)
        for step in plan
    )


def postgresql_reads_too_much(plan: list[str]) -> bool:
    """Tell whether there is anything but scans of an index that begin where it says."""
    whole = "\n".join(plan)
    if any(word in whole for word in ("Seq Scan", "Sort", "Bitmap", "Hash", "Merge")):
        return True
    return whole.count(" Scan ") != whole.count("Index Cond:")


async def test_sqlite_searches_an_index_for_every_hot_statement(sqlite: str) -> None:
    stage = await Stage.open(sqlite)
    await fill(stage)
    found = await plans(stage, "EXPLAIN QUERY PLAN")
    await stage.database.close()
    assert {text: plan for text, plan in found.items() if sqlite_reads_too_much(plan)} == {}


@pytest.mark.parametrize("analyzed", [False, True], ids=["without-statistics", "with-statistics"])
@pytest.mark.parametrize("explain", ["EXPLAIN", "EXPLAIN (GENERIC_PLAN)"])
async def test_postgresql_searches_an_index_for_every_hot_statement(
    postgresql: str, explain: str, analyzed: bool
) -> None:
    stage = await Stage.open(postgresql)
    await fill(stage)
    if analyzed:
        await stage.database.write(lambda tx: tx.connection.execute(sa.text("ANALYZE")))
    found = await plans(stage, explain)
    await stage.database.close()
    assert {text: plan for text, plan in found.items() if postgresql_reads_too_much(plan)} == {}
