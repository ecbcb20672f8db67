"""Composition: what the server consists of, in which order it starts and stops; and its process."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

import uvloop

from queueserver import declared_queues, process_memory, reload_signal, stop_signals
from queueserver.access.authorizer import Authorizer
from queueserver.access.modes import AccessMode
from queueserver.access.users import Users
from queueserver.actions.direct import DirectActions
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.permissions import Permissions
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.background.leader import LeaderWork
from queueserver.background.move_task_runner import MoveTaskRunner
from queueserver.background.upkeep import Upkeep
from queueserver.clock import SystemClock, real_seconds
from queueserver.config import Config, changed_settings
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.encryption.modes import EncryptionMode
from queueserver.encryption.queue_encryption import QueueEncryption
from queueserver.http.answers import Answers
from queueserver.http.binding import is_loopback
from queueserver.http.browser_rules import BrowserRules
from queueserver.http.clients import open_files
from queueserver.http.health import Health
from queueserver.http.listener import Listener
from queueserver.http.request_memory import RequestMemory
from queueserver.http.routes import Routes
from queueserver.http.sqs_endpoint import SqsEndpoint
from queueserver.http.tls.certificates import Certificates
from queueserver.identity.addressing import Addressing
from queueserver.identity.authenticator import Authenticator
from queueserver.identity.callers import Callers
from queueserver.identity.proxies import Proxies
from queueserver.line_writer import LineWriter
from queueserver.logs import one_line
from queueserver.reload import Reloads
from queueserver.start_errors import ConfigError, StartError
from storage.clock import Clock
from storage.database import Database
from storage.encryption.keyring import Keyring
from storage.errors import DatabaseDamaged, DatabaseUnavailable, DatabaseUnusable, mask_password
from storage.settings import EngineSettings

log = logging.getLogger(__name__)

_STOP_SECONDS = 9.5
"""Time after a signal after which the process ends, whatever the database or a client does."""

_FLUSH_SECONDS = 0.2
"""Timeout for the reader of stdout, when the server has stopped."""


class App:
    """One server, from `start` to `stop`.

    `clock` is the time of messages. `now` returns the real time in seconds since the epoch, for
    signatures, policies and the header Date.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        engine_settings: EngineSettings | None = None,
        now: Callable[[], float] = real_seconds,
    ) -> None:
        self._config = config
        self._engine_settings = engine_settings
        self._clock = clock
        self._database: Database
        self._now = now
        self._users = config.users
        self._keyring = config.keyring
        self._authenticator = Authenticator(config.access, config.users, now)
        self._cache: QueueCache
        self._listener: Listener
        self._leader_work: LeaderWork
        self.urls: tuple[str, ...] = ()
        """The URLs that the server listens on, once it has started."""

    async def start(self) -> None:
        """Open the database, create the declared queues, listen, and begin background work.

        Raises:
            ConfigError: settings contradict each other.
            StartError: the certificate, the database or the address cannot be used, or a declared
                queue cannot be created.
        """
        # Clients compare the dates of a certificate with their own clock.
        certificates = Certificates.of(self._config, SystemClock())
        self._database = await self._open_database()
        try:
            dispatcher = self._dispatcher()
            config = self._config
            context = RequestContext(config.account, config.region, "", obeys_policies=False)
            await declared_queues.declare(config.queues, dispatcher, context)
            await self._listen(dispatcher, certificates)
        except BaseException:
            await self._database.close()
            raise
        self._describe_access()
        if config.keyring is not None:
            log.info(
                "encryption is %s: keys: %s", config.encryption.value, _key_names(config.keyring)
            )
        upkeep = Upkeep(self._database, self._clock)
        self._leader_work = LeaderWork(upkeep, MoveTaskRunner(self._database, self._clock))
        self._database.run_on_leader(self._leader_work)

    async def reload(self, config: Config, number: int) -> None:
        """Use the users and the encryption keys of a configuration that was read again.

        The certificate is loaded again, too. Other settings need a restart. `number` distinguishes
        the log lines of the reload.

        Raises:
            ConfigError: no request could be allowed with this configuration, no message encrypted,
                or one that is stored could not be decrypted.
        """
        is_off = self._config.access is AccessMode.OFF
        if not is_off and not config.users:
            raise ConfigError(f"{config.path}: no user is declared")
        await self._use_reloaded_keys(config.keyring, number)
        changed = changed_settings(self._config, config)
        if changed:
            log.warning("reload %d: settings need a restart: %s", number, ", ".join(changed))
        if is_off:
            log.info("reload %d: access control is off, so no users are in use", number)
        else:
            self._use_reloaded_users(config.users, number)
        self._listener.reload_certificate()

    async def stop(self) -> None:
        """Answer waiting receivers with no message, finish all requests, and close the database."""
        self._database.waiters.close()
        try:
            await self._listener.stop()
        finally:
            await self._leader_work.close()
            await self._database.close()

    def _use_reloaded_users(self, users: Users, number: int) -> None:
        # The digest does not depend on secrets, so it cannot show that one has changed.
        changed = users.count_changed_secrets(self._users)
        self._authenticator.use_users(users)
        self._users = users
        log.info("reload %d: %s secrets_changed=%d", number, users.description, changed)
        _log_warnings(users, f"reload {number}")

    async def _use_reloaded_keys(self, keyring: Keyring | None, number: int) -> None:
        """Use the keys of a reload, if they are others.

        Raises:
            ConfigError: they cannot be used, and the server continues with those that it has.
        """
        if keyring == self._keyring:
            if keyring is not None:
                log.info(
                    "reload %d: encryption keys are unchanged: %s", number, _key_names(keyring)
                )
            return
        if keyring is None and self._config.encryption is not EncryptionMode.OFF:
            raise ConfigError("no encryption key is configured")
        try:
            await self._database.use_keyring(keyring)
        except (DatabaseUnusable, DatabaseUnavailable, DatabaseDamaged) as error:
            raise ConfigError(str(error)) from error
        self._keyring = keyring
        self._cache.use_encryption(self._queue_encryption(keyring))
        log.info("reload %d: encryption keys: %s", number, _key_names(keyring))

    def _queue_encryption(self, keyring: Keyring | None) -> QueueEncryption:
        return QueueEncryption(self._config.encryption, keyring)

    def _describe_access(self) -> None:
        mode, addresses = self._config.access, self._listener.addresses
        if mode is not AccessMode.OFF:
            occasion = f"access control is {mode.value}"
            log.info("%s: %s", occasion, self._users.description)
            _log_warnings(self._users, occasion)
        elif not all(map(is_loopback, addresses)):
            log.warning(
                "access control is off, so all clients that reach this server can use all queues; "
                "turn it on with --access and users, or listen on 127.0.0.1: addresses=%s",
                ",".join(sorted(set(addresses))),
            )

    async def _open_database(self) -> Database:
        config = self._config
        try:
            return await Database.open(
                config.database,
                self._clock,
                limit=config.pending_limit,
                limit_bytes=config.buffer_mib * 1024 * 1024,
                connections=config.pool_size,
                poll_seconds=config.poll_seconds,
                engine_settings=self._engine_settings,
                keyring=config.keyring,
                encrypts=config.encryption is not EncryptionMode.OFF,
            )
        except DatabaseUnusable as error:
            raise StartError(str(error)) from error

    def _dispatcher(self) -> Dispatcher:
        database, clock, config = self._database, self._clock, self._config
        authorizer = Authorizer(config.access, self._now)
        cache = QueueCache(database, authorizer, self._queue_encryption(config.keyring))
        self._cache = cache
        return Dispatcher(
            Queues(database, cache, authorizer, clock, cooldowns=config.cooldowns),
            Messages(database, cache, clock, in_flight_limit=config.in_flight_limit),
            MoveTasks(database, authorizer, clock),
            Permissions(database, cache),
            direct=DirectActions(database, cache, clock, in_flight_limit=config.in_flight_limit),
        )

    async def _listen(self, dispatcher: Dispatcher, certificates: Certificates | None) -> None:
        config = self._config
        addressing = Addressing(config.public_url)
        checks_access = config.access is not AccessMode.OFF
        proxies = Proxies(config.trusted_proxies, is_open=not checks_access)
        rules = BrowserRules(config)
        sqs = SqsEndpoint(
            dispatcher,
            Callers(
                config.account,
                config.region,
                addressing,
                public_url=config.public_url,
                checks_access=checks_access,
            ),
            self._authenticator,
            proxies,
            Answers(self._now, rules.lines_without_origin),
            RequestMemory(config.buffer_mib * 1024 * 1024),
        )
        routes = Routes(rules, Health(self._database), sqs)
        self._listener = Listener(config, routes, proxies, certificates)
        self.urls = await self._listener.start()
        addressing.own_url = self.urls[0]
        rules.listen_on(self._listener.addresses)


