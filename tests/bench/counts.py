"""Counts per request and per message: tasks, memory, system calls, statements, written pages.

Counts do not depend on how busy the machine is, except that the size of transactions does. The
server runs with counters (`counted.py`), or under strace, and is therefore slower than usual.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import workloads
from tests.bench.client import loop, opened
from tests.bench.processes import Server, log_position, started
from tests.bench.scenarios import Bench, Size
from tests.bench.workloads import Workload

COUNTED = (
    workloads.SEND,
    workloads.RECEIVE,
    workloads.DELETE,
    workloads.SEND_IN_TENS,
    workloads.RECEIVE_IN_TENS,
    workloads.DELETE_IN_TENS,
)

_PARTS = 4
_LONE_REQUESTS = 10
_SCRIPT = str(Path(__file__).with_name("counted.py"))


class Work(NamedTuple):
    """The server's work for 64 connections; `pages` are frames of the write-ahead log.

    `pages` is None if SQLite began its log again in each part of the run.
    """

    tasks_per_request: float
    calls_per_message: float
    statements_per_message: float
    messages_per_commit: float
    pages_per_message: float | None


class Memory(NamedTuple):
    """The memory of one request alone: bytes at the peak, blocks at COMMIT, and blocks kept."""

    peak_bytes: float
    blocks_at_commit: float
    blocks_kept: float


class Counts(NamedTuple):
    """The counts of one workload; `system_calls` per request, by name, None without strace."""

    name: str
    work: Work
    memory: Memory
    system_calls: Mapping[str, float] | None


Ask = Callable[[], Mapping[str, int]]
"""Returns the server's counters."""


async def measure(directory: Path, size: Size, checkout: Path) -> list[Counts]:
    """Count each workload of one checkout."""
    messages = size.messages // 4
    database = directory / "work.db"
    with _counted("work", database, checkout) as (server, ask):
        bench = Bench(server, size)
        works = [await _count_work(bench, each, messages, ask, database) for each in COUNTED]
    with _counted("memory", directory / "memory.db", checkout) as (server, ask):
        bench = Bench(server, size)
        memories = [await _count_memory(bench, each, ask) for each in COUNTED]
    flags = ("--port", "0", "--database", f"sqlite:///{directory / 'traced.db'}")
    with started("queueserver", *flags, checkout=checkout) as server:
        bench = Bench(server, size)
        traced = [await _count_system_calls(bench, each, messages) for each in COUNTED]
    return [
        Counts(each.name, work, memory, system_calls)
        for each, work, memory, system_calls in zip(COUNTED, works, memories, traced, strict=True)
    ]


@contextlib.contextmanager
def _counted(mode: str, database: Path, checkout: Path) -> Iterator[tuple[Server, Ask]]:
    """Start a server with counters; yield it, and a function that returns them."""
    questions, asks = os.pipe()
    answers, answered = os.pipe()
    inherited = (questions, answered)
    arguments = (_SCRIPT, mode, *map(str, inherited))
    flags = ("--port", "0", "--database", f"sqlite:///{database}")
    with started(*arguments, *flags, checkout=checkout, pass_fds=inherited) as server:
        for descriptor in inherited:
            os.close(descriptor)
        with os.fdopen(answers) as lines:

            def ask() -> Mapping[str, int]:
                os.write(asks, b"?")
                found: dict[str, int] = json.loads(lines.readline())
                return found

            yield server, ask
        os.close(asks)


