"""News between servers of one PostgreSQL: who is told what, and when, and what if nobody could."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

import asyncpg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage import notifications
from storage.database import Database
from storage.notifications import LONGEST_BYTES, Notifications
from storage.transaction import Transaction
from storage.waiters import WaitingReceiver
from tests.clock import ManualClock
from tests.engine.recorder import listening, recorded
from tests.engine.stage import Stage, turn
from tests.looks import PATIENCE_SECONDS

NOW_MS = 1_000


@pytest.mark.parametrize(
    ("told", "line"),
    [
        pytest.param(Notifications([(7, NOW_MS, 1)]), "me 7:1000:1", id="one message"),
        pytest.param(
            Notifications([(7, 900, 1), (7, NOW_MS, 2)]), "me 7:1000:3", id="visible ones add up"
        ),
        pytest.param(
            Notifications([(7, 3_000, 1), (7, 2_000, 5)]),
            "me 7:2000:1",
            id="the next moment of several",
        ),
        pytest.param(
            Notifications([(7, NOW_MS, 1), (8, NOW_MS, 1), (7, 2_000, 1)]),
            "me 7:1000:1 8:1000:1 7:2000:1",
            id="several queues",
        ),
        pytest.param(Notifications(gone=[7, 8]), "me gone:7 gone:8", id="gone"),
        pytest.param(Notifications(has_background_work=True), "me work", id="work"),
    ],
)
def test_what_a_transaction_has_done_is_put_together(told: Notifications, line: str) -> None:
    assert notifications.encode("me", told, NOW_MS) == [line]
    sender, heard = notifications.decode(line)
    assert sender == "me"
    assert (heard.gone, heard.has_background_work) == (told.gone, told.has_background_work)
    assert notifications.encode("me", heard, NOW_MS) == [line]


def test_much_news_takes_several_notifications_of_which_none_is_too_long() -> None:
    told = Notifications(
        [(10**15 + number, NOW_MS, 1) for number in range(1_000)], has_background_work=True
    )
    lines = notifications.encode("me", told, NOW_MS)
    assert len(lines) == 4
    assert max(map(len, lines)) <= LONGEST_BYTES < 8_000
    heard = [notifications.decode(line)[1] for line in lines]
    assert list(chain.from_iterable(each.arrivals for each in heard)) == told.arrivals
    assert [each.has_background_work for each in heard] == [True, False, False, False]


def test_words_of_a_later_version_are_passed_over() -> None:
    _, heard = notifications.decode("me shiny 7:1000:1 8:9:10:11 x:y:z gone:x gone 7:1000")
    assert heard == Notifications([(7, 1_000, 1)])


async def woken(place: WaitingReceiver, stage: Stage) -> None:
    sleep = place.sleep_until(stage.clock.now_ms() + 1_000_000)
    await asyncio.wait_for(sleep, PATIENCE_SECONDS)


async def test_who_waits_hears_of_what_another_server_was_sent(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    with other.database.waiters.join(other.queue.id) as place:
        await one.send("a")
        await woken(place, other)
        assert await other.bodies() == ["a"]


async def test_who_waits_hears_when_a_delayed_message_of_another_server_becomes_visible(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    with (
        other.database.waiters.join(other.queue.id) as place,
        other.database.waiters.join(other.queue.id) as second,
    ):
        await one.send("later", delay_s=5)
        await one.send("now")
        await woken(place, other)
        sleep = asyncio.create_task(second.sleep_until(one.clock.now_ms() + 1_000_000))
        await turn()
        one.clock.advance(4.999)
        await turn()
        assert not sleep.done()
        one.clock.advance(0.001)
        await asyncio.wait_for(sleep, PATIENCE_SECONDS)


async def test_a_fifo_group_that_another_server_has_unblocked_is_news(
    two_fifo_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_fifo_servers
    await one.send_to("g", "a", "b")
    first = await one.receive_one()
    with other.database.waiters.join(other.queue.id) as place:
        place.clear()
        assert await other.bodies() == []
        await one.delete(first.receipt)
        await woken(place, other)
        assert await other.bodies() == ["b"]


async def test_all_who_wait_hear_that_another_server_has_purged_the_queue(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    arrivals = other.database.waiters
    with arrivals.join(other.queue.id) as place, arrivals.join(other.queue.id) as second:
        await one.purge()
        await asyncio.gather(woken(place, other), woken(second, other))


async def test_a_look_that_finds_nothing_is_no_news(two_servers: tuple[Stage, Stage]) -> None:
    one, _ = two_servers
    await one.send("a", delay_s=9)
    with listening() as said, one.database.waiters.join(one.queue.id):
        await one.receive()
        await one.send("b")
    notified = [text for text in said.texts() if "pg_notify" in text]
    assert len(notified) == 1


async def cut_links(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'queueserver link'"
    )
    await connection.close()


async def test_a_server_that_was_cut_off_looks_again_at_all_that_somebody_waits_for(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    beside = await other.beside("beside")
    arrivals = other.database.waiters
    with arrivals.join(other.queue.id) as place, arrivals.join(beside.queue.id) as second:
        await cut_links(one.url)
        await asyncio.gather(woken(place, other), woken(second, other))
        place.clear()
        await one.send("a")
        await woken(place, other)


async def test_who_waits_does_not_look_again_and_again_for_what_another_server_holds(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    with other.database.waiters.join(other.queue.id) as place:
        await one.send("a")
        await woken(place, other)
        await turn(100)

        def claim_while_the_other_looks(transaction: Transaction) -> None:
            transaction.connection.execute(sa.text("SELECT 1 FROM messages FOR UPDATE"))
            place.clear()
            looking = other.database.submit(other.receiving(in_line=True))
            assert await_only(looking) == []

        await one.database.write(claim_while_the_other_looks)
        sleep = asyncio.create_task(place.sleep_until(other.clock.now_ms() + 1_000_000))
        await turn()
        assert not sleep.done()
        other.clock.advance(0.02)
        await asyncio.wait_for(sleep, PATIENCE_SECONDS)
        assert await other.bodies() == ["a"]


class Watcher:
    """Notes whose turn it is, and what there is to do."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self.hurried = asyncio.Event()
        self.looked = asyncio.Event()

    def begin(self) -> None:
        self.heard.put_nowait("begin")

    def end(self) -> None:
        self.heard.put_nowait("end")

    def run_soon(self) -> None:
        self.hurried.set()

    def look(self) -> None:
        self.looked.set()

    async def next(self) -> str:
        return await asyncio.wait_for(self.heard.get(), PATIENCE_SECONDS)


