"""Group commit: which commands share a transaction, and what a failure rolls back."""

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
from tests.engine.queue_client import QueueClient, TwoServers, new_message, run_event_loop
from tests.engine.recorder import recording
from tests.waiting import TIMEOUT_SECONDS


def bad_message(body: object = "x") -> NewMessage:
    """Return a message that no database accepts."""
    message_id = bytes(16) if body != "x" else cast("bytes", None)
    return NewMessage(message_id, cast("str", body), b"", 1, None, 0)


def insert_deletion(transaction: Transaction, name: str) -> None:
    """Insert a row that shows whether the transaction was committed."""
    row = {"account": "1", "region": "r", "name": name, "deleted_at_ms": 1}
    transaction.connection.execute(schema.deletions.insert(), row)


async def deletions(client: QueueClient) -> list[str]:
    """Return the names of the rows that `insert_deletion` inserted."""

    def names(connection: sa.Connection) -> list[str]:
        return list(connection.scalars(sa.select(schema.deletions.c.name).order_by("name")))

    return await client.database.read(names)


async def test_commands_submitted_together_are_committed_together(client: QueueClient) -> None:
    with recording() as record:
        await asyncio.gather(*(client.send("x") for _ in range(50)))
    assert (record.commits, record.rollbacks) == (1, 0)


async def test_commands_of_all_kinds_and_queues_are_committed_together(client: QueueClient) -> None:
    await client.send(*"abc")
    a, b, c = await client.receive()
    orders, client.queue = client.queue, await client.create("others")
    commands: list[Command[Any]] = [client.send_command(new_message("x")), client.receive_command()]
    client.queue = orders
    commands += [
        client.delete_command(a.receipt),
        client.change_command((b.receipt, 0)),
        client.receive_command(),
    ]
    with recording() as record:
        results = await asyncio.gather(*map(client.database.submit, commands))
    assert record.commits == 1
    sent, others, deleted, changed, received = results
    assert [len(sent), deleted, changed] == [1, [Outcome.DONE], [Outcome.DONE]]
    assert [r.body for r in others] == ["x"]
    assert [r.body for r in received] == ["b"]
    assert c.body == "c"


async def test_statements_of_a_batch_do_not_grow_with_its_commands(client: QueueClient) -> None:
    counted = []
    for size in (2, 40):
        await client.send(*"x" * 10)
        with recording() as record:
            await asyncio.gather(*(client.send("x") for _ in range(size)))
        counted.append(len(record.statements))
    assert counted[0] == counted[1]


async def test_results_are_in_the_order_of_commands(client: QueueClient) -> None:
    sends = [client.send(*[f"{position}"] * (position + 1)) for position in range(4)]
    results = await asyncio.gather(*sends)
    assert [len(numbers) for numbers in results] == [1, 2, 3, 4]
    assert "".join(await client.bodies()) == "0112223333"


async def test_failed_command_does_not_affect_the_others_of_its_batch(client: QueueClient) -> None:
    sends = [new_message("a"), bad_message(), new_message("b"), bad_message(), new_message("c")]
    results = await asyncio.gather(
        *(client.database.submit(client.send_command(message)) for message in sends),
        return_exceptions=True,
    )
    assert [isinstance(result, IntegrityError) for result in results] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert await client.counts() == (3, 0, 0)
    assert await client.bodies() == ["a", "b", "c"]
    assert (await client.rows())["messages"] == 3


@pytest.mark.parametrize("body", ["\ud800", b"bytes", 1.5], ids=["surrogate", "bytes", "float"])
async def test_value_the_driver_rejects_does_not_affect_other_commands(
    two_servers: TwoServers, body: object
) -> None:
    client, _ = two_servers
    results = await asyncio.gather(
        client.send("a"),
        client.database.submit(client.send_command(bad_message(body))),
        client.send("b"),
        return_exceptions=True,
    )
    assert isinstance(results[1], Exception)
    assert not isinstance(results[1], DatabaseUnavailable)
    assert await client.bodies() == ["a", "b"]


