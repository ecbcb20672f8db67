"""Simulate power loss under load and check the data on the disk: `python -m tests.power`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.power.cuts import cut, record


def main() -> int:
    """Run the command; the exit status is 1 if it found a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=1000, help="how often to cut the power")
    parser.add_argument("--per-run", type=int, default=100, help="cuts in one recording")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    is_clean = True
    for number in range(0, arguments.cuts, arguments.per_run):
        seed = arguments.seed + number
        with tempfile.TemporaryDirectory(prefix="queueserver-power-") as made:
            history, done = record(Path(made), seed, seconds=3)
        report = cut(history, done, min(arguments.per_run, arguments.cuts - number), seed)
        is_clean = is_clean and not report.findings
        sys.stdout.write("\n".join([*report.lines(), ""]))
        sys.stdout.flush()
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
