"""How databases go about the hot statements: along an index from its head, whatever the backlog."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
import sqlalchemy as sa

from storage import move_tasks, queue_delays, queues
from storage.messages import deduplication, dropped_queues, expiry, receive_attempts
from storage.messages.commands import ReceiveAttempt
from storage.queue_settings import QueueName, QueueSettings
from storage.queues import FIFO
from storage.transaction import Transaction
from tests.engine.recorder import Recording, recording
from tests.engine.stage import ACCOUNT, REGION, Stage, fifo_message, new_message, tenant_message

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


async def act(stage: Stage) -> Recording:
    """Do everything once that requests and the freeing of space do, in the last of the queues."""
    database = stage.database
    other = Stage(stage.url, stage.clock, database)
    other.queue = await other.create("other")
    await other.send(*"x" * 10)
    elsewhere = [received.receipt for received in await other.receive()]
    with recording() as heard:
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
        with database.waiters.register(stage.queue.id):
            await stage.receive(1)
        await stage.counts()
        await other.send("z")
        await act_on_tasks(stage, other, stage.queue.full_name)
        now_ms = stage.clock.now_ms()
        for time_ms in (now_ms, stage.queue.retention_ms):
            await database.read(expiry.queues_with_expired, [stage.queue], time_ms)
        await database.write(expiry.free_expired, stage.queue.id, 500)
        await stage.find("queue-0")
        await database.read(queues.list_after, 0, 200)
        await database.read(queues.list_names, stage.queue.account, stage.queue.region, "q", "", 10)
        await database.write(queues.purge, stage.queue)
        await database.write(dropped_queues.free_dropped, 500)
    return heard


async def act_on_groups(stage: Stage) -> Recording:
    """Do everything that only FIFO queues do, with blocked groups, wide and deep, all around."""
    for name in ("groups-0", "groups-1"):
        stage.queue = await stage.create(name, FIFO)
        many = [fifo_message("x", f"g{number}") for number in range(1_000)]
        await stage.database.submit(stage.sending(*many))
        await stage.send_to("deep", *["x"] * 1_000)
        await asyncio.gather(*(stage.receive(timeout_s=3_600) for _ in range(102)))
        stage.clock.advance(1)
    dead = await stage.beside("dead")
    await stage.redrive_to("dead", 1)
    again = stage.receiving(2, 20, attempt=ReceiveAttempt("again", []))
    with recording() as heard:
        message = fifo_message("x", "deep")
        new = [fifo_message("x", f"new-{number}") for number in range(30)]
        await stage.database.submit(stage.sending(message, message, *new))
        # What a server does that has just met another at new groups.
        stage.database.writer.conflicts_likely_until = inf
        await stage.database.submit(stage.sending(fifo_message("x", "newest")))
        stage.database.writer.conflicts_likely_until = -inf
        received = await stage.receive(10, timeout_s=60)
        await stage.change(received[0].receipt, 0)
        await asyncio.gather(stage.delete(*[r.receipt for r in received[1:5]]), stage.receive())
        await stage.release(received[6])
        await stage.database.submit(again)
        await stage.database.submit(stage.receiving(2, 20, attempt=ReceiveAttempt("again", [])))
        with stage.database.waiters.register(stage.queue.id):
            await stage.receive(3, timeout_s=0)
        stage.clock.advance(60)
        await stage.receive()
        await stage.receive(timeout_s=0)
        await stage.counts()
        stage.clock.advance(600)
        await stage.database.submit(stage.sending(message))
        await stage.database.write(deduplication.free_expired, 500)
        await stage.database.write(receive_attempts.free_expired, 500)
        change = queues.change_attributes
        settings = QueueSettings(0, stage.queue.redrive)
        await stage.database.write(change, stage.queue, {}, settings, delay_ms=5_000)
        await stage.refresh()
        await stage.database.write(queue_delays.apply_pending, 500)
        await act_on_tasks(stage, dead)
        await stage.database.write(expiry.free_expired, stage.queue.id, 10)
        await stage.database.write(queues.purge, stage.queue)
        for _ in range(6):
            await stage.database.write(dropped_queues.free_dropped, 500)
    return heard


async def act_on_tasks(stage: Stage, dead: Stage, destination: QueueName | None = None) -> None:
    """Begin, run and list a move task."""
    assert (await dead.counts())[0] > 0
    write = stage.database.write
    await write(move_tasks.start, "task", dead.queue, destination, None, 1)
    for _ in range(2):
        await write(move_tasks.step, "task", 100)
    await stage.database.read(move_tasks.latest, ACCOUNT, REGION, dead.queue.name, 10)


async def act_on_tenants(stage: Stage) -> Recording:
    """Receive from a queue with noisy tenants and quiet ones."""
    for name in ("tenants-0", "tenants-1"):
        stage.queue = await stage.create(name)
        for tenant in ("noisy", *(f"t{number}" for number in range(20)), "noisy"):
            many = [tenant_message("x", tenant)] * (4_000 if tenant == "noisy" else 50)
            await stage.database.submit(stage.sending(*many))
            stage.clock.advance(0.001)
        await stage.receive(60, timeout_s=60)
        stage.clock.advance(2)
    with recording() as heard:
        await stage.send("x")
        await stage.receive()
        stage.in_flight_limit = 70
        with stage.database.waiters.register(stage.queue.id):
            await asyncio.gather(stage.receive(1), stage.receive(10), return_exceptions=True)
    return heard


Act = Callable[[Stage], Awaitable[Recording]]
ACTS = [
    pytest.param(act, 20, id="everything"),
    pytest.param(act_on_groups, 30, id="groups"),
    pytest.param(act_on_tenants, 9, id="tenants"),
]


Values = tuple[Any, ...]
Explain = Callable[[sa.Connection, str, Values], sa.CursorResult[Any]]


def hot(heard: Recording) -> dict[str, Values]:
    """Give each statement that looks for rows once, with parameters that it really had."""
    return {
        text: parameters
        for text, parameters in heard.statements
        if " WHERE " in text.replace("\n", " ") and "properties" not in text
    }


def explain_on_sqlite(connection: sa.Connection, text: str, values: Values) -> sa.CursorResult[Any]:
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)


def explain_on_postgresql(connection: sa.Connection, text: str, _: Values) -> sa.CursorResult[Any]:
    """Ask for the plan that is made once for all parameters."""
    connection.exec_driver_sql(f"PREPARE asked AS {text}")
    nulls = ", ".join(["NULL"] * max(map(int, re.findall(r"\$([0-9]+)", text))))
    plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE asked({nulls})")
    connection.exec_driver_sql("DEALLOCATE asked")
    return plan


async def plans(stage: Stage, act: Act, at_least: int, explain: Explain) -> dict[str, list[str]]:
    """Give how the database goes about each hot statement, line by line."""
    statements = hot(await act(stage))

    def ask(transaction: Transaction) -> dict[str, list[str]]:
        return {
            text: [str(row[-1]) for row in explain(transaction.connection, text, parameters)]
            for text, parameters in statements.items()
        }

    found = await stage.database.write(ask)
    assert len(statements) > at_least
    return found


def sqlite_reads_too_much(plan: list[str]) -> bool:
    """Tell whether there is anything but searches; what was found may be walked and grouped."""
    # What a statement found itself, so many rows at most.
    bounded = ("SCAN walk", "SCAN in_flight", "SCAN tenants", "SCAN looked_at", "SCAN (subquery")
    harmless = ("CONSTANT", "SCAN json_each", "TEMP B-TREE FOR GROUP BY", *bounded)
    return any(
        ("TEMP B-TREE" in step or step.startswith("SCAN"))
        and not any(word in step for word in harmless)
        for step in plan
    )


_READ_TOO_MUCH = (
    "Seq Scan",
    "Incremental Sort",
    "Bitmap",
    "Hash Join",
    "Merge",
    "Join Filter",
    "Materialize",
)
_FILTERS_A_QUEUE = re.compile(
    r"Index Cond: \(queue_id = [^)]*\)\n *Filter: .*(visible_at_ms|group_id|key|\bid\b)"
)
"""A plan that reads all of a queue for a few of its rows."""
_OF_A_LIST = re.compile(
    r"^(\(\(\w+\.?\w* (\+ 0\)\)|\|\| ''::text COLLATE \"C\"\)\) COLLATE \"C\")"
    r"(, | NULLS FIRST|$))+$"
)
"""What only rows are sorted by that a list has named."""


def postgresql_reads_too_much(plan: list[str]) -> bool:
    """Tell whether there is anything but scans of an index that begin where it says."""
    whole = "\n".join(plan)
    if any(word in whole for word in _READ_TOO_MUCH):
        return True
    if _FILTERS_A_QUEUE.search(whole):
        return True
    if any(not _OF_A_LIST.search(key) for key in re.findall(r"Sort Key: (.*)", whole)):
        return True
    return len(re.findall(r"Index (Only )?Scan", whole)) != whole.count("Index Cond:")


@pytest.mark.parametrize(("act", "at_least"), ACTS)
async def test_sqlite_searches_an_index_for_every_hot_statement(
    sqlite: str, act: Act, at_least: int
) -> None:
    stage = await Stage.open(sqlite)
    await fill(stage)
    found = await plans(stage, act, at_least, explain_on_sqlite)
    await stage.database.close()
    assert {text: plan for text, plan in found.items() if sqlite_reads_too_much(plan)} == {}


@pytest.mark.parametrize("analyzed", [False, True], ids=["without-statistics", "with-statistics"])
@pytest.mark.parametrize(("act", "at_least"), ACTS)
async def test_postgresql_searches_an_index_for_every_hot_statement(
    postgresql: str, analyzed: bool, act: Act, at_least: int
) -> None:
    stage = await Stage.open(postgresql)
    await fill(stage)
    if analyzed:
        await stage.database.write(lambda tx: tx.connection.execute(sa.text("ANALYZE")))
    found = await plans(stage, act, at_least, explain_on_postgresql)
    await stage.database.close()
    assert {text: plan for text, plan in found.items() if postgresql_reads_too_much(plan)} == {}
