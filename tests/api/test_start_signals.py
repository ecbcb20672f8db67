"""SIGTERM and SIGINT while a server waits for something: it ends within 10 s."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import asyncpg
import pytest

from queueserver import stop_signals
from tests.api.raw_http import open_socket, request_bytes
from tests.api.server_process import STOP_SECONDS, ServerProcess, command, environment
from tests.relay import opened_relay
from tests.waiting import TIMEOUT_SECONDS, wait_until

MIGRATION_LOCK = 0x7175657565
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
DUMPS = Path(__file__).parents[1] / "engine" / "schema_versions"
ENDLESS = (
    "CREATE TRIGGER endless AFTER UPDATE ON properties BEGIN SELECT count(*) FROM "
    "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n); END"
)
"""A statement of a migration that takes any time."""


@contextmanager
def starting(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a server, and kill it at the end of the block if it still runs."""
    with (directory / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command("--port", "0", *arguments),
            cwd=directory,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def check_stop(process: subprocess.Popen[str], number: signal.Signals, directory: Path) -> None:
    """Send a signal; check that the server ends with status 0 and writes nothing."""
    assert process.poll() is None, (directory / "stderr").read_text()
    process.send_signal(number)
    assert process.wait(STOP_SECONDS) == 0
    assert process.stdout is not None
    assert (process.stdout.read(), (directory / "stderr").read_text()) == ("", "")


def is_locked(path: Path) -> bool:
    """Return whether a server has opened a SQLite file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


@SIGNALS
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_signal_while_modules_are_imported_stops_the_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    def is_pending(name: str) -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
        return bool(int(line.split()[1], 16) & 1 << (number - 1))

    with starting(tmp_path, "--database", "sqlite://") as process:
        wait_until(lambda: is_pending("SigBlk"), "the server does not block signals")
        check_stop(process, number, tmp_path)


@SIGNALS
def test_signal_while_the_file_of_settings_is_read_stops_the_server(
    tmp_path: Path, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    with (
        starting(tmp_path, "--config", "settings.toml") as process,
        # This waits until the server has opened its end.
        (tmp_path / "settings.toml").open("w"),
    ):
        check_stop(process, number, tmp_path)


async def check_stop_while_locked(
    url: str, lock: str, directory: Path, number: signal.Signals, *arguments: str
) -> None:
    """Lock something in a session of PostgreSQL, and stop a server whose start waits for it."""
    locking, watching = await asyncpg.connect(url), await asyncpg.connect(url)
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    try:
        await locking.execute(lock)
        with starting(directory, "--database", url, *arguments) as process:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not await watching.fetchval(waiting):
                    assert process.poll() is None
            check_stop(process, number, directory)
    finally:
        await locking.close()
        await watching.close()


@SIGNALS
def test_signal_while_another_server_migrates_postgresql_stops_the_server(
    tmp_path: Path, postgresql: str, number: signal.Signals
) -> None:
    lock = f"SELECT pg_advisory_lock({MIGRATION_LOCK})"
    asyncio.run(check_stop_while_locked(postgresql, lock, tmp_path, number))


def test_signal_while_postgresql_locks_a_declared_queue_stops_the_server(
    tmp_path: Path, postgresql: str
) -> None:
    file = tmp_path / "queues.toml"
    arguments = ("--config", str(file))
    file.write_text("[queues.q]\nDelaySeconds = 1\n")
    with ServerProcess("--database", postgresql, *arguments, directory=tmp_path) as server:
        assert server.stop()[0] == 0
    file.write_text("[queues.q]\nDelaySeconds = 2\n")
    lock = "BEGIN; SELECT FROM queues FOR UPDATE"
    number = signal.SIGTERM
    asyncio.run(check_stop_while_locked(postgresql, lock, tmp_path, number, *arguments))


def test_signal_while_postgresql_does_not_answer_stops_the_server(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        hosts = ",".join(f"127.0.0.1:{port}" for _ in range(20))
        with starting(tmp_path, "--database", f"postgresql://u:p@{hosts}/q") as process:
            connection, _ = listener.accept()
            with connection:
                check_stop(process, signal.SIGTERM, tmp_path)


def test_signal_while_another_program_locks_the_sqlite_file_stops_the_server(
    tmp_path: Path,
) -> None:
    arguments = ("--database", "sqlite:///q.db")
    with ServerProcess(*arguments, directory=tmp_path) as server:
        assert server.stop()[0] == 0
    with closing(sqlite3.connect(tmp_path / "q.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with starting(tmp_path, *arguments) as process:
            wait_until(lambda: is_locked(tmp_path / "q.db"), "the server does not open the file")
            check_stop(process, signal.SIGTERM, tmp_path)


def test_signal_during_a_migration_of_sqlite_stops_the_server_and_leaves_the_version(
    tmp_path: Path,
) -> None:
    with closing(sqlite3.connect(tmp_path / "q.db", isolation_level=None)) as database:
        database.executescript((DUMPS / "version_1.sqlite.sql").read_text())
        database.execute(ENDLESS)
        database.execute("PRAGMA busy_timeout = 0")

        with starting(tmp_path, "--database", "sqlite:///q.db") as process:
            # The first COMMIT would be the migration's; the log has its pages before.
            log = tmp_path / "q.db-wal"
            wait_until(log.exists, "the server does not migrate the database")
            check_stop(process, signal.SIGTERM, tmp_path)
        version = "SELECT value FROM properties WHERE name = 'schema_version'"
        assert database.execute(version).fetchone() == ("1",)


@SIGNALS
def test_repeated_signals_do_not_change_the_exit_status(
    tmp_path: Path, number: signal.Signals
) -> None:
    def has_ended() -> bool:
        process.send_signal(number)
        return process.poll() is not None

    with starting(tmp_path, "--database", "sqlite://") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        wait_until(has_ended, "the server does not stop")
    assert process.returncode == 0
    assert (tmp_path / "stderr").read_text() == ""


async def test_stop_that_the_database_delays_ends_the_process_with_status_1(
    tmp_path: Path, postgres_url: str, postgresql: str
) -> None:
    relay = await opened_relay(postgres_url)
    flags = ("--database", relay.url_of(postgresql))
    server = await asyncio.to_thread(lambda: ServerProcess(*flags, directory=tmp_path))
    with server:
        await asyncio.to_thread(server.call, "CreateQueue", QueueName="q")
        relay.is_relaying.clear()
        request = request_bytes("SendMessage", QueueUrl="q", MessageBody="unanswered")
        with open_socket(server.url, request):
            # Real time: the server waits 10 s for the answer of PostgreSQL.
            status, output, errors = await asyncio.to_thread(server.stop)
    assert (status, output) == (1, "")
    assert "the server could not stop in time, ending the process" in errors
    await relay.close()


def test_only_the_race_of_a_discarded_signal_is_not_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[BaseException] = []
    monkeypatch.setattr(sys, "__unraisablehook__", lambda one: reported.append(one.exc_value))
    others = [OSError("disk"), ValueError("ignored due to race condition")]
    for error in (OSError("Signal 15 ignored due to race condition"), *others):
        arguments = cast("sys.UnraisableHookArgs", SimpleNamespace(exc_value=error))
        stop_signals._report_except_race(arguments)
    assert reported == others
