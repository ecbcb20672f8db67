"""The share of each layer in the server's CPU time, by samples of py-spy.

A sample belongs to the layer of its innermost frame that is in the table: a library that the server
calls, such as msgspec or hashlib, counts for the layer that calls it. The rest
is the event loop's: uvloop, and the reads of sockets.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import workloads
from tests.bench.client import loop, opened
from tests.bench.processes import ROOT, started
from tests.bench.scenarios import Bench, Size
from tests.bench.workloads import Workload

PROFILED = (
    workloads.SEND,
    workloads.SEND_IN_TENS,
    workloads.CYCLE,
    workloads.FIFO_CYCLE,
    workloads.CYCLE_IN_TENS,
)

LAYERS: Mapping[str, Sequence[str]] = {
    "HTTP": ("queueserver/http/",),
    "HTTP (aiohttp)": ("aiohttp/", "multidict/", "yarl/", "frozenlist/", "httptools/"),
    "codec": ("protocol/",),
    "identity": ("queueserver/identity/", "queueserver/context.py"),
    "actions and rules": ("queueserver/",),
    "storage: messages": ("storage/messages/",),
    "storage: waiting": ("storage/waiting/",),
    "storage: SQL statements": ("storage/sql/", "storage/schema.py"),
    "SQLite": ("storage/sqlite/", "sqlite3/"),
    "PostgreSQL": ("storage/postgresql/", "asyncpg/"),
    "SQLAlchemy": ("sqlalchemy/",),
    "storage: commit": ("storage/",),
    "event loop": ("asyncio/", "uvloop/"),
}
"""The layers and their paths. The longest path that matches a module counts.

So a new module or room belongs to its package's layer until it has a row of its own.
"""
OTHER = "other"
_IDLE = ("concurrent/futures/thread.py", "aiosqlite/core.py", "threading.py", "queue.py")
"""Modules in which threads wait for work; py-spy takes some of these threads for busy ones."""

_PATHS = {path: layer for layer, paths in LAYERS.items() for path in paths}
_RATE = 400


class Profile(NamedTuple):
    """Shares of layers in the samples, the kernel's share in the CPU time, and that per message."""

    name: str
    layers: Mapping[str, float]
    kernel: float
    cpu_us: float


async def measure(directory: Path, size: Size, checkout: Path) -> list[Profile] | None:
    """Measure each workload on one server of a checkout; None without py-spy."""
    program = Path(sys.executable).with_name("py-spy")
    found = str(program) if program.exists() else shutil.which("py-spy")
    if found is None:
        return None
    flags = ("--port", "0", "--database", f"sqlite:///{directory / 'profile.db'}")
    with started("queueserver", *flags, checkout=checkout) as server:
        bench = Bench(server, size)
        output = directory / "samples"
        return [await _profile(bench, each, found, output, checkout) for each in PROFILED]


async def _profile(
    bench: Bench, workload: Workload, py_spy: str, output: Path, checkout: Path
) -> Profile:
    """Run a workload until py-spy has sampled the server for long enough."""
    server, size = bench.server, bench.size
    step = await workload.prepare(bench, size.messages)
    seconds = max(round(size.watched_seconds * 2), 1)
    arguments = ("record", "--pid", str(server.pid), "--duration", str(seconds))
    options = ("--rate", str(_RATE), "--format", "raw", "--full-filenames", "--output", str(output))
    messages = 0
    async with opened(server.url, workload.connections) as workers:
        await loop(workers, workload.turns(size.messages // 10), step)
        sampler = await asyncio.create_subprocess_exec(
            *(py_spy, *arguments, *options),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        before, kernel_before = server.usage().cpu_seconds, server.kernel_seconds()
        sampled = asyncio.ensure_future(sampler.wait())
        while not sampled.done():
            messages += (await loop(workers, 4, step)).requests
        used, kernel = server.usage().cpu_seconds - before, server.kernel_seconds() - kernel_before
    layers = shares(_lines(output), checkout) if sampled.result() == 0 else {}
    return Profile(workload.name, layers, kernel / used, used / messages * 1e6)


def _lines(path: Path) -> Sequence[str]:
    return path.read_text().splitlines()


def shares(lines: Iterable[str], checkout: Path) -> dict[str, float]:
    """Return each layer's share of samples; a line is a stack, outermost frame first, and a count.

    A frame is `function (path:line)`.
    """
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        paths = [frame.rpartition("(")[2].partition(":")[0] for frame in stack.split(";")]
        layer = next(filter(None, (layer_of(path, checkout) for path in reversed(paths))), None)
        if layer or not paths[-1].endswith(_IDLE):
            found[layer or OTHER] += int(count)
    total = found.total() or 1
    return {layer: found[layer] / total for layer in (*LAYERS, OTHER) if found[layer]}


def layer_of(path: str, checkout: Path = ROOT) -> str | None:
    """Return the layer of a module by its path, None if its caller's layer counts."""
    inner = path.removeprefix(f"{checkout}/").rpartition("site-packages/")[2]
    if inner.startswith("/"):
        # The standard library: .../lib/python3.13/asyncio/events.py
        inner = "/".join(Path(inner).parts[-2:])
    matching = [known for known in _PATHS if inner.startswith(known)]
    return _PATHS[max(matching, key=len)] if matching else None


def table(profiles: Sequence[Profile] | None) -> Iterable[str]:
    """Return the lines of a table: a row for each layer, a column for each workload."""
    if profiles is None:
        yield "profile: not available without py-spy (pip install py-spy)"
        return
    yield f"{'share of the CPU time':<26}" + "".join(f"{each.name:>16}" for each in profiles)
    for layer in (*LAYERS, OTHER):
        if any(layer in each.layers for each in profiles):
            cells = (f"{each.layers.get(layer, 0):>15.1%} " for each in profiles)
            yield f"{layer:<26}" + "".join(cells)
    yield f"{'in the kernel':<26}" + "".join(f"{each.kernel:>15.1%} " for each in profiles)
    yield f"{'CPU us per message':<26}" + "".join(f"{each.cpu_us:>15.1f} " for each in profiles)
