"""`python -m tests.bench`: run the parts, print their tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from asyncio import to_thread
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests.bench import ceilings, connected, counts, profile, ratios, scenarios
from tests.bench.facts import Fact, facts
from tests.bench.processes import ROOT, Server, started
from tests.bench.scenarios import Bench, Result, Size

SIZES = {
    "smallest": Size(
        messages=256,
        queues=20,
        backlogs=(0, 200),
        receivers=20,
        watched_seconds=0.1,
        rounds=1,
    ),
    "quick": Size(
        messages=10_000,
        queues=1_000,
        backlogs=(0, 20_000),
        receivers=1_000,
        watched_seconds=2,
        rounds=6,
    ),
    "full": Size(
        messages=60_000,
        queues=10_000,
        backlogs=(0, 100_000, 1_000_000),
        receivers=10_000,
        watched_seconds=5,
        rounds=10,
    ),
}

FACTS, RATIOS, COUNTS, PROFILE = "facts", "ratios", "counts", "profile"
WHAT = (*scenarios.SCENARIOS, FACTS, RATIOS, COUNTS, PROFILE)

_ECHO = "echo, 64 connections"


class Report(NamedTuple):
    """All results; those of `counts` and `profile` by checkout."""

    results: list[Result]
    facts: list[Fact]
    ratios: ratios.Ratios | None
    counts: dict[str, list[counts.Counts]]
    connections: dict[str, list[Fact]]
    profiles: dict[str, list[profile.Profile] | None]


def main() -> None:
    """Parse the arguments, run the benchmark, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--size", choices=SIZES, default="quick", help="how many messages, queues and receivers"
    )
    parser.add_argument("--only", choices=WHAT, nargs="+", help="run only these parts")
    parser.add_argument("--database", help="database of the server (default: a new SQLite file)")
    parser.add_argument("--endpoint", help="measure the server at this URL; start none")
    parser.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="DIRECTORY",
        help="another checkout, for ratios, counts and profile; may be repeated",
    )
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    report = uvloop.run(measure(arguments))
    for line in lines(report):
        write_line(line)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(report), indent=1) + "\n")


async def measure(arguments: argparse.Namespace) -> Report:
    """Run the parts that were asked for, or all that this server allows."""
    size = SIZES[arguments.size]
    parts = list(arguments.only or WHAT)
    if arguments.endpoint:
        parts = [part for part in parts if part in scenarios.SCENARIOS]
    elif arguments.database:
        parts = [part for part in parts if part not in {FACTS, COUNTS, PROFILE}]
    report = Report([], [], None, {}, {}, {})
    with tempfile.TemporaryDirectory(prefix="queueserver-bench-") as made:
        directory = Path(made)
        report.results.extend(await _scenarios(directory, size, parts, arguments))
        if FACTS in parts:
            show_progress(FACTS)
            report.facts.extend(await facts(directory, size))
        checkouts = {ratios.THIS: ROOT}
        checkouts |= {str(path.resolve()): path.resolve() for path in arguments.beside}
        if RATIOS in parts:
            show_progress(RATIOS)
            measured = await ratios.measure(directory, size, checkouts, arguments.database)
            report = report._replace(ratios=measured)
        for number, (name, checkout) in enumerate(checkouts.items()):
            place = directory / str(number)
            place.mkdir()
            if COUNTS in parts:
                show_progress(f"{COUNTS}, {name}")
                report.counts[name] = await counts.measure(place, size, checkout)
                report.connections[name] = await connected.measure(place, size, checkout)
            if PROFILE in parts:
                show_progress(f"{PROFILE}, {name}")
                report.profiles[name] = await profile.measure(place, size, checkout)
    return report


async def _scenarios(
    directory: Path, size: Size, parts: list[str], arguments: argparse.Namespace
) -> list[Result]:
    """Measure the ceilings, then each scenario on a new server."""
    names = [part for part in parts if part in scenarios.SCENARIOS]
    if not names:
        return []
    show_progress("ceilings")
    results = await ceilings.echo(size.messages)
    if (arguments.database or "").startswith("postgresql:"):
        # In a thread, so that it runs in an event loop of its own.
        results += await to_thread(ceilings.postgresql, arguments.database, size.messages)
    else:
        results += ceilings.sqlite(directory, size.messages)
    for name in names:
        show_progress(name)
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
    return results


def lines(report: Report) -> Iterable[str]:
    """Return the lines of all tables."""
    if report.results:
        yield from table(report.results)
    yield from map(_line, report.facts)
    if report.ratios:
        yield from ("", *ratios.table(report.ratios))
    for name, found in report.counts.items():
        yield from ("", f"counts of {name}", *counts.table(found))
        yield from map(_line, report.connections[name])
    yield from _profiles(report.profiles)


def as_json(value: object) -> object:
    """Return a value of lists, dicts and named tuples with the latter as dicts."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return value


def _profiles(profiles: Mapping[str, list[profile.Profile] | None]) -> Iterable[str]:
    for name, found in profiles.items():
        yield from ("", f"profile of {name}", *profile.table(found))


def _line(fact: Fact) -> str:
    return f"{fact.name:<80}{fact.value:>12,.2f} {fact.unit}"


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
