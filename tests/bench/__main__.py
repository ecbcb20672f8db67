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

from tests.bench import ceilings, scenarios
from tests.bench.processes import Server, started, stored_bytes
from tests.bench.scenarios import Bench, Result, Size

SIZES = {
    "smallest": Size(messages=256, queues=20, backlogs=(0, 200)),
    "quick": Size(messages=10_000, queues=1_000, backlogs=(0, 20_000)),
    "full": Size(messages=60_000, queues=10_000, backlogs=(0, 100_000, 1_000_000)),
}

_ECHO = "echo, 64 connections"


def main() -> None:
    """Read the arguments, run, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="quick", help="how much is done")
    parser.add_argument("--only", choices=scenarios.SCENARIOS, nargs="+", help="which scenarios")
    parser.add_argument("--database", help="database of the server (default: a new SQLite file)")
    parser.add_argument("--endpoint", help="measure the server at this URL instead")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    arguments = parser.parse_args()
    results = asyncio.run(measure(arguments))
    for line in table(results):
        say(line)
    if arguments.json:
        rows = [result._asdict() for result in results]
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


async def measure(arguments: argparse.Namespace) -> list[Result]:
    """Measure the ceilings and then each scenario, on a server of its own."""
    size = SIZES[arguments.size]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="queueserver-bench-") as made:
        directory = Path(made)
        progress("ceilings")
        results += await ceilings.echo(size.messages)
        results += ceilings.sqlite(directory, size.messages)
        for name in arguments.only or scenarios.SCENARIOS:
            progress(name)
            database = directory / f"{name}.db"
            url = arguments.database or f"sqlite:///{database}"
            with contextlib.ExitStack() as stack:
                if arguments.endpoint:
                    server = Server(arguments.endpoint, None)
                else:
                    server = stack.enter_context(
                        started("queueserver", "--port", "0", "--database", url)
                    )
                results += await scenarios.SCENARIOS[name](Bench(server, size))
            if database.exists():
                progress(f"{name}: {stored_bytes(database) / 1e6:.1f} MB on the disk")
    return results


def table(results: Iterable[Result]) -> Iterable[str]:
    """Lay the results out; the ratios are to the echo's CPU for each request, and to its rate."""
    found = list(results)
    echo = next(result for result in found if result.name == _ECHO)
    yield (
        f"{'scenario':<62}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'x echo':>8}"
        f"{'rate/echo':>11}{'RSS MB':>8}"
    )
    for result in found:
        yield (
            f"{result.name:<62}{result.per_second:>9,.0f}{result.p50_ms:>9.2f}{result.p99_ms:>9.2f}"
            f"{result.cpu_us:>9.0f}{result.cpu_us / echo.cpu_us if echo.cpu_us else 0:>8.2f}"
            f"{result.per_second / echo.per_second:>11.2f}{result.peak_mb:>8.0f}"
        )


def say(line: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def progress(line: str) -> None:
    """Tell what is being done."""
    sys.stderr.write(f"... {line}\n")


if __name__ == "__main__":
    main()
