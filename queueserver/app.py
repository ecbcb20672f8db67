"""Composition: what the server consists of, in which order it starts and stops; and its process."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from queueserver import declared_queues, process_memory
from queueserver.actions.messages import Messages
from queueserver.actions.move_tasks import MoveTasks
from queueserver.actions.permissions import Permissions
from queueserver.actions.queue_cache import QueueCache
from queueserver.actions.queues import Queues
from queueserver.background.leader import LeaderWork
from queueserver.background.move_task_runner import MoveTaskRunner
from queueserver.background.upkeep import Upkeep
from queueserver.clock import SystemClock
from queueserver.config import Config
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.http import open_files
from queueserver.http.browser_rules import BrowserRules
from queueserver.http.health import Health
from queueserver.http.listener import Listener
from queueserver.http.routes import Routes
from queueserver.http.sqs_endpoint import SqsEndpoint
from queueserver.identity.addressing import Addressing
from queueserver.start_errors import StartError
from storage.clock import Clock
from storage.database import Database
from storage.errors import DatabaseUnusable, mask_password
from storage.settings import EngineSettings


class App:
    """One server, from `start` to `stop`."""

    def __init__(
        self, config: Config, clock: Clock, engine_settings: EngineSettings | None = None
    ) -> None:
        self._config = config
        self._engine_settings = engine_settings
        self._clock = clock
        self._database: Database
        self._listener: Listener
        self._leader_work: LeaderWork
        self.url = ""
        """The URL that the server listens on, once it has started."""

    async def start(self) -> None:
        """Open the database, create the declared queues, listen, and begin background work.

        Raises:
            StartError: the database or the address cannot be used, or a declared queue cannot be
                created.
        """
        self._database = await self._open_database()
        try:
            dispatcher = self._dispatcher()
            context = RequestContext(self._config.account, self._config.region, "")
            await declared_queues.declare(self._config.queues, dispatcher, context)
            await self._listen(dispatcher)
        except BaseException:
            await self._database.close()
            raise
        upkeep = Upkeep(self._database, self._clock)
        self._leader_work = LeaderWork(upkeep, MoveTaskRunner(self._database, self._clock))
        self._database.run_on_leader(self._leader_work)

    async def stop(self) -> None:
        """Answer waiting receivers with no message, finish all requests, and close the database."""
        self._database.waiters.close()
        await self._listener.stop()
        await self._leader_work.close()
        await self._database.close()

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
            )
        except DatabaseUnusable as error:
            raise StartError(str(error)) from error

    def _dispatcher(self) -> Dispatcher:
        database, clock, config = self._database, self._clock, self._config
        cache = QueueCache(database)
        return Dispatcher(
            Queues(database, cache, clock, cooldowns=config.cooldowns),
            Messages(database, cache, clock, in_flight_limit=config.in_flight_limit),
            MoveTasks(database, clock),
            Permissions(database, cache),
        )

    async def _listen(self, dispatcher: Dispatcher) -> None:
        addressing = Addressing(self._config.public_url)
        sqs = SqsEndpoint(self._config, dispatcher, addressing, self._clock)
        rules = BrowserRules(self._config)
        self._listener = Listener(self._config, Routes(rules, Health(self._database), sqs))
        self.url = addressing.own_url = await self._listener.start()
        rules.listen_on(self._listener.addresses)


async def serve(config: Config) -> None:
    """Run a server until SIGTERM or SIGINT; print one line to stdout when it listens.

    Raises:
        StartError: the server cannot start.
    """
    open_files.raise_limit()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = App(config, SystemClock())
    await app.start()
    process_memory.tune_garbage_collector()
    returning = asyncio.create_task(process_memory.return_memory_regularly(), name="memory")
    sys.stdout.write(f"queueserver listening on {app.url} ({mask_password(config.database)})\n")
    sys.stdout.flush()
    await stop.wait()
    returning.cancel()
    await app.stop()


def run(config: Config) -> int:
    """Run a server on an event loop of its own; return the exit status.

    Raises:
        StartError: the server cannot start.
    """
    uvloop.run(serve(config))
    return 0