def _key_names(keyring: Keyring | None) -> str:
    """Return the names and fingerprints of the keys, the first of which encrypts."""
    return ", ".join(map(str, keyring.ids)) if keyring is not None else "none"


def _log_warnings(users: Users, occasion: str) -> None:
    for warning in users.warnings:
        log.warning("%s: %s", occasion, warning)


async def serve(
    config: Config, load: Callable[[], Config], stdout: LineWriter, deadline: threading.Timer
) -> None:
    """Run a server until SIGTERM or SIGINT; write one line to stdout when it listens.

    A signal starts the timer `deadline`, which ends the process. SIGHUP reloads by `load`.

    Raises:
        StartError: the server cannot start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    begin_stop = partial(loop.call_soon_threadsafe, _begin_stop, stop, deadline)
    stop_signals.handle(begin_stop)
    try:
        await _serve(config, load, stdout, stop)
    finally:
        # The stop has begun: a further signal must not change the status of the process.
        stop_signals.ignore()
        reload_signal.ignore()


async def _serve(
    config: Config, load: Callable[[], Config], stdout: LineWriter, stop: asyncio.Event
) -> None:
    open_files.raise_limit()
    app = App(config, SystemClock())
    if not await _start(app, stop):
        # The loop would wait for the thread that resolves a host's name, which takes any time.
        _exit(0)
    returning = asyncio.create_task(process_memory.return_memory_regularly(), name="memory")
    reloading = asyncio.create_task(Reloads(load, app.reload).run(), name="reload")
    try:
        process_memory.tune_garbage_collector()
        line = _first_line(app.urls, config)
        stdout.on_error = partial(_log_lost_line, line)
        stdout.write(one_line(line))
        await stop.wait()
    finally:
        returning.cancel()
        reloading.cancel()
        await app.stop()


def _first_line(urls: Sequence[str], config: Config) -> str:
    line = f"queueserver listening on {' '.join(urls)} ({mask_password(config.database)})"
    count, is_off = len(config.users), config.access is AccessMode.OFF
    if is_off and not count:
        return line
    users = f"{count} {'user' if count == 1 else 'users'}{' not in use' if is_off else ''}"
    return f"{line}, access {config.access.value}, {users}"


def _begin_stop(stop: asyncio.Event, deadline: threading.Timer) -> None:
    if not stop.is_set():
        stop.set()
        deadline.start()


def _end_process() -> None:
    log.error(
        "the server could not stop in time, ending the process; no acknowledged message is lost: "
        "seconds=%s",
        _STOP_SECONDS,
    )
    _exit(1)


def _exit(status: int) -> NoReturn:
    """End the process now, whatever its threads do; log lines are written."""
    logging.shutdown()
    os._exit(status)


async def _start(app: App, stop: asyncio.Event) -> bool:
    """Start a server; return False if it was stopped before it had started.

    Raises:
        StartError: the server cannot start.
    """
    starting = asyncio.create_task(app.start(), name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    starting.cancel()
    try:
        await starting
    except (asyncio.CancelledError, ConfigError, StartError):
        if not stop.is_set():
            raise
        return False
    return True


def _log_lost_line(line: str, error: OSError) -> None:
    log.warning("cannot write to stdout, the server continues: line=%r error=%s", line, error)


def run(config: Config, load: Callable[[], Config]) -> int:
    """Run a server on an event loop of its own; return the exit status.

    `load` reads the configuration again for a reload.

    Raises:
        StartError: the server cannot start.
    """
    stdout = LineWriter(1)
    deadline = threading.Timer(_STOP_SECONDS, _end_process)
    deadline.daemon = True
    try:
        uvloop.run(serve(config, load, stdout, deadline))
    finally:
        deadline.cancel()
        stdout.flush(_FLUSH_SECONDS)
    return 0
