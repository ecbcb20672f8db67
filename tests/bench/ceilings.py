"""Ceilings: an echo of JSON over HTTP, and databases without a server."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.client import json_request, run
from tests.bench.pgbench import OPERATIONS, cycles_per_second
from tests.bench.processes import started
from tests.bench.replay import Measured, replay
from tests.bench.scenarios import (
    BODY,
    CYCLES,
    CYCLES_BY_PGBENCH,
    DELETES,
    RECEIVES,
    SENDS,
    SINGLE_SENDS,
    Result,
    repeat,
)

_PER_TRANSACTION = 64


async def echo(messages: int) -> list[Result]:
    """Measure the bare handler with the request of a send."""
    results = []
    request = json_request("Echo", QueueUrl="http://bench/000000000000/q", MessageBody=BODY)
    with started("tests.bench.echo") as server:
        for connections in (1, 64, 256):
            before = server.usage()
            load = await run(server.url, connections, messages // connections, repeat(request))
            after = server.usage()
            results.append(
                Result(
                    f"echo, {connections} connections",
                    load.requests / load.seconds,
                    load.percentile(0.5),
                    load.percentile(0.99),
                    (after.cpu_seconds - before.cpu_seconds) / load.requests * 1e6,
                    after.peak_bytes / 1e6,
                )
            )
    return results


def sqlite(directory: Path, messages: int) -> list[Result]:
    """Measure inserts, claims and deletes in transactions of 64, and one insert in each."""
    connection = sqlite3.connect(directory / "ceiling.db", isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, visible_at INTEGER, body TEXT)",
        "CREATE INDEX visible ON messages (visible_at, id)",
    ):
        connection.execute(statement)

    def insert(first: int, count: int) -> None:
        rows = [(number, 0, BODY) for number in range(first, first + count)]
        connection.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)

    def claim(first: int, count: int) -> None:
        found = connection.execute(
            "SELECT id, body FROM messages WHERE visible_at <= 0 ORDER BY visible_at, id LIMIT ?",
            (count,),
        ).fetchall()
        rows = [(number,) for number, _ in found]
        connection.executemany("UPDATE messages SET visible_at = 1 WHERE id = ?", rows)

    def delete(first: int, count: int) -> None:
        rows = [(number,) for number in range(first, first + count)]
        connection.executemany("DELETE FROM messages WHERE id = ?", rows)

    results = []
    for name, work, count in (
        (SENDS, insert, _PER_TRANSACTION),
        (RECEIVES, claim, _PER_TRANSACTION),
        (DELETES, delete, _PER_TRANSACTION),
        (SINGLE_SENDS, insert, 1),
    ):
        measured = Measured([], 0.0)
        began = time.process_time()
        transactions = max(messages // 10 // count, 1) if count == 1 else messages // count
        for turn in range(transactions):
            started_at = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            work(1 + turn * count, count)
            connection.execute("COMMIT")
            measured.latencies.append(time.perf_counter() - started_at)
        cpu_seconds = time.process_time() - began
        results.append(_result(name, measured._replace(cpu_seconds=cpu_seconds), count))
    connection.close()
    return [*results, _together(results[:3])]


def postgresql(url: str, messages: int) -> list[Result]:
    """Measure the server's own statements, run by asyncpg alone, for 64 messages at once or 1.

    Also measure pgbench, with 64 clients that each run the statements for one message.
    """
    by_64 = replay(url, messages // _PER_TRANSACTION, _PER_TRANSACTION)
    results = [
        _result(name, measured, _PER_TRANSACTION)
        for name, measured in zip((SENDS, RECEIVES, DELETES), by_64, strict=True)
    ]
    singly = _result(SINGLE_SENDS, replay(url, max(messages // 100, 1), 1)[0], 1)
    operations = cycles_per_second(url, _PER_TRANSACTION, messages // 3) * OPERATIONS
    by_pgbench = Result(CYCLES_BY_PGBENCH, operations, 0.0, 0.0, 0.0, 0.0)
    return [*results, singly, _together(results), by_pgbench]


def _result(name: str, measured: Measured, count: int) -> Result:
    latencies = sorted(measured.latencies)
    done = len(latencies) * count
    return Result(
        name,
        done / sum(latencies),
        latencies[len(latencies) // 2] * 1000,
        latencies[len(latencies) * 99 // 100] * 1000,
        measured.cpu_seconds / done * 1e6,
        0.0,
    )


def _together(parts: Sequence[Result]) -> Result:
    """Return the result, per operation, of work that does each part equally often."""
    return Result(
        CYCLES,
        len(parts) / sum(1 / part.per_second for part in parts),
        sum(part.p50_ms for part in parts) / len(parts),
        max(part.p99_ms for part in parts),
        sum(part.cpu_us for part in parts) / len(parts),
        0.0,
    )
