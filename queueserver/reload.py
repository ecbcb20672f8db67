"""Reload on SIGHUP: read the configuration again, check it, and use its users and keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from queueserver import daemon_threads, reload_signal
from queueserver.config import Config
from queueserver.start_errors import ConfigError

log = logging.getLogger(__name__)


class Reloads:
    """Reloads one after the other; a request during a reload is followed by another reload.

    `load` reads the configuration. `use` gets it if it has no mistake, and the number of the
    reload. Each reload is logged at once: the number keeps its line from being counted as a
    repetition of an earlier one.
    """

    def __init__(
        self, load: Callable[[], Config], use: Callable[[Config, int], Awaitable[None]]
    ) -> None:
        self._load = load
        self._use = use
        self._number = 0
        self._requested = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Read the configuration again on each SIGHUP, until the task is cancelled."""
        reload_signal.handle(self._request)
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self._reload()

    def _request(self) -> None:
        self._loop.call_soon_threadsafe(self._requested.set)

    async def _read(self) -> Config:
        """Read the configuration in a thread: a disk, or the command that prints keys, may be slow.

        The event loop would wait for one of its own threads, and the server could not stop in time.
        """
        return await asyncio.wrap_future(daemon_threads.start(self._load, "reload"))

    async def _reload(self) -> None:
        self._number += 1
        trace: BaseException | None = None
        try:
            await self._use(await self._read(), self._number)
        except ConfigError as error:
            reason = str(error)
        except Exception as error:
            reason, trace = repr(error), error
        else:
            return
        log.error(
            "reload %d failed, the server continues as before: %s",
            self._number,
            reason,
            exc_info=trace,
        )
