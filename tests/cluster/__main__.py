"""Test several servers on one PostgreSQL: `python -m tests.cluster`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    """Run the tests with their output shown; return pytest's exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument(
        "--long", action="store_true", help="large loads, many faults, a PostgreSQL that syncs"
    )
    parser.add_argument("--minutes", type=float, help="duration of the steady load")
    parser.add_argument("--access", action="store_true", help="check access, and sign requests")
    parser.add_argument("--encryption", action="store_true", help="encrypt all messages")
    parser.add_argument("--only", help="run the tests whose names match this expression of pytest")
    arguments = parser.parse_args()
    if arguments.long:
        os.environ["QUEUESERVER_CLUSTER_LONG"] = "1"
    if arguments.access:
        os.environ["QUEUESERVER_CLUSTER_ACCESS"] = "1"
    if arguments.encryption:
        os.environ["QUEUESERVER_CLUSTER_ENCRYPTION"] = "1"
    if arguments.minutes:
        os.environ["QUEUESERVER_CLUSTER_MINUTES"] = str(arguments.minutes)
    chosen = ["-k", arguments.only] if arguments.only else []
    return int(pytest.main(["-s", "-v", *chosen, str(Path(__file__).parent)]))


if __name__ == "__main__":
    sys.exit(main())
