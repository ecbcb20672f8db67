"""Query plans of the hot statements: each searches an index, whatever the backlog."""

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


def searches(record: Recording) -> dict[str, Values]:
    """Return each statement that searches for rows, with parameters that it ran with."""
    return {
        text: parameters
        for text, parameters in record.statements
        if " WHERE " in text.replace("\n", " ") and "properties" not in text
    }


def explain_on_sqlite(connection: sa.Connection, text: str, values: Values) -> sa.CursorResult[Any]:
    """Return the plan for these parameters."""
    return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)


def explain_on_postgresql(connection: sa.Connection, text: str, _: Values) -> sa.CursorResult[Any]:
    """Return the generic plan, which is made once for all parameters."""
    connection.exec_driver_sql(f"PREPARE explained AS {text}")
    nulls = ", ".join(["NULL"] * max(map(int, re.findall(r"\$([0-9]+)", text))))
    plan = connection.exec_driver_sql(f"EXPLAIN EXECUTE explained({nulls})")
    connection.exec_driver_sql("DEALLOCATE explained")
    return plan


async def plans(
    client: QueueClient, workload: Workload, at_least: int, explain: Explain
) -> dict[str, list[str]]:
    """Return the lines of each hot statement's plan."""
    statements = searches(await workload(client))

    def explain_all(transaction: Transaction) -> dict[str, list[str]]:
        return {
            text: [str(row[-1]) for row in explain(transaction.connection, text, parameters)]
            for text, parameters in statements.items()
        }

    found = await client.database.write(explain_all)
    assert len(statements) > at_least
    return found


def sqlite_reads_too_much(plan: list[str]) -> bool:
    """Return whether a plan has more than searches, and scans or groupings of found rows."""
    # Results of subqueries, which have a limit.
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
"""A plan that reads all rows of a queue to find a few of them."""
_SORTS_A_LIST = re.compile(
    r"^(\(\(\w+\.?\w* (\+ 0\)\)|\|\| ''::text COLLATE \"C\"\)\) COLLATE \"C\")"
    r"(, | NULLS FIRST|$))+$"
)
"""Sort keys of rows that a list of ids or names selects."""
_SORTS_A_CLAIM = "first_ready.queued_at_ms, first_ready.id"
"""Sort keys of the rows of a claim, whose number is limited."""


def postgresql_reads_too_much(plan: list[str]) -> bool:
    """Return whether a plan has more than index scans with an index condition."""
    whole = "\n".join(plan)
    if any(word in whole for word in _READ_TOO_MUCH):
        return True
    if _FILTERS_A_QUEUE.search(whole):
        return True
    for key in re.findall(r"Sort Key: (.*)", whole):
        if key != _SORTS_A_CLAIM and not _SORTS_A_LIST.search(key):
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
