"""Notifications between servers of one PostgreSQL database, leadership, and lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage.database import Database
from storage.transaction import Transaction
from storage.waiting import notifications
from storage.waiting.notifications import LONGEST_BYTES, Notifications
from storage.waiting.waiters import WaitingReceiver
from tests.clock import ManualClock
from tests.engine.queue_client import QueueClient, TwoServers, run_event_loop
from tests.engine.recorder import recording, recording_settings
from tests.waiting import TIMEOUT_SECONDS

NOW_MS = 1_000


@pytest.mark.parametrize(
    ("sent", "payload"),
    [
        pytest.param(Notifications([(7, NOW_MS, 1)]), "me 7:1000:1", id="one message"),
        pytest.param(
            Notifications([(7, 900, 1), (7, NOW_MS, 2)]),
            "me 7:1000:3",
            id="visible messages add up",
        ),
        pytest.param(
            Notifications([(7, 3_000, 1), (7, 2_000, 5)]),
            "me 7:2000:1",
            id="next visible time",
        ),
        pytest.param(
            Notifications([(7, NOW_MS, 1), (8, NOW_MS, 1), (7, 2_000, 1)]),
            "me 7:1000:1 8:1000:1 7:2000:1",
            id="several queues",
        ),
        pytest.param(Notifications(dropped=[7, 8]), "me gone:7 gone:8", id="dropped queues"),
        pytest.param(Notifications(has_background_work=True), "me work", id="background work"),
    ],
)
def test_notifications_of_a_transaction_are_coalesced(sent: Notifications, payload: str) -> None:
    assert notifications.encode("me", sent, NOW_MS) == [payload]
    sender, received = notifications.decode(payload)
    assert sender == "me"
    assert received.dropped == sent.dropped
    assert received.has_background_work == sent.has_background_work
    assert notifications.encode("me", received, NOW_MS) == [payload]


def test_long_notifications_are_split_into_payloads_postgresql_accepts() -> None:
    sent = Notifications(
        [(10**15 + number, NOW_MS, 1) for number in range(1_000)], has_background_work=True
    )
    payloads = notifications.encode("me", sent, NOW_MS)
    assert len(payloads) == 4
    assert max(map(len, payloads)) <= LONGEST_BYTES < 8_000
    received = [notifications.decode(payload)[1] for payload in payloads]
    assert list(chain.from_iterable(each.visible for each in received)) == sent.visible
    assert [each.has_background_work for each in received] == [True, False, False, False]


def test_unknown_words_of_later_versions_are_skipped() -> None:
    _, received = notifications.decode("me shiny 7:1000:1 8:9:10:11 x:y:z gone:x gone 7:1000")
    assert received == Notifications([(7, 1_000, 1)])


async def wait_until_woken(receiver: WaitingReceiver, client: QueueClient) -> None:
    """Wait until a notification wakes the receiver."""
    sleep = receiver.sleep_until(client.clock.now_ms() + 1_000_000)
    await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_message_sent_to_another_server_wakes_receiver(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    with other.database.waiters.register(other.queue.id) as receiver:
        await one.send("a")
        await wait_until_woken(receiver, other)
        assert await other.bodies() == ["a"]


async def test_delayed_message_of_another_server_wakes_receiver_when_it_becomes_visible(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    with (
        other.database.waiters.register(other.queue.id) as receiver,
        other.database.waiters.register(other.queue.id) as second,
    ):
        await one.send("later", delay_s=5)
        await one.send("now")
        await wait_until_woken(receiver, other)
        sleep = asyncio.create_task(second.sleep_until(one.clock.now_ms() + 1_000_000))
        await run_event_loop()
        one.clock.advance(4.999)
        await run_event_loop()
        assert not sleep.done()
        one.clock.advance(0.001)
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_fifo_group_unblocked_on_another_server_wakes_receiver(
    two_fifo_servers: TwoServers,
) -> None:
    one, other = two_fifo_servers
    await one.send_to("g", "a", "b")
    first = await one.receive_one()
    with other.database.waiters.register(other.queue.id) as receiver:
        receiver.clear()
        assert await other.bodies() == []
        await one.delete(first.receipt)
        await wait_until_woken(receiver, other)
        assert await other.bodies() == ["b"]


async def test_purge_on_another_server_wakes_all_receivers(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    waiters = other.database.waiters
    with waiters.register(other.queue.id) as first, waiters.register(other.queue.id) as second:
        await one.purge()
        await asyncio.gather(wait_until_woken(first, other), wait_until_woken(second, other))


async def test_empty_receive_sends_no_notification(
    two_servers: TwoServers,
) -> None:
    one, _ = two_servers
    await one.send("a", delay_s=9)
    with recording() as record, one.database.waiters.register(one.queue.id):
        await one.receive()
        await one.send("b")
    notified = [text for text in record.texts() if "NOTIFY" in text]
    assert len(notified) == 1


async def end_listener_connections(url: str) -> None:
    """End the LISTEN connections of all servers."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'queueserver listener'"
    )
    await connection.close()


