"""Group commit: who shares a transaction, whom a failure harms, and when an answer is given."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from storage import schema
from storage.errors import DatabaseUnavailable
from storage.messages.commands import Command, NewMessage, Outcome, Receipt
from storage.transaction import Transaction
from tests.engine.recorder import recording
from tests.engine.stage import Stage, new_message, turn


def bad_message(body: object = None) -> NewMessage:
    """Give a message that no database takes."""
    return NewMessage(bytes(16), cast("str", body), b"", None, 0)


def insert_deletion(transaction: Transaction, name: str) -> None:
    row = {"account": "1", "region": "r", "name": name, "deleted_at_ms": 1}
    transaction.connection.execute(schema.deletions.insert(), row)


async def deletions(stage: Stage) -> list[str]:
    def names(connection: sa.Connection) -> list[str]:
        return list(connection.scalars(sa.select(schema.deletions.c.name).order_by("name")))

    return await stage.database.read(names)


async def test_commands_of_one_turn_are_committed_together(stage: Stage) -> None:
    with recording() as heard:
        await asyncio.gather(*(stage.send("x") for _ in range(50)))
    assert (heard.commits, heard.rollbacks) == (1, 0)


async def test_commands_of_all_kinds_and_queues_are_committed_together(stage: Stage) -> None:
    await stage.send(*"abc")
    a, b, c = await stage.receive()
    orders, stage.queue = stage.queue, await stage.create("others")
    commands: list[Command[Any]] = [stage.sending(new_message("x")), stage.receiving()]
    stage.queue = orders
    commands += [stage.deleting(a.receipt), stage.changing((b.receipt, 0)), stage.receiving()]
    with recording() as heard:
        results = await asyncio.gather(*map(stage.database.submit, commands))
    assert heard.commits == 1
    sent, others, deleted, changed, received = results
    assert [len(sent), deleted, changed] == [1, [Outcome.DONE], [Outcome.DONE]]
    assert [r.body for r in others] == ["x"]
    assert [r.body for r in received] == ["b"]
    assert c.body == "c"


async def test_statements_do_not_grow_with_the_commands_of_a_drain(stage: Stage) -> None:
    counted = []
    for size in (2, 40):
        await stage.send(*"x" * 10)
        with recording() as heard:
            await asyncio.gather(*(stage.send("x") for _ in range(size)))
        counted.append(len(heard.statements))
    assert counted[0] == counted[1]


async def test_results_keep_the_order_of_commands(stage: Stage) -> None:
    sends = [stage.send(*[f"{position}"] * (position + 1)) for position in range(4)]
    results = await asyncio.gather(*sends)
    assert [len(numbers) for numbers in results] == [1, 2, 3, 4]
    assert "".join(await stage.bodies()) == "0112223333"


async def test_a_command_that_fails_harms_only_itself(stage: Stage) -> None:
    sends = [new_message("a"), bad_message(), new_message("b"), bad_message(), new_message("c")]
    results = await asyncio.gather(
        *(stage.database.submit(stage.sending(message)) for message in sends),
        return_exceptions=True,
    )
    assert [isinstance(result, IntegrityError) for result in results] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert await stage.counts() == (3, 0, 0)
    assert await stage.bodies() == ["a", "b", "c"]
    assert (await stage.rows())["messages"] == 3


@pytest.mark.parametrize("body", ["\ud800", b"bytes", 1.5], ids=["surrogate", "bytes", "float"])
async def test_what_the_driver_cannot_write_harms_only_itself(
    two_servers: tuple[Stage, Stage], body: object
) -> None:
    stage, _ = two_servers
    results = await asyncio.gather(
        stage.send("a"),
        stage.database.submit(stage.sending(bad_message(body))),
        stage.send("b"),
        return_exceptions=True,
    )
    assert isinstance(results[1], Exception)
    assert not isinstance(results[1], DatabaseUnavailable)
    assert await stage.bodies() == ["a", "b"]


async def test_a_send_fails_as_a_whole(stage: Stage) -> None:
    with pytest.raises(IntegrityError):
        await stage.database.submit(stage.sending(new_message("a"), bad_message()))
    assert await stage.counts() == (0, 0, 0)


async def test_a_write_is_a_transaction_of_its_own(stage: Stage) -> None:
    with recording() as heard:
        await asyncio.gather(
            stage.send("a"),
            stage.database.write(insert_deletion, "1"),
            stage.database.write(insert_deletion, "2"),
            stage.send("b"),
            stage.send("c"),
        )
    assert heard.commits == 4
    assert await deletions(stage) == ["1", "2"]
    assert await stage.bodies() == ["a", "b", "c"]


async def test_what_a_write_raises_rolls_it_back_and_reaches_its_caller_only(stage: Stage) -> None:
    def fail(transaction: Transaction) -> None:
        insert_deletion(transaction, "never")
        raise LookupError("mine")

    with recording() as heard:
        results = await asyncio.gather(
            stage.send("a"),
            stage.database.write(fail),
            stage.database.write(insert_deletion, "kept"),
            stage.send("b"),
            return_exceptions=True,
        )
    assert (heard.commits, heard.rollbacks) == (3, 1)
    assert [type(result) for result in results] == [list, LookupError, type(None), list]
    assert await deletions(stage) == ["kept"]
    assert await stage.bodies() == ["a", "b"]


async def test_news_of_a_transaction_that_failed_reaches_nobody(stage: Stage) -> None:
    def announce_and_fail(transaction: Transaction) -> None:
        transaction.notify_receivers(stage.queue.id, 0)
        transaction.notify_dropped(stage.queue.id)
        raise LookupError

    with stage.database.waiters.register(stage.queue.id) as place:
        sleep = asyncio.create_task(place.sleep_until(stage.clock.now_ms() + 1_000))
        with pytest.raises(LookupError):
            await stage.database.write(announce_and_fail)
        await turn()
        assert not sleep.done()
        stage.clock.advance(1)
        await asyncio.wait_for(sleep, timeout=5)


async def test_a_caller_that_gives_up_does_not_undo_its_command(stage: Stage) -> None:
    given_up = stage.database.submit(stage.sending(new_message("a")))
    given_up.cancel()
    await stage.send("b")
    assert await stage.bodies() == ["a", "b"]


async def test_more_commands_than_one_drain_takes_are_all_answered(stage: Stage) -> None:
    with recording() as heard:
        results = await asyncio.gather(*(stage.send("x") for _ in range(1_001)))
    assert heard.commits == 2
    assert len({number for (number,) in results}) == 1_001


async def test_a_full_drain_of_receipts_fits_into_its_statements(stage: Stage) -> None:
    sent = await stage.database.submit(stage.sending(*[new_message("x")] * 10_000))
    receipts = [Receipt(stage.queue.id, one.number, 1) for one in sent]
    deletes = [
        stage.database.submit(stage.deleting(*receipts[first : first + 10]))
        for first in range(0, 10_000, 10)
    ]
    await asyncio.gather(*deletes)
    assert await stage.counts() == (0, 0, 0)


@pytest.mark.parametrize("turns", [0, 1, 3], ids=["before", "at", "after"])
async def test_closing_commits_what_was_accepted(stage: Stage, turns: int) -> None:
    accepted: list[asyncio.Future[Any]] = [
        stage.database.submit(stage.sending(new_message("a"))) for _ in range(20)
    ]
    accepted.append(asyncio.ensure_future(stage.database.write(insert_deletion, "kept")))
    await turn(max(turns, 1))
    accepted += [stage.database.submit(stage.sending(new_message("b"))) for _ in range(20)]
    await turn(turns)
    await stage.database.close()
    assert all(future.done() for future in accepted[:20] + accepted[21:])
    await accepted[20]
    stage.database = (await Stage.open(stage.url, stage.clock)).database
    assert await stage.counts() == (40, 0, 0)
    assert await deletions(stage) == ["kept"]


async def test_what_comes_after_closing_is_refused(stage: Stage) -> None:
    closing = asyncio.create_task(stage.database.close())
    await turn(1)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            stage.database.submit(stage.sending(new_message("a")))
        with pytest.raises(DatabaseUnavailable):
            await stage.database.write(insert_deletion, "never")
        with pytest.raises(DatabaseUnavailable):
            await stage.database.ping()
        await closing
    stage.database = (await Stage.open(stage.url, stage.clock)).database
    assert await stage.counts() == (0, 0, 0)


async def test_a_ping_is_answered(stage: Stage) -> None:
    await stage.database.ping()


async def test_counts_are_written_once_for_each_queue_of_a_drain(stage: Stage) -> None:
    await stage.send(*"ab")
    received = await stage.receive_one()
    with recording() as heard:
        await asyncio.gather(stage.send("x"), stage.delete(received.receipt))
    assert not [text for text in heard.texts() if text.startswith("UPDATE backlogs")]
    with recording() as heard:
        await asyncio.gather(stage.send("x"), stage.send("y"))
    assert len([text for text in heard.texts() if text.startswith("UPDATE backlogs")]) == 1
    assert await stage.counts() == (4, 0, 0)
