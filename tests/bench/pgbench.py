"""pgbench: PostgreSQL's throughput for clients that share nothing.

An application with its own queue table reaches this rate with as many connections as
the benchmark has clients. There is no group commit: each operation waits for its own COMMIT.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
from pathlib import Path

from storage.schema import numbers
from tests.bench.scenarios import BODY
from tests.cluster.postgres import PROGRAMS
from tests.databases import temporary_database
from tests.engine.queue_client import QueueClient

OPERATIONS = 3
"""In a cycle: send, receive, delete."""

_NEVER_MS = 2**53

_CYCLE = f"""
BEGIN;
INSERT INTO messages (queue_id, id, visible_at_ms, queued_at_ms, sent_at_ms, body_id, size,
        receive_count, earlier_receives)
    VALUES (1, nextval('{numbers.name}'), 0, 1, 1, currval('{numbers.name}'), {len(BODY)}, 0, 0)
    RETURNING id \\gset
INSERT INTO bodies (queue_id, id, message_id, body, envelope)
    VALUES (1, :id, '\\x00', '{BODY}', '\\x00');
COMMIT;
WITH claimed AS (
    UPDATE messages SET visible_at_ms = {_NEVER_MS}, receive_count = receive_count + 1
    WHERE queue_id = 1 AND id = (
        SELECT id FROM messages WHERE queue_id = 1 AND visible_at_ms = 0
        ORDER BY queued_at_ms, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING id
) SELECT coalesce(max(id), 0) AS id FROM claimed \\gset
SELECT body, envelope FROM bodies WHERE id = :id;
WITH body AS (DELETE FROM bodies WHERE id = :id)
    DELETE FROM messages WHERE queue_id = 1 AND id = :id;
"""


def cycles_per_second(url: str, clients: int, cycles: int) -> float:
    """Run cycles on a new database with the server's own tables; return cycles per second.

    Raises:
        subprocess.CalledProcessError: pgbench fails.
    """
    with temporary_database(url) as emptied, tempfile.TemporaryDirectory() as made:
        asyncio.run(_make_tables(emptied))
        script = Path(made) / "cycle.sql"
        script.write_text(_CYCLE)
        ran = subprocess.run(
            [
                *(PROGRAMS / "pgbench", "--no-vacuum", "--protocol=prepared", f"--file={script}"),
                *(f"--client={clients}", "--jobs=2", f"--transactions={max(cycles // clients, 1)}"),
                emptied,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"tps = ([0-9.]+)", ran.stdout)
    if found is None:
        raise RuntimeError(f"cannot read the output of pgbench: {ran.stdout!r} {ran.stderr!r}")
    return float(found[1])


async def _make_tables(url: str) -> None:
    await (await QueueClient.open(url)).database.close()
