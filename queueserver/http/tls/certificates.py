"""The TLS certificate that new connections get: loaded at start, and again when its files change.

New files are loaded into a new context first. If they cannot be used, the server keeps the
certificate before, and a connection keeps the one it began with.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from typing import Self

from queueserver.config import Config
from queueserver.http.tls.files import Loaded, TlsFiles, files_of
from queueserver.start_errors import StartError
from storage.clock import Clock

log = logging.getLogger(__name__)

_CHECK_SECONDS = 60.0
"""Interval between two checks of the files."""

_WARNING = timedelta(days=14)
"""Remaining validity of a certificate below which the server warns once a day."""


class Certificates:
    """The certificate of the server, as of the last time that its files could be used.

    `clock` is the machine's: clients compare the dates of a certificate with their own.
    """

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._loaded = files.load()
        self._failed_versions = self._loaded.versions
        self._loading = asyncio.Lock()
        self._warned_on = ""
        log.info(
            "loaded the TLS certificate: file=%s expires=%s",
            files.cert,
            _date(self._loaded.expires_at),
        )
        self._warn_of_expiry()

    @classmethod
    def of(cls, config: Config, clock: Clock) -> Self | None:
        """Load the files that the settings name; return None without TLS.

        Raises:
            ConfigError: a setting needs another one, or contradicts it.
            StartError: a file cannot be read, or does not fit the others.
        """
        files = files_of(config)
        return None if files is None else cls(files, clock)

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        return self._loaded.context

    async def watch(self) -> None:
        """Check the files regularly, until the task is cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Load the files if they have changed; warn if the certificate expires soon."""
        versions = await asyncio.to_thread(self._files.versions)
        if versions not in (self._loaded.versions, self._failed_versions):
            await self.reload()
        self._warn_of_expiry()

    async def reload(self) -> None:
        """Load the files; keep the certificate before, and log one line, if that fails.

        A thread reads them: a file system may be slow.
        """
        async with self._loading:
            versions = await asyncio.to_thread(self._files.versions)
            try:
                loaded = await asyncio.to_thread(self._files.load)
            except StartError as error:
                self._log_failure(error)
                self._failed_versions = versions
            else:
                self._replace(loaded)

    def _replace(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._failed_versions = loaded.versions
        self._warned_on = ""
        log.info(
            "loaded the TLS certificate again: file=%s expires=%s",
            self._files.cert,
            _date(loaded.expires_at),
        )
        self._warn_of_expiry()

    def _log_failure(self, error: StartError) -> None:
        log.error(
            "cannot load the TLS certificate again, new connections get the one before: "
            "expires=%s reason=%s",
            _date(self._loaded.expires_at),
            error,
        )

    def _warn_of_expiry(self) -> None:
        now = datetime.fromtimestamp(self._clock.now_ms() / 1_000, UTC)
        expires_at = self._loaded.expires_at
        today = _date(now)
        if expires_at - now >= _WARNING or self._warned_on == today:
            return
        self._warned_on = today
        if expires_at <= now:
            text = (
                "the TLS certificate has expired, clients reject it; replace it: file=%s expired=%s"
            )
        else:
            text = "the TLS certificate expires soon, replace it: file=%s expires=%s"
        log.warning(text, self._files.cert, _date(expires_at))


def _date(time: datetime) -> str:
    return time.strftime("%Y-%m-%d")
