"""Start the server with counters: `python -P counted.py MODE QUESTIONS ANSWERS [flags]`.

QUESTIONS and ANSWERS are descriptors of pipes. Each byte on the first asks for the counters, which
are a line of JSON on the second. There are two modes, because one would disturb the other:

- `work`: the tasks that were made, the calls of sqlite3, and the statements that SQLite ran;
- `memory`: the memory since the last question: the most bytes, and the blocks at the last COMMIT
  and now, all of them as a difference to that time.

The server's code is that of the directory in PYTHONPATH. This script imports nothing of the tests,
so that it can count another checkout.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sqlite3
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Self

counters: Counter[str] = Counter()


def main() -> int:
    """Install the counters of a mode, report them on a thread, and run the server."""
    mode, questions, answers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    del sys.argv[1:4]
    report = count_work() if mode == "work" else count_memory()
    threading.Thread(target=_answer, args=(report, questions, answers), daemon=True).start()

    from queueserver.entry_point import main as run

    return run()


def _answer(report: Callable[[], dict[str, int]], questions: int, answers: int) -> None:
    # Without buffers, which would be part of the measured memory.
    while os.read(questions, 1):
        os.write(answers, json.dumps(report()).encode() + b"\n")


def count_work() -> Callable[[], dict[str, int]]:
    """Count tasks, calls and statements from now on; return a function that returns them."""
    # No module has a reference to the class yet: asyncio alone is imported.
    asyncio.Task = asyncio.tasks.Task = CountedTask  # type: ignore[misc, assignment]
    _make_connections(CountedConnection, _count_statement)
    return lambda: dict(counters)


class CountedTask(asyncio.Task[Any]):
    """A task that is counted when it is made."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], **options: object) -> None:
        counters["tasks"] += 1
        super().__init__(coroutine, **options)  # type: ignore[arg-type]


class CountedCursor(sqlite3.Cursor):
    """A cursor that counts calls."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Self:  # type: ignore[override]
        counters["calls"] += 1
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> Self:  # type: ignore[override]
        counters["calls"] += 1
        return super().executemany(sql, parameters)


class CountedConnection(sqlite3.Connection):
    """A connection that counts calls, its own ones too: they pass none of its cursors."""

    def cursor(self, factory: type[sqlite3.Cursor] = CountedCursor) -> sqlite3.Cursor:  # type: ignore[override]
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        counters["calls"] += 1
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> sqlite3.Cursor:  # type: ignore[override]
        counters["calls"] += 1
        return super().executemany(sql, parameters)


def _count_statement(text: str) -> None:
    counters["statements"] += 1
    counters["commits"] += text == "COMMIT"


def count_memory() -> Callable[[], dict[str, int]]:
    """Measure memory from now on; return a function that reports it."""
    tracemalloc.start()
    _make_connections(sqlite3.Connection, _note_blocks)
    before: Counter[str] = Counter()

    def report() -> dict[str, int]:
        peak = tracemalloc.get_traced_memory()[1]
        gc.collect()
        blocks = sys.getallocatedblocks()
        found = {
            "peak_bytes": peak - before["bytes"],
            "blocks_at_commit": counters["blocks_at_commit"] - before["blocks"],
            "blocks_kept": blocks - before["blocks"],
        }
        tracemalloc.reset_peak()
        before["blocks"], before["bytes"] = blocks, tracemalloc.get_traced_memory()[0]
        return found

    return report


def _note_blocks(text: str) -> None:
    if text == "COMMIT":
        counters["blocks_at_commit"] = sys.getallocatedblocks()


def _make_connections(
    factory: type[sqlite3.Connection], note_statement: Callable[[str], None]
) -> None:
    """Make every connection with this class, and call a function before each statement."""
    connect = sqlite3.connect

    def make(database: str, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(database, factory=factory, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(note_statement)
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = make  # type: ignore[assignment]


if __name__ == "__main__":
    sys.exit(main())
