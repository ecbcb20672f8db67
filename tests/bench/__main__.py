"""`python -m tests.bench`: run the scenarios, print the table."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import uvloop

from tests.bench import ceilings, scenarios
from tests.bench.facts import Fact, facts
from tests.bench.processes import Server, started
from tests.bench.scenarios import Bench, Result, Size

SIZES = {
    "smallest": Size(
        messages=256, queues=20, backlogs=(0, 200), receivers=20, watched_seconds=0.1, rounds=1
    ),
    "quick": Size(
        messages=10_000,
        queues=1_000,
        backlogs=(0, 20_000),
        receivers=1_000,
        watched_seconds=2,
        rounds=3,
    ),
    "full": Size(
        messages=60_000,
        queues=10_000,
        backlogs=(0, 100_000, 1_000_000),
        receivers=10_000,
        watched_seconds=5,
        rounds=5,
    ),
}

FACTS = "facts"
WHAT = (*scenarios.SCENARIOS, FACTS)

_ECHO = "echo, 64 connections"


def main() -> None:
    """Parse the arguments, run the benchmark, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--size", choices=SIZES, default="quick", help="how many messages, queues and receivers"
    )
    parser.add_argument("--only", choices=WHAT, nargs="+", help="run only these scenarios")
    parser.add_argument("--database", help="database of the server (default: a new SQLite file)")
    parser.add_argument("--endpoint", help="measure the server at this URL; start none")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    results, found = uvloop.run(measure(arguments))
    for line in table(results):
        write_line(line)
    for fact in found:
        write_line(f"{fact.name:<80}{fact.value:>12,.2f} {fact.unit}")
    if arguments.json:
        rows = [result._asdict() for result in results] + [fact._asdict() for fact in found]
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


async def measure(arguments: argparse.Namespace) -> tuple[list[Result], list[Fact]]:
    """Measure the ceilings, then each scenario on a new server."""
    size = SIZES[arguments.size]
    results: list[Result] = []
    found: list[Fact] = []
    with tempfile.TemporaryDirectory(prefix="queueserver-bench-") as made:
        directory = Path(made)
        show_progress("ceilings")
        results += await ceilings.echo(size.messages)
        if (arguments.database or "").startswith("postgresql:"):
            # In a thread, so that it runs on uvloop, as servers do.
            results += await asyncio.to_thread(
                ceilings.postgresql, arguments.database, size.messages
            )
        else:
            results += ceilings.sqlite(directory, size.messages)
        for name in arguments.only or WHAT:
            show_progress(name)
            if name == FACTS:
                if not arguments.endpoint and not arguments.database:
                    found = await facts(directory, size)
                continue
            database = directory / f"{name}.db"
            url = arguments.database or f"sqlite:///{database}"
            with contextlib.ExitStack() as stack:
                if arguments.endpoint:
                    server = Server(arguments.endpoint, None)
                else:
                    server = stack.enter_context(
                        started("queueserver", "--port", "0", "--database", url)
                    )
                measured = None if arguments.endpoint or arguments.database else database
                results += await scenarios.SCENARIOS[name](Bench(server, size, measured))
    return results, found


def table(results: Iterable[Result]) -> Iterable[str]:
    """Return the lines of a table; ratios are to the echo's CPU and rate, and the database's."""
    found = list(results)
    by_name = {result.name: result for result in found}
    echo = by_name[_ECHO]
    yield (
        f"{'scenario':<62}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'x echo':>8}"
        f"{'rate/echo':>11}{'rate/ceiling':>14}{'RSS MB':>8}{'disk B':>8}"
    )
    for result in found:
        beside = by_name.get(result.ceiling)
        share = f"{result.per_second / beside.per_second:.2f}" if beside else ""
        yield (
            f"{result.name:<62}{result.per_second:>9,.0f}{result.p50_ms:>9.2f}{result.p99_ms:>9.2f}"
            f"{result.cpu_us:>9.1f}{result.cpu_us / echo.cpu_us if echo.cpu_us else 0:>8.2f}"
            f"{result.per_second / echo.per_second:>11.2f}{share:>14}{result.peak_mb:>8.0f}"
            f"{result.disk_bytes:>8.0f}"
        )


def write_line(line: str) -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show_progress(line: str) -> None:
    """Print to stderr which part is running."""
    sys.stderr.write(f"... {line}\n")


if __name__ == "__main__":
    main()
