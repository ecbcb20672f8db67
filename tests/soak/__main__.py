"""Load a server moderately for an hour: `python -m tests.soak`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Soak


def main() -> int:
    """Run the command; the exit status is 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="duration of the load")
    parser.add_argument("--database", help="database of the server (default: a new SQLite file)")
    parser.add_argument("--per-second", type=float, default=200, help="actions begun in a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="queueserver-soak-") as made:
        soak = Soak(
            arguments.database or f"sqlite:///{made}/queueserver.db",
            Path(made),
            arguments.minutes * 60,
            arguments.per_second,
            arguments.seed,
            write_line,
        )
        asyncio.run(soak.run())
    write_line("no findings" if not soak.findings else f"{len(soak.findings)} findings")
    return 1 if soak.findings else 0


def write_line(line: str) -> None:
    """Write a line to stdout at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
