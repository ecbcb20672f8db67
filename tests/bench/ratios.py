"""Ratios to the floor: the same load on both servers, in turns, in the same run.

Others on the machine can only make a round worse. The least CPU time of all rounds counts, and the
median of the rounds' ratios of rates: what slows one turn slows the next one, too. The standard
queue is the reference of the FIFO queue, and the echo that of a send.

Access control and TLS are compared with a server without them (see `added_costs`).
"""

from __future__ import annotations

import contextlib
from asyncio import to_thread
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import added_costs, workloads
from tests.bench.added_costs import Cost
from tests.bench.processes import Server, started
from tests.bench.scenarios import Bench, Size, wake
from tests.bench.workloads import Measured, Workload
from tests.databases import temporary_database

THIS = "this checkout"
FLOOR = "floor"
ECHO = "echo"


class Comparison(NamedTuple):
    """A workload and its reference: the same on the floor or the echo, or another one on itself.

    `cpu_target` is the highest ratio of the CPU time to aim at, `rate_target` the lowest ratio of
    the rate. `share` scales the number of messages.
    """

    workload: Workload
    reference: str | Workload
    cpu_target: float | None = None
    rate_target: float | None = None
    share: float = 1.0


COMPARISONS = (
    Comparison(workloads.LONE_SEND, FLOOR, rate_target=0.9, share=0.1),
    Comparison(workloads.SEND, FLOOR, 1.7, share=0.5),
    Comparison(workloads.SEND_IN_TENS, FLOOR, 1.5, share=1.5),
    Comparison(workloads.CYCLE, FLOOR, 1.8, share=0.25),
    Comparison(workloads.CYCLE_IN_TENS, FLOOR, 1.6, share=1),
    Comparison(workloads.EMPTY_IN_TENS, FLOOR, 1.6, share=1),
    Comparison(workloads.FIFO_CYCLE, workloads.CYCLE, 1.15, share=0.25),
    Comparison(workloads.SEND, ECHO, 1.0, share=0.5),
)
WAKE_UP_TARGET_MS = 1.0


class Ratio(NamedTuple):
    """The result of one checkout in one comparison: the rounds of both, in order."""

    name: str
    reference: str
    checkout: str
    ours: Sequence[Measured]
    other: Sequence[Measured]
    target: str

    @property
    def cpu(self) -> float:
        """Return the ratio of the least CPU times."""
        return _best(self.ours).cpu_us / _best(self.other).cpu_us

    @property
    def rate(self) -> float:
        """Return the median of the ratios of the rates."""
        rounds = zip(self.ours, self.other, strict=True)
        return median(ours.per_second / other.per_second for ours, other in rounds)


def _best(rounds: Sequence[Measured]) -> Measured:
    """Return the least CPU time and the highest rate."""
    return Measured(min(each.cpu_us for each in rounds), max(each.per_second for each in rounds))


class WakeUp(NamedTuple):
    """The medians from a send to the waiting receiver's answer, in milliseconds."""

    checkout: str
    ours_ms: float
    floor_ms: float


class Ratios(NamedTuple):
    """All that this part measures."""

    comparisons: Sequence[Ratio]
    wake_ups: Sequence[WakeUp]
    added_costs: Sequence[Cost]


async def measure(
    directory: Path, size: Size, checkouts: Mapping[str, Path], database: str | None
) -> Ratios:
    """Make every comparison for every checkout."""
    names = list(checkouts)
    found: list[Ratio] = []
    running = contextlib.ExitStack()
    # In threads, because databases of PostgreSQL are created and dropped in an event loop.
    servers = await to_thread(running.enter_context, _servers(directory, checkouts, database))
    try:
        for comparison in COMPARISONS:
            found += await _compare(comparison, servers, names, size)
        woken = await _wake_ups(servers, names, size)
    finally:
        await to_thread(running.close)
    # On PostgreSQL, the server does the same for access control and TLS as on SQLite.
    costs = await added_costs.measure(directory, size, checkouts) if database is None else []
    return Ratios(found, woken, costs)


