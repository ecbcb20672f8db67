"""Waiting for a task that waits for a lock in PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

_WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def wait_until_done_or_locked(task: asyncio.Future[Any], url: str) -> None:
    """Wait until the task is done, or until a transaction of the database waits for a lock."""
    connection = await asyncpg.connect(url)
    while not task.done() and not await connection.fetchval(_WAITING):
        pass
    await connection.close()
