"""Upkeep: freeing the space of rows that no request can see any more, and other late work.

The rows are those of purges, deletions, expired messages, expired deduplication ids and unused data
keys. Upkeep also applies a FIFO queue's new delay to the messages that the queue already has.
Requests do not depend on it: they ignore rows that are to be freed. It works in small transactions,
so a large amount of work does not delay the requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence

from queueserver.rules.limits import COOLDOWN_SECONDS
from storage import queue_delays, queues, time_floor
from storage.clock import Clock
from storage.database import Database
from storage.encryption import unused_data_keys
from storage.errors import DatabaseDamaged, DatabaseUnavailable
from storage.messages import deduplication, dropped_queues, expiry, receive_attempts
from storage.queues import QueueRetention

log = logging.getLogger(__name__)

_ROUND_SECONDS = 60
"""Time between two rounds of upkeep."""

_STEP_ROWS = 500
"""Rows that one transaction frees or changes: a few milliseconds of the writer's time."""

_PAGE_QUEUES = 200
"""Queues that one transaction checks for expired messages."""

_PAGE_CONTENTS = 5_000
"""Contents of messages whose data keys one transaction reads: about a millisecond."""

_CANDIDATE_DATA_KEYS = 100_000
"""Data keys that upkeep checks for use at a time: about 10 MB of memory."""

_DATA_KEYS_MS = 3_600_000
"""Time between two rounds that free data keys, each of which reads all contents."""


class Upkeep:
    """Runs a round of upkeep once a minute, and when a transaction leaves work for it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._data_keys_due_ms = 0

    def start(self) -> None:
        """Start the first round now, for the work that an earlier process left."""
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def stop(self) -> None:
        """Stop after the current transaction."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def run_soon(self) -> None:
        """Start the next round without waiting for the end of the minute."""
        self._wake.set()

    async def run_round(self) -> None:
        """Do all work that is due; work that affects what clients see comes first.

        Raises:
            DatabaseUnavailable: the database does not answer; the next round does the rest.
        """
        for work in (
            self._record_time,
            self._apply_delays,
            self._free_dropped_queues,
            self._free_expired_ids,
            self._free_expired_messages,
            self._free_unused_data_keys,
        ):
            try:
                await work()
            except DatabaseDamaged as error:
                log.warning(
                    "rows are damaged, skipping them in this round of upkeep; "
                    "find the damage with `queueserver check` or `pg_amcheck`: reason=%s",
                    error,
                )

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.run_round()
            except DatabaseUnavailable as error:
                log.warning(
                    "upkeep waits for the database, next attempt in %d s: reason=%s",
                    _ROUND_SECONDS,
                    error,
                )
            except Exception:
                log.exception("upkeep failed, next attempt in %d s", _ROUND_SECONDS)
            cancel = self._clock.call_at(
                self._clock.now_ms() + _ROUND_SECONDS * 1000, self._wake.set
            )
            try:
                await self._wake.wait()
            finally:
                cancel()

    async def _record_time(self) -> None:
        await self._database.write(time_floor.record)

    async def _apply_delays(self) -> None:
        while await self._database.write(queue_delays.apply_pending, _STEP_ROWS):
            pass

    async def _free_dropped_queues(self) -> None:
        while await self._database.write(dropped_queues.free_dropped):
            pass

    async def _free_expired_ids(self) -> None:
        """Free deduplication ids, receive attempts and times of deletions that have expired."""
        for free in (deduplication.free_expired, receive_attempts.free_expired):
            while await self._database.write(free, _STEP_ROWS) == _STEP_ROWS:
                pass
        before_ms = self._clock.now_ms() - COOLDOWN_SECONDS * 1000
        await self._database.write(queues.free_old_deletions, before_ms)

    async def _free_unused_data_keys(self) -> None:
        """Free data keys that no message refers to, once an hour."""
        now_ms = self._clock.now_ms()
        if now_ms < self._data_keys_due_ms:
            return
        after_id = -1
        while candidates := await self._database.read(
            unused_data_keys.find_candidates, now_ms, after_id, _CANDIDATE_DATA_KEYS
        ):
            await self._free_data_keys_unless_used(candidates)
            after_id = max(candidates)
        self._data_keys_due_ms = now_ms + _DATA_KEYS_MS

    async def _free_data_keys_unless_used(self, candidates: Collection[int]) -> None:
        unused = set(candidates)
        after_id: int | None = -1
        while unused and after_id is not None:
            used = await self._database.read(unused_data_keys.find_used, after_id, _PAGE_CONTENTS)
            unused.difference_update(used.ids)
            after_id = used.last_id
        ids = sorted(unused)
        for start in range(0, len(ids), _STEP_ROWS):
            await self._database.write(unused_data_keys.free, ids[start : start + _STEP_ROWS])

    async def _free_expired_messages(self) -> None:
        after_id = 0
        while page := await self._database.read(queues.list_after, after_id, _PAGE_QUEUES):
            await self._free_expired_of_page(page)
            after_id = page[-1].id

    async def _free_expired_of_page(self, page: Sequence[QueueRetention]) -> None:
        """Free the expired messages of some queues; if one is damaged, free those of the others."""
        try:
            await self._free_expired_of_queues(page)
        except DatabaseDamaged as error:
            if len(page) == 1:
                log.warning(
                    "a queue is damaged, not freeing its expired messages; "
                    "find the damage with `queueserver check` or `pg_amcheck`: queue=%s reason=%s",
                    page[0].name,
                    error,
                )
                return
            for queue in page:
                await self._free_expired_of_page([queue])

    async def _free_expired_of_queues(self, page: Sequence[QueueRetention]) -> None:
        now_ms = self._clock.now_ms()
        for queue_id in await self._database.read(expiry.queues_with_expired, page, now_ms):
            while await self._database.write(expiry.free_expired, queue_id):
                pass
