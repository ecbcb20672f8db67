"""`python -m tests.cluster`: the proofs of a cluster; `--long` makes them as large as can be."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    """Read the arguments, and run; what was done is written as it comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--long", action="store_true", help="large crowds, many faults, syncing")
    parser.add_argument("--minutes", type=float, help="how long the steady load goes on")
    parser.add_argument("--only", help="only tests whose names match this expression, as pytest's")
    arguments = parser.parse_args()
    if arguments.long:
        os.environ["QUEUESERVER_CLUSTER_LONG"] = "1"
    if arguments.minutes:
        os.environ["QUEUESERVER_CLUSTER_MINUTES"] = str(arguments.minutes)
    chosen = ["-k", arguments.only] if arguments.only else []
    return int(pytest.main(["-s", "-v", *chosen, str(Path(__file__).parent)]))


if __name__ == "__main__":
    sys.exit(main())
