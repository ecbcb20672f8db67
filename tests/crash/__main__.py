"""Kill a server under load and check its clients' history: `python -m tests.crash`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests import databases
from tests.access.load_access import OFF, access_on
from tests.crash.crashes import Report, crash
from tests.encryption import load_encryption
from tests.encryption.load_encryption import encryption_on


def main() -> int:
    """Run the command; the exit status is 1 if it found a violation or a server error."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--crashes", type=int, default=200, help="how often to kill the server")
    parser.add_argument("--per-run", type=int, default=20, help="crashes on one database")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--postgresql", action="store_true", help="use PostgreSQL, not SQLite")
    parser.add_argument("--access", action="store_true", help="check access, and sign requests")
    parser.add_argument("--encryption", action="store_true", help="encrypt all messages")
    arguments = parser.parse_args()
    is_clean = True
    with databases.postgresql_server() if arguments.postgresql else nullcontext() as server:
        for number in range(0, arguments.crashes, arguments.per_run):
            count = min(arguments.per_run, arguments.crashes - number)
            report = run(
                server,
                count,
                arguments.seed + number,
                checks_access=arguments.access,
                encrypts=arguments.encryption,
            )
            is_clean = is_clean and not report.findings and not report.failures
            sys.stdout.write("\n".join([*report.lines(), ""]))
            sys.stdout.flush()
    return 0 if is_clean else 1


def run(
    server: str | None, crashes: int, seed: int, *, checks_access: bool, encrypts: bool
) -> Report:
    """Crash a server on a new database: on the PostgreSQL at `server`, or in a SQLite file."""
    with tempfile.TemporaryDirectory(prefix="queueserver-crash-") as made:
        new = nullcontext(f"sqlite:///{made}/queueserver.db")
        with databases.temporary_database(server) if server else new as database:
            access = access_on(Path(made)) if checks_access else OFF
            encryption = encryption_on(Path(made)) if encrypts else load_encryption.OFF
            return asyncio.run(crash(database, Path(made), crashes, seed, access, encryption))


if __name__ == "__main__":
    sys.exit(main())