async def test_reconnected_listener_wakes_a_receiver_of_each_queue(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    second_queue = await other.another_queue("second")
    waiters = other.database.waiters
    with (
        waiters.register(other.queue.id) as first,
        waiters.register(second_queue.queue.id) as second,
    ):
        await end_listener_connections(one.url)
        await asyncio.gather(wait_until_woken(first, other), wait_until_woken(second, other))
        first.clear()
        await one.send("a")
        await wait_until_woken(first, other)


async def test_receiver_waits_before_it_claims_messages_again_that_another_server_has_locked(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    with other.database.waiters.register(other.queue.id) as receiver:
        await one.send("a")
        await wait_until_woken(receiver, other)
        await run_event_loop(100)

        def lock_while_the_other_claims(transaction: Transaction) -> None:
            transaction.connection.execute(sa.text("SELECT 1 FROM messages FOR UPDATE"))
            receiver.clear()
            claim = other.database.submit(other.receive_command(is_waiting=True))
            assert await_only(claim) == []

        await one.database.write(lock_while_the_other_claims)
        sleep = asyncio.create_task(receiver.sleep_until(other.clock.now_ms() + 1_000_000))
        await run_event_loop()
        assert not sleep.done()
        other.clock.advance(0.02)
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)
        assert await other.bodies() == ["a"]


class RecordedWork:
    """Leader work that records its calls."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[str] = asyncio.Queue()
        self.has_run_soon = asyncio.Event()
        self.has_resynced = asyncio.Event()

    def start(self) -> None:
        self.calls.put_nowait("start")

    def stop(self) -> None:
        self.calls.put_nowait("stop")

    def run_soon(self) -> None:
        self.has_run_soon.set()

    def resync(self) -> None:
        self.has_resynced.set()

    async def next_call(self) -> str:
        return await asyncio.wait_for(self.calls.get(), TIMEOUT_SECONDS)


async def test_another_server_becomes_leader_when_the_leader_stops(
    postgresql: str,
) -> None:
    clock = ManualClock()
    one = await Database.open(postgresql, clock, engine_settings=recording_settings())
    first, second = RecordedWork(), RecordedWork()
    one.run_on_leader(first)
    assert await first.next_call() == "start"
    other = await Database.open(postgresql, clock, engine_settings=recording_settings())
    other.run_on_leader(second)
    await one.close()
    assert await second.next_call() == "start"
    await end_listener_connections(postgresql)
    assert [await second.next_call(), await second.next_call()] == ["stop", "start"]
    await other.close()


async def test_background_work_of_another_server_is_run_soon_by_the_leader(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    work = RecordedWork()
    one.database.run_on_leader(work)
    await other.purge()
    await asyncio.wait_for(work.has_run_soon.wait(), TIMEOUT_SECONDS)


@pytest_asyncio.fixture
async def polling(
    postgresql: str,
) -> AsyncIterator[tuple[Database, Database, QueueClient]]:
    """Yield two servers on one database without notifications, and a client of a queue."""
    clock = ManualClock()
    one, other = [
        await Database.open(
            postgresql, clock, poll_seconds=0.05, engine_settings=recording_settings()
        )
        for _ in range(2)
    ]
    client = QueueClient(postgresql, clock, one)
    client.queue = await client.create("orders")
    yield one, other, client
    await other.close()
    await one.close()


async def test_without_notifications_receivers_wake_at_the_poll_interval(
    polling: tuple[Database, Database, QueueClient],
) -> None:
    _, other, client = polling
    with recording() as record, other.waiters.register(client.queue.id) as receiver:
        for body in "ab":
            receiver.clear()
            await client.send(body)
            await wait_until_woken(receiver, client)
            assert await client.bodies() == [body]
    assert not [text for text in record.texts() if "NOTIFY" in text.upper()]


async def test_without_notifications_one_server_leads_and_resyncs(
    polling: tuple[Database, Database, QueueClient],
) -> None:
    one, other, _ = polling
    first, second = RecordedWork(), RecordedWork()
    one.run_on_leader(first)
    other.run_on_leader(second)
    started = {asyncio.create_task(work.next_call()): work for work in (first, second)}
    (task,), (rest,) = await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
    assert task.result() == "start"
    started[task].has_resynced.clear()
    await asyncio.wait_for(started[task].has_resynced.wait(), TIMEOUT_SECONDS)
    assert not rest.done()
    await end_leader_connection(one)
    assert await rest == "start"


async def end_leader_connection(database: Database) -> None:
    """End the connection that has the leader's advisory lock."""

    def end(connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )

    await database.read(end)


async def test_leader_without_notifications_keeps_no_snapshot(
    polling: tuple[Database, Database, QueueClient],
) -> None:
    one, _, client = polling
    work = RecordedWork()
    one.run_on_leader(work)
    await client.send("a")

    def horizons(connection: sa.Connection) -> list[str | None]:
        statement = (
            "SELECT backend_xmin FROM pg_stat_activity JOIN pg_locks USING (pid) "
            "WHERE state = 'idle in transaction' AND locktype = 'advisory'"
        )
        return [row[0] for row in connection.exec_driver_sql(statement)]

    assert await work.next_call() == "start"
    async with asyncio.timeout(TIMEOUT_SECONDS):
        # The leader has a snapshot only while it reads PostgreSQL's clock.
        while await one.read(horizons) != [None]:
            pass
