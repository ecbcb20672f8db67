"""Checkpoints of SQLite's write-ahead log, beside the writer.

SQLite's own automatic checkpoints run inside a COMMIT, and everything that waits for that COMMIT
waits for the checkpoint too. So they are off, and a connection of its own runs them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from pathlib import Path

import aiosqlite

from storage.settings import WalLimits

log = logging.getLogger(__name__)


class WriteAheadLog:
    """The write-ahead log of one database file.

    A checkpoint beside a busy writer never reaches the end of the log, and SQLite restarts the log
    only after one that does. When the log is long, `needs_full_checkpoint` is true: the writer must
    then wait for `checkpoint_fully`.
    """

    def __init__(self, path: str, limits: WalLimits) -> None:
        self._path = path
        self._limits = limits
        self._connection: aiosqlite.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_grown = False
        self.needs_full_checkpoint = False

    def note_commit(self) -> None:
        """Schedule a checkpoint after a COMMIT."""
        self._has_grown = True
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="checkpoint")

    async def _run(self) -> None:
        while self._has_grown:
            await asyncio.sleep(self._limits.checkpoint_seconds)
            self._has_grown = False
            self.needs_full_checkpoint = await self._checkpoint()
        self._task = None

    async def checkpoint_fully(self) -> None:
        """Checkpoint the whole log; the caller makes sure that nothing is written meanwhile."""
        await self._checkpoint()
        self.needs_full_checkpoint = False

    async def _checkpoint(self) -> bool:
        """Checkpoint without waiting for readers or the writer; return whether the log is long."""
        try:
            if self._connection is None:
                self._connection = await aiosqlite.connect(
                    self._path, isolation_level=None, timeout=0
                )
                await self._connection.execute("PRAGMA synchronous=FULL")
            async with self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)") as cursor:
                _, pages, copied = await cursor.fetchone() or (0, 0, 0)
            if copied == pages and self._size_bytes() > self._limits.largest_bytes:
                await self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, OSError) as error:
            # The COMMITs stay in the log, which is as durable as the file.
            log.warning(
                "checkpoint of the write-ahead log failed: no message is lost, the log grows, the "
                "server retries after the next commit; check the disk and its free space "
                "file=%s error=%s",
                self._path,
                error,
            )
            return False
        return bool(pages > self._limits.long_pages)

    def _size_bytes(self) -> int:
        return Path(f"{self._path}-wal").stat().st_size

    async def close(self) -> None:
        """Close the connection; the rest of the log is left to the writer's last connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close()