async def test_send_with_one_bad_message_sends_none(client: QueueClient) -> None:
    with pytest.raises(IntegrityError):
        await client.database.submit(client.send_command(new_message("a"), bad_message()))
    assert await client.counts() == (0, 0, 0)


async def test_each_write_function_has_its_own_transaction(client: QueueClient) -> None:
    with recording() as record:
        await asyncio.gather(
            client.send("a"),
            client.database.write(insert_deletion, "1"),
            client.database.write(insert_deletion, "2"),
            client.send("b"),
            client.send("c"),
        )
    assert record.commits == 4
    assert await deletions(client) == ["1", "2"]
    assert await client.bodies() == ["a", "b", "c"]


async def test_error_of_a_write_function_rolls_back_that_function_only(
    client: QueueClient,
) -> None:
    def fail(transaction: Transaction) -> None:
        insert_deletion(transaction, "never")
        raise LookupError("own error")

    with recording() as record:
        results = await asyncio.gather(
            client.send("a"),
            client.database.write(fail),
            client.database.write(insert_deletion, "kept"),
            client.send("b"),
            return_exceptions=True,
        )
    assert (record.commits, record.rollbacks) == (3, 1)
    assert [type(result) for result in results] == [list, LookupError, type(None), list]
    assert await deletions(client) == ["kept"]
    assert await client.bodies() == ["a", "b"]


async def test_failed_transaction_sends_no_notification(client: QueueClient) -> None:
    def notify_and_fail(transaction: Transaction) -> None:
        transaction.notify_receivers(client.queue.id, 0)
        transaction.notify_dropped(client.queue.id)
        raise LookupError

    with client.database.waiters.register(client.queue.id) as receiver:
        sleep = asyncio.create_task(receiver.sleep_until(client.clock.now_ms() + 1_000))
        with pytest.raises(LookupError):
            await client.database.write(notify_and_fail)
        await run_event_loop()
        assert not sleep.done()
        client.clock.advance(1)
        await asyncio.wait_for(sleep, TIMEOUT_SECONDS)


async def test_cancelled_submit_does_not_undo_its_command(client: QueueClient) -> None:
    cancelled = client.database.submit(client.send_command(new_message("a")))
    cancelled.cancel()
    await client.send("b")
    assert await client.bodies() == ["a", "b"]


async def test_more_commands_than_one_batch_takes_are_all_executed(client: QueueClient) -> None:
    with recording() as record:
        results = await asyncio.gather(*(client.send("x") for _ in range(1_001)))
    assert record.commits == 2
    assert len({number for (number,) in results}) == 1_001


async def test_batch_of_ten_thousand_deletes_fits_into_its_statements(client: QueueClient) -> None:
    sent = await client.database.submit(client.send_command(*[new_message("x")] * 10_000))
    receipts = [Receipt(client.queue.id, one.number, 1) for one in sent]
    deletes = [
        client.database.submit(client.delete_command(*receipts[first : first + 10]))
        for first in range(0, 10_000, 10)
    ]
    await asyncio.gather(*deletes)
    assert await client.counts() == (0, 0, 0)


@pytest.mark.parametrize("iterations", [0, 1, 3], ids=["before", "at", "after"])
async def test_close_commits_accepted_writes(client: QueueClient, iterations: int) -> None:
    accepted: list[asyncio.Future[Any]] = [
        client.database.submit(client.send_command(new_message("a"))) for _ in range(20)
    ]
    accepted.append(asyncio.ensure_future(client.database.write(insert_deletion, "kept")))
    await run_event_loop(max(iterations, 1))
    accepted += [client.database.submit(client.send_command(new_message("b"))) for _ in range(20)]
    await run_event_loop(iterations)
    await client.database.close()
    assert all(future.done() for future in accepted[:20] + accepted[21:])
    await accepted[20]
    client.database = (await QueueClient.open(client.url, client.clock)).database
    assert await client.counts() == (40, 0, 0)
    assert await deletions(client) == ["kept"]