@contextlib.contextmanager
def _servers(
    directory: Path, checkouts: Mapping[str, Path], database: str | None
) -> Iterator[Mapping[str, Server]]:
    """Start the server of each checkout, the floor and the echo; those without load use no CPU."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for number, (name, checkout) in enumerate(checkouts.items()):
            url = f"sqlite:///{directory / f'ratios-{number}.db'}"
            if database is not None:
                url = stack.enter_context(temporary_database(database))
            arguments = ("queueserver", "--port", "0", "--database", url)
            servers[name] = stack.enter_context(started(*arguments, checkout=checkout))
        floor = started("tests.bench.floor", str(directory / "floor.db"))
        servers[FLOOR] = stack.enter_context(floor)
        servers[ECHO] = stack.enter_context(started("tests.bench.echo"))
        yield servers


async def _compare(
    comparison: Comparison, servers: Mapping[str, Server], checkouts: Sequence[str], size: Size
) -> list[Ratio]:
    """Run the workload and its reference in turns."""
    workload, reference = comparison.workload, comparison.reference
    ours = {name: (name, workload) for name in checkouts}
    if isinstance(reference, Workload):
        others = {name: (name, reference) for name in checkouts}
    else:
        others = dict.fromkeys(checkouts, (reference, workload))
    rounds: defaultdict[tuple[str, Workload], list[Measured]] = defaultdict(list)
    for _ in range(size.rounds):
        # A reference that all checkouts have in common is measured once.
        for pair in dict.fromkeys([*ours.values(), *others.values()]):
            server, work = pair
            bench = Bench(servers[server], size)
            messages = int(size.messages * comparison.share)
            rounds[pair].append(await workloads.measure(bench, work, messages))
    label = reference.name if isinstance(reference, Workload) else reference
    return [
        Ratio(
            workload.name,
            label,
            name,
            rounds[ours[name]],
            rounds[others[name]],
            _target(comparison),
        )
        for name in checkouts
    ]


def _target(comparison: Comparison) -> str:
    if comparison.cpu_target is not None:
        return f"CPU <= {comparison.cpu_target:.2f}"
    return f"rate >= {comparison.rate_target:.2f}"


async def _wake_ups(
    servers: Mapping[str, Server], checkouts: Sequence[str], size: Size
) -> list[WakeUp]:
    """Measure wake-ups in turns; of all rounds, the lowest median counts."""
    times = max(size.messages // 100, 10)
    best: dict[str, float] = {}
    for _ in range(size.rounds):
        for name in (*checkouts, FLOOR):
            p50_ms = (await wake(Bench(servers[name], size), times)).percentile(0.5)
            best[name] = min(best.get(name, p50_ms), p50_ms)
    return [WakeUp(name, best[name], best[FLOOR]) for name in checkouts]


def table(ratios: Ratios) -> Iterable[str]:
    """Return the lines of a table."""
    yield (
        f"{'workload':<20}{'of':<26}{'us':>8}{'per s':>10}  {'reference':<10}{'us':>8}{'per s':>10}"
        f"{'CPU ratio':>11}{'rate ratio':>12}  target"
    )
    for row in ratios.comparisons:
        ours, other = _best(row.ours), _best(row.other)
        yield (
            f"{row.name:<20}{row.checkout[-24:]:<26}{ours.cpu_us:>8.1f}"
            f"{ours.per_second:>10,.0f}  {row.reference:<10}{other.cpu_us:>8.1f}"
            f"{other.per_second:>10,.0f}{row.cpu:>11.2f}{row.rate:>12.2f}  {row.target}"
        )
    for woken in ratios.wake_ups:
        yield (
            f"{'wake-up, p50':<20}{woken.checkout[-24:]:<26}{woken.ours_ms:>8.2f} ms, "
            f"{FLOOR} {woken.floor_ms:.2f} ms: {woken.ours_ms - woken.floor_ms:+.2f} ms  "
            f"target +{WAKE_UP_TARGET_MS:.2f} ms"
        )
    if ratios.added_costs:
        yield from ("", *added_costs.table(ratios.added_costs))