async def test_one_server_does_what_is_to_be_done_for_all_and_another_when_it_goes(
    postgresql: str,
) -> None:
    clock = ManualClock()
    one = await Database.open(postgresql, clock, engine_settings=recorded())
    first, second = Watcher(), Watcher()
    one.run_on_leader(first)
    assert await first.next() == "begin"
    other = await Database.open(postgresql, clock, engine_settings=recorded())
    other.run_on_leader(second)
    await one.close()
    assert await second.next() == "begin"
    await cut_links(postgresql)
    assert [await second.next(), await second.next()] == ["end", "begin"]
    await other.close()


async def test_what_is_left_to_be_done_is_told_to_whoever_does_it(
    two_servers: tuple[Stage, Stage],
) -> None:
    one, other = two_servers
    watcher = Watcher()
    one.database.run_on_leader(watcher)
    await other.purge()
    await asyncio.wait_for(watcher.hurried.wait(), PATIENCE_SECONDS)


@pytest_asyncio.fixture
async def polling(
    postgresql: str,
) -> AsyncIterator[tuple[Database, Database, Stage]]:
    """Give two servers that cannot be told of news."""
    clock = ManualClock()
    one, other = [
        await Database.open(postgresql, clock, poll_seconds=0.05, engine_settings=recorded())
        for _ in range(2)
    ]
    stage = Stage(postgresql, clock, one)
    stage.queue = await stage.create("orders")
    yield one, other, stage
    await other.close()
    await one.close()


async def test_without_news_who_waits_looks_every_so_often(
    polling: tuple[Database, Database, Stage],
) -> None:
    _, other, stage = polling
    with listening() as said, other.waiters.join(stage.queue.id) as place:
        for body in "ab":
            place.clear()
            await stage.send(body)
            await woken(place, stage)
            assert await stage.bodies() == [body]
    assert not [text for text in said.texts() if "NOTIFY" in text.upper()]


async def test_without_news_one_server_does_what_is_to_be_done_and_looks_for_it(
    polling: tuple[Database, Database, Stage],
) -> None:
    one, other, _ = polling
    first, second = Watcher(), Watcher()
    one.run_on_leader(first)
    other.run_on_leader(second)
    begun = {asyncio.create_task(watcher.next()): watcher for watcher in (first, second)}
    (task,), (rest,) = await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
    assert task.result() == "begin"
    begun[task].looked.clear()
    await asyncio.wait_for(begun[task].looked.wait(), PATIENCE_SECONDS)
    assert not rest.done()
    await cut_links_of_transactions(one)
    assert await rest == "begin"


async def cut_links_of_transactions(database: Database) -> None:
    """End the session that has left a transaction open, which is whose turn it is."""

    def end(connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )

    await database.read(end)


async def test_a_turn_without_news_keeps_no_dead_rows(
    polling: tuple[Database, Database, Stage],
) -> None:
    one, _, stage = polling
    watcher = Watcher()
    one.run_on_leader(watcher)
    await stage.send("a")

    def horizons(connection: sa.Connection) -> list[str | None]:
        statement = (
            "SELECT backend_xmin FROM pg_stat_activity JOIN pg_locks USING (pid) "
            "WHERE state = 'idle in transaction' AND locktype = 'advisory'"
        )
        return [row[0] for row in connection.exec_driver_sql(statement)]

    assert await watcher.next() == "begin"
    async with asyncio.timeout(PATIENCE_SECONDS):
        # While it asks what time it is, it has a moment of its own.
        while await one.read(horizons) != [None]:
            pass