async def test_writes_after_close_are_rejected(client: QueueClient) -> None:
    closing = asyncio.create_task(client.database.close())
    await run_event_loop(1)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            client.database.submit(client.send_command(new_message("a")))
        with pytest.raises(DatabaseUnavailable):
            await client.database.write(insert_deletion, "never")
        with pytest.raises(DatabaseUnavailable):
            await client.database.ping()
        await closing
    client.database = (await QueueClient.open(client.url, client.clock)).database
    assert await client.counts() == (0, 0, 0)


async def test_ping_succeeds(client: QueueClient) -> None:
    await client.database.ping()


async def test_count_of_each_queue_is_written_at_most_once_in_a_batch(client: QueueClient) -> None:
    await client.send(*"ab")
    received = await client.receive_one()
    with recording() as record:
        await asyncio.gather(client.send("x"), client.delete(received.receipt))
    assert not [text for text in record.texts() if text.startswith("UPDATE backlogs")]
    with recording() as record:
        await asyncio.gather(client.send("x"), client.send("y"))
    assert len([text for text in record.texts() if text.startswith("UPDATE backlogs")]) == 1
    assert await client.counts() == (4, 0, 0)


async def test_callback_gets_the_result_or_the_exception_after_commit(client: QueueClient) -> None:
    results: list[object] = []
    client.database.submit_with(client.send_command(new_message("a")), results.append)
    client.database.submit_with(client.send_command(bad_message()), results.append)
    assert results == []
    await client.send("b")
    assert [type(result) for result in results] == [list, IntegrityError]
    assert await client.counts() == (2, 0, 0)


async def test_callback_that_raises_is_logged_and_does_not_affect_other_writes(
    client: QueueClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise LookupError("of the caller")

    client.database.submit_with(client.send_command(new_message("a")), fail)
    await client.send("b")
    assert await client.counts() == (2, 0, 0)
    assert "LookupError: of the caller" in caplog.text


async def test_callback_may_submit_the_next_command(client: QueueClient) -> None:
    received = asyncio.get_running_loop().create_future()

    def receive(_: object) -> None:
        client.database.submit_with(client.receive_command(), received.set_result)

    client.database.submit_with(client.send_command(new_message("a")), receive)
    assert [one.body for one in await received] == ["a"]


async def test_callback_is_not_called_for_a_rejected_command(client: QueueClient) -> None:
    results: list[object] = []
    await client.database.close()
    with pytest.raises(DatabaseUnavailable):
        client.database.submit_with(client.receive_command(), results.append)
    assert results == []
    client.database = (await QueueClient.open(client.url, client.clock)).database


class FailingWork:
    """Background work that cannot be run."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def resync(self) -> None: ...

    def run_soon(self) -> None:
        raise LookupError("of the background work")


async def test_failure_after_commit_does_not_fail_the_write(
    client: QueueClient, caplog: pytest.LogCaptureFixture
) -> None:
    def insert(transaction: Transaction) -> str:
        insert_deletion(transaction, "kept")
        transaction.notify_background_work()
        return "done"

    client.database.run_on_leader(FailingWork())
    assert await client.database.write(insert) == "done"
    assert await deletions(client) == ["kept"]
    assert "LookupError: of the background work" in caplog.text
    await client.send("a")
    assert await client.bodies() == ["a"]


@pytest.mark.parametrize("sends", [2, 5])
async def test_commands_of_the_next_iterations_share_the_transaction(
    sqlite: str, sends: int
) -> None:
    client = await QueueClient.open(sqlite)
    await client.send("first")  # from now on, small batches are committed on the event loop
    loop = asyncio.get_running_loop()
    sent: list[asyncio.Future[Any]] = []

    def send(number: int) -> None:
        # Two in the first iteration, and one in each of the next ones.
        sent.append(client.database.submit(client.send_command(new_message(str(number)))))
        if number < sends:
            loop.call_soon(send, number + 1)

    with recording() as record:
        send(0)
        send(sends)
        await run_event_loop(sends + 2)
        await asyncio.gather(*sent)
    assert len(sent) == sends + 2
    assert record.commits == 1
    await client.database.close()
