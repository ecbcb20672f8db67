"""How databases go about the hot statements: along an index from its head, whatever the backlog."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from storage.transaction import Transaction
from tests.engine.queue_client import (
    QueueClient,
)
from tests.engine.recorder import Recording
from tests.engine.workloads import fill, run_fair_queue_requests, run_fifo_requests, run_requests

Workload = Callable[[QueueClient], Awaitable[Recording]]
WORKLOADS = [
    pytest.param(run_requests, 20, id="everything"),
    pytest.param(run_fifo_requests, 30, id="groups"),
    pytest.param(run_fair_queue_requests, 9, id="tenants"),
]


Values = tuple[Any, ...]
Explain = Callable[[sa.Connection, str, Values], sa.CursorResult[Any]]


def hot(record: Recording) -> dict[str, Values]:
    """Give each statement that looks for rows once, with parameters that it really had."""
    return {
        text: parameters
        for text, parameters in record.statements
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


async def plans(
    client: QueueClient, workload: Workload, at_least: int, explain: Explain
) -> dict[str, list[str]]:
    """Give how the database goes about each hot statement, line by line."""
    statements = hot(await workload(client))

    def ask(transaction: Transaction) -> dict[str, list[str]]:
        return {
            text: [str(row[-1]) for row in explain(transaction.connection, text, parameters)]
            for text, parameters in statements.items()
        }

    found = await client.database.write(ask)
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


@pytest.mark.parametrize(("workload", "at_least"), WORKLOADS)
async def test_sqlite_searches_an_index_for_every_hot_statement(
    sqlite: str, workload: Workload, at_least: int
) -> None:
    client = await QueueClient.open(sqlite)
    await fill(client)
    found = await plans(client, workload, at_least, explain_on_sqlite)
    await client.database.close()
    assert {text: plan for text, plan in found.items() if sqlite_reads_too_much(plan)} == {}


@pytest.mark.parametrize("analyzed", [False, True], ids=["without-statistics", "with-statistics"])
@pytest.mark.parametrize(("workload", "at_least"), WORKLOADS)
async def test_postgresql_searches_an_index_for_every_hot_statement(
    postgresql: str, analyzed: bool, workload: Workload, at_least: int
) -> None:
    client = await QueueClient.open(postgresql)
    await fill(client)
    if analyzed:
        await client.database.write(lambda tx: tx.connection.execute(sa.text("ANALYZE")))
    found = await plans(client, workload, at_least, explain_on_postgresql)
    await client.database.close()
    assert {text: plan for text, plan in found.items() if postgresql_reads_too_much(plan)} == {}
