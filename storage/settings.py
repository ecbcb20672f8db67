"""Timeouts and limits of the engines; the defaults are what a server runs with.

Tests pass their own. The settings of a server that an operator chooses are in `queueserver.config`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from storage.sql.driver import Driver


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlTimeouts:
    """Timeouts for PostgreSQL, in seconds.

    Attributes:
        connect_seconds: for each host, to accept a connection.
        statement_seconds: for each statement, including its lock waits, before the server drops the
            connection. PostgreSQL's own `statement_timeout` is 8 s: it ends most statements
            earlier, and then the connection stays usable.
        pool_seconds: for a read, while all connections for reads are in use.
        listener_seconds: for an answer on the LISTEN connection, before it counts as lost.
        close_seconds: for PostgreSQL to close all connections of the pool, when the server stops.
    """

    connect_seconds: float = 3.0
    statement_seconds: float = 10.0
    pool_seconds: float = 5.0
    listener_seconds: float = 3.0
    close_seconds: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WalLimits:
    """When SQLite's write-ahead log is copied to the database file.

    Attributes:
        checkpoint_seconds: pause between a COMMIT and the checkpoint after it.
        long_pages: length in pages from which the writer waits for a checkpoint of the whole log.
            The log is then overwritten from its start, and a sync takes half the time that it takes
            while the file grows.
        largest_bytes: size of the log's file above which it is truncated after a checkpoint.
    """

    checkpoint_seconds: float = 0.25
    long_pages: int = 1_000
    largest_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteLimits:
    """When SQLite's transactions run on the event loop, and when the log is copied.

    After a COMMIT of `quick_commit_seconds` or more, or a whole transaction of
    `quick_transaction_seconds` or more, the next one runs on the writer's thread.
    """

    quick_commit_seconds: float = 0.002
    quick_transaction_seconds: float = 0.05
    wal: WalLimits = field(default_factory=WalLimits)


def _as_it_is(driver: Driver) -> Driver:
    return driver


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of whichever engine the database's URL chooses.

    `wrap_driver` replaces the driver of each new connection, for tests that record statements.
    """

    postgresql: PostgresqlTimeouts = field(default_factory=PostgresqlTimeouts)
    sqlite: SqliteLimits = field(default_factory=SqliteLimits)
    wrap_driver: Callable[[Driver], Driver] = _as_it_is
