"""Connections to PostgreSQL: URL options, hosts that do not answer, timeouts, and the pool."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest
import sqlalchemy as sa

from storage.database import Database
from storage.errors import DatabaseUnavailable, DatabaseUnusable
from storage.postgresql.connection import Address
from storage.postgresql.engine import _MIGRATION_LOCK
from storage.postgresql.errors import classify
from storage.transaction import Transaction
from tests.clock import ManualClock
from tests.databases import LONG_TIMEOUTS
from tests.engine.queue_client import QueueClient, TwoServers
from tests.engine.recorder import recording_settings
from tests.engine.rejections import rejection
from tests.relay import opened_relay
from tests.waiting import TIMEOUT_SECONDS, TRANSACTION_TIMEOUT_SECONDS


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param("shiny=1", 'unrecognized configuration parameter "shiny"', id="unknown"),
        pytest.param("sslmode=perhaps", "perhaps", id="sslmode"),
        pytest.param("target_session_attrs=best", "best", id="target_session_attrs"),
        pytest.param("target_session_attrs=standby", "standby", id="no such host"),
        pytest.param("sslmode=verify-full&sslrootcert=/no/such.pem", "/no/such.pem", id="no file"),
        pytest.param("shiny", "bad query field", id="not an option"),
    ],
)
async def test_invalid_url_option_is_reported_in_one_line(
    tcp_postgres: str, options: str, words: str
) -> None:
    assert words in await rejection(f"{tcp_postgres}?{options}")


@pytest.fixture(scope="session")
def tcp_postgres(postgres_url: str) -> Iterator[str]:
    """Yield the server's URL without options; PGHOST names its socket's directory."""
    with pytest.MonkeyPatch.context() as environment:
        host = urlsplit(postgres_url).query.removeprefix("host=")
        if host:
            environment.setenv("PGHOST", host)
        yield urlsplit(postgres_url)._replace(query="").geturl()


@pytest.mark.parametrize("url", ["postgresql://u:sekret@[::1/q", "postgresql://u:sekret@h:x/q"])
async def test_invalid_url_is_reported_in_one_line_without_the_password(url: str) -> None:
    assert "sekret" not in await rejection(url)


@pytest.mark.parametrize("is_silent", [False, True], ids=["rejects", "is silent"])
async def test_host_that_does_not_answer_is_tried_last_from_then_on(
    postgres_url: str, is_silent: bool
) -> None:
    timeouts = replace(LONG_TIMEOUTS, connect_seconds=2.0)
    bad, good = await opened_relay(postgres_url), await opened_relay(postgres_url)
    bad.is_silent = True
    if not is_silent:
        await bad.close()
    url = f"postgresql://postgres@{bad.host},{good.host}/postgres"
    address = Address(url, timeouts, is_pooled=False)
    first = await address.connect({})
    tried = bad.connections
    second = await address.connect({})
    assert bad.connections == tried
    assert await second.fetchval("SHOW statement_timeout") == "8s"
    assert await second.fetchval("SHOW transaction_read_only") == "off"
    for connection in (first, second):
        connection.terminate()
    await bad.close()
    await good.close()


async def test_requests_fail_after_a_timeout_when_postgresql_stops_answering(
    postgres_url: str, postgresql: str
) -> None:
    timeouts = replace(LONG_TIMEOUTS, connect_seconds=2.0, statement_seconds=2.0)
    relay = await opened_relay(postgres_url)
    url = relay.url_of(postgresql)
    client = await QueueClient.open(url, engine_settings=recording_settings(timeouts))
    await client.send("a")
    await client.counts()
    relay.is_relaying.clear()
    for _ in range(2):
        # Real time: asyncpg gives up after `statement_seconds`.
        requests = asyncio.gather(client.send("lost"), client.counts(), return_exceptions=True)
        answers = await asyncio.wait_for(requests, TIMEOUT_SECONDS)
        assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 2
    relay.is_relaying.set()
    assert await client.counts() == (1, 0, 0)
    await client.send("b")
    assert await client.bodies() == ["a", "b"]
    await client.database.close()
    await relay.close()


async def test_close_ends_when_postgresql_stops_answering(
    postgres_url: str, postgresql: str
) -> None:
    timeouts = replace(LONG_TIMEOUTS, close_seconds=0.5, listener_seconds=0.5)
    relay = await opened_relay(postgres_url)
    url = relay.url_of(postgresql)
    client = await QueueClient.open(url, engine_settings=recording_settings(timeouts))
    await client.send("a")
    await asyncio.gather(*(client.counts() for _ in range(4)))
    relay.is_relaying.clear()
    await asyncio.wait_for(client.database.close(), TIMEOUT_SECONDS)
    await relay.close()


async def test_cancelled_start_ends_when_postgresql_stops_answering(
    postgres_url: str, postgresql: str
) -> None:
    relay = await opened_relay(postgres_url)
    other = await asyncpg.connect(postgresql)
    await other.execute(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
    opening = asyncio.create_task(Database.open(relay.url_of(postgresql), ManualClock()))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await other.fetchval(waiting):
            assert not opening.done()
        relay.is_relaying.clear()
        opening.cancel()
        with pytest.raises((asyncio.CancelledError, DatabaseUnusable)):
            await opening
    await other.close()
    await relay.close()


async def test_hosts_that_all_fail_are_reported_without_the_password(postgres_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening, so no server can use it
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        text = await rejection(f"postgresql://u:sekret@{host},{host}/q")
    assert host in text
    assert "sekret" not in text


async def test_statement_after_a_statement_timeout_succeeds(
    two_servers: TwoServers,
) -> None:
    client, _ = two_servers

    def sleep(transaction: Transaction) -> None:
        transaction.connection.execute(sa.text("SET LOCAL statement_timeout = '20ms'"))
        transaction.connection.execute(sa.text("SELECT pg_sleep(20)"))

    with pytest.raises(DatabaseUnavailable):
        await client.database.write(sleep)
    await client.send("a")
    assert await client.bodies() == ["a"]


async def test_server_opens_its_maximum_of_connections_and_one_for_the_listener(
    postgresql: str,
) -> None:
    timeouts = replace(LONG_TIMEOUTS, pool_seconds=TIMEOUT_SECONDS)
    settings = recording_settings(timeouts)
    database = await Database.open(
        postgresql, ManualClock(), connections=3, engine_settings=settings
    )
    done = asyncio.Event()

    def wait_for_end(_connection: sa.Connection) -> None:
        sa.util.await_only(done.wait())

    await database.write(lambda _: None)
    reads = [asyncio.create_task(database.read(wait_for_end)) for _ in range(4)]
    connection = await asyncio.wait_for(asyncpg.connect(postgresql), TIMEOUT_SECONDS)
    counting = (
        "SELECT array_agg(application_name ORDER BY application_name) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    expected = ["queueserver"] * 3 + ["queueserver listener"]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TRANSACTION_TIMEOUT_SECONDS):
            while (found := await connection.fetchval(counting)) != expected:
                pass
    done.set()
    await asyncio.gather(*reads)
    await connection.close()
    await database.close()
    assert found == expected


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(asyncpg.InterfaceError("connection is closed"), id="closed connection"),
        pytest.param(asyncpg.InternalClientError("unexpected answer"), id="unexpected answer"),
        pytest.param(asyncpg.ConnectionDoesNotExistError("closed"), id="lost connection"),
        pytest.param(ConnectionResetError("lost while it was set up"), id="lost in set-up"),
        pytest.param(TimeoutError(), id="timeout"),
    ],
)
def test_error_of_a_connection_makes_the_database_unavailable(error: Exception) -> None:
    assert isinstance(classify(error), DatabaseUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(asyncpg.exceptions._base.DataError("not an integer"), id="parameter"),
        pytest.param(asyncpg.exceptions.UndefinedTableError("no such table"), id="statement"),
        pytest.param(ValueError("defect"), id="defect"),
    ],
)
def test_error_of_the_work_does_not_make_the_database_unavailable(error: Exception) -> None:
    assert classify(error) is None