async def _count_work(
    bench: Bench, workload: Workload, messages: int, ask: Ask, database: Path
) -> Work:
    """Count in several parts of a run; pages only in parts in which the log was not restarted."""
    turns = workload.turns(messages)
    step = await workload.prepare(bench, workload.moved(1 + turns))
    pages = logged = requests = moved = 0
    async with opened(bench.server.url, workload.connections) as workers:
        await loop(workers, 1, step)
        before = ask()
        for _ in range(min(_PARTS, turns)):
            first = log_position(database)
            load = await loop(workers, max(turns // _PARTS, 1), step)
            last = log_position(database)
            requests += len(load.latencies)
            moved += load.requests
            if first.salt == last.salt:
                pages += last.frames - first.frames
                logged += load.requests
        after = ask()
    found = {name: after[name] - before.get(name, 0) for name in after}
    return Work(
        found["tasks"] / requests,
        found["calls"] / moved,
        found["statements"] / moved,
        moved / max(found["commits"], 1),
        pages / logged if logged else None,
    )


async def _count_memory(bench: Bench, workload: Workload, ask: Ask) -> Memory:
    """Measure one request after the other, and subtract what the questions take."""
    many = bench.size.messages // 50
    step = await workload.prepare(bench, (2 * _LONE_REQUESTS + many) * workload.each)
    async with opened(bench.server.url, 1) as workers:
        await loop(workers, _LONE_REQUESTS, step)
        ask()
        without = [ask() for _ in range(_LONE_REQUESTS)]
        found = []
        for _ in range(_LONE_REQUESTS):
            await loop(workers, 1, step)
            found.append(ask())
        await loop(workers, many, step)
        kept = ask()["blocks_kept"]
    return Memory(
        median(each["peak_bytes"] for each in found)
        - median(each["peak_bytes"] for each in without),
        median(each["blocks_at_commit"] for each in found),
        kept / many,
    )


async def _count_system_calls(
    bench: Bench, workload: Workload, messages: int
) -> Mapping[str, float] | None:
    """Count with strace, if the machine has it and lets it trace."""
    if shutil.which("strace") is None:
        return None
    turns = workload.turns(messages)
    step = await workload.prepare(bench, workload.moved(1 + turns))
    async with opened(bench.server.url, workload.connections) as workers:
        await loop(workers, 1, step)
        arguments = ("strace", "-c", "-f", "-p", str(bench.server.pid))
        tracer = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.PIPE)
        assert tracer.stderr is not None
        if b"attached" not in await tracer.stderr.readline():
            await tracer.communicate()
            return None
        load = await loop(workers, turns, step)
        tracer.send_signal(signal.SIGINT)
        _, text = await tracer.communicate()
    return {name: calls / len(load.latencies) for name, calls in summary(text.decode()).items()}


def summary(text: str) -> dict[str, int]:
    """Return the calls by name in strace's summary.

    Its columns are: % of the time, seconds, us per call, calls, errors if there were any, name.
    """
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", text, re.MULTILINE)
    return {name: int(calls) for calls, name in rows if name != "total"}


def table(counts: Iterable[Counts]) -> Iterable[str]:
    """Return the lines of a table, and then the system calls by name."""
    found = list(counts)
    yield (
        f"{'':<17}{'tasks':>9}{'sys calls':>11}{'peak KB':>9}{'blocks':>9}{'kept':>7}"
        f"{'calls':>10}{'statements':>12}{'pages':>9}{'messages':>10}"
    )
    per_request, per_message = "/request", "/message"
    yield (
        f"{'':<17}{per_request:>9}{per_request:>11}{per_request:>9}{per_request:>9}{'':>7}"
        f"{per_message:>10}{per_message:>12}{per_message:>9}{'/commit':>10}"
    )
    for row in found:
        work, memory = row.work, row.memory
        calls = "-" if row.system_calls is None else f"{sum(row.system_calls.values()):.2f}"
        pages = "-" if work.pages_per_message is None else f"{work.pages_per_message:.2f}"
        yield (
            f"{row.name:<17}{work.tasks_per_request:>9.2f}{calls:>11}"
            f"{memory.peak_bytes / 1e3:>9.1f}{memory.blocks_at_commit:>9.0f}"
            f"{memory.blocks_kept:>7.1f}{work.calls_per_message:>10.2f}"
            f"{work.statements_per_message:>12.2f}{pages:>9}{work.messages_per_commit:>10.1f}"
        )
    for row in found:
        if row.system_calls is None:
            yield f"system calls of {row.name}: not available without strace"
        else:
            most = sorted(row.system_calls.items(), key=lambda item: -item[1])
            shown = ", ".join(f"{name} {calls:.2f}" for name, calls in most if calls >= 0.01)
            yield f"system calls of {row.name}: {shown}"
