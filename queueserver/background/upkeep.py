"""What happens without a request: space is freed that no request can see any more.

A new delay of a FIFO queue comes to hold for the messages that it has, too. Nothing else depends
on it. It works in small steps between the requests' own transactions,
so that a million messages that are gone do not keep a new one waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from storage import queue_delays, queues, time_floor
from storage.clock import Clock
from storage.database import Database
from storage.errors import DatabaseDamaged, DatabaseUnavailable
from storage.messages import deduplication, dropped_queues, expiry, receive_attempts
from storage.queues import Queue

log = logging.getLogger(__name__)

_ROUND_MS = 60_000
_STEP = 500
"""Rows that one step frees or changes: a few milliseconds of the writer's time."""
_PAGE = 200
"""Queues that are looked at together."""
_DELETIONS_KEPT_MS = 60_000


class Upkeep:
    """Frees what purges, deletions and retention left behind, once a minute or when hurried."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a round at once for what an earlier process left."""
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def stop(self) -> None:
        """End after the step at hand."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def run_soon(self) -> None:
        """Begin the next round now: there is something to be done."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.round()
            except DatabaseUnavailable as error:
                log.warning("upkeep waits for the database: %s", error)
            except Exception:
                log.exception("upkeep failed; it goes on with the next round")
            cancel = self._clock.call_at(self._clock.now_ms() + _ROUND_MS, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                cancel()

    async def round(self) -> None:
        """Note the time, and free all that can be freed now, after what somebody waits for."""
        for work in (
            self._note_time,
            self._go_on_with_delays,
            self._free_leftovers,
            self._forget,
            self._free_expired,
        ):
            try:
                await work()
            except DatabaseDamaged as error:
                log.warning("upkeep goes on without what is damaged in the database: %s", error)

    async def _go_on_with_delays(self) -> None:
        while await self._database.write(queue_delays.apply_pending, _STEP):
            pass

    async def _free_leftovers(self) -> None:
        while await self._database.write(dropped_queues.free_dropped, _STEP):
            pass

    async def _forget(self) -> None:
        for forget in (deduplication.free_expired, receive_attempts.free_expired):
            while await self._database.write(forget, _STEP) == _STEP:
                pass
        forgotten_ms = self._clock.now_ms() - _DELETIONS_KEPT_MS
        await self._database.write(queues.free_old_deletions, forgotten_ms)

    async def _note_time(self) -> None:
        await self._database.write(time_floor.record)

    async def _free_expired(self) -> None:
        after_id = 0
        while page := await self._database.read(queues.list_after, after_id, _PAGE):
            await self._free_expired_of(page)
            after_id = page[-1].id

    async def _free_expired_of(self, page: Sequence[Queue]) -> None:
        """Free what has expired; what is damaged keeps one queue from that, and no other."""
        try:
            await self._free_expired_at_once(page)
        except DatabaseDamaged as error:
            if len(page) == 1:
                log.warning("queue %s is damaged in the database: %s", page[0].name, error)
                return
            for queue in page:
                await self._free_expired_of([queue])

    async def _free_expired_at_once(self, page: Sequence[Queue]) -> None:
        now_ms = self._clock.now_ms()
        for queue_id in await self._database.read(expiry.queues_with_expired, page, now_ms):
            while await self._database.write(expiry.free_expired, queue_id, _STEP):
                pass
