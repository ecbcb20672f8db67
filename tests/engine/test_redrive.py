"""Dead-letter queues: when a message is moved there, what it keeps, and what it begins anew."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from storage import queues
from storage.messages.commands import Received
from storage.schema import bodies, messages
from storage.sql.driver import Driver
from tests.engine.receivers import Receivers
from tests.engine.recorder import Watcher, recording, watching
from tests.engine.stage import Stage, fifo_message, new_message, tenant_message

KINDS = pytest.mark.parametrize("kind", ["standard", "fifo"])


async def pair(stage: Stage, kind: str, maximum_receives: int = 1) -> tuple[Stage, Stage]:
    """Give a queue and its dead-letter queue."""
    source, target = await stage.beside("source", kind), await stage.beside("target", kind)
    await source.redrive_to("target", maximum_receives)
    return source, target


async def send(stage: Stage, *names: str) -> None:
    group = stage.send if stage.queue.kind == "standard" else lambda *n: stage.send_to("g", *n)
    await group(*names)


async def exhaust(stage: Stage, times: int = 1) -> list[Received]:
    for _ in range(times):
        received = await stage.receive(timeout_s=0)
    stage.clock.advance(0.001)
    return received


async def places(stage: Stage) -> dict[str, list[int]]:
    """Tell in which queues the state and the content of each body are."""

    def look(connection: sa.Connection) -> dict[str, list[int]]:
        content = {row.id: row for row in connection.execute(sa.select(bodies))}
        found: dict[str, list[int]] = {row.body: [] for row in content.values()}
        for row in connection.execute(sa.select(messages)):
            assert content[row.id].queue_id == row.queue_id
            found[content[row.id].body].append(row.queue_id)
        return found

    return await stage.database.read(look)


@KINDS
@pytest.mark.parametrize("maximum_receives", [1, 2, 5])
async def test_the_receive_after_the_last_allowed_moves(
    stage: Stage, kind: str, maximum_receives: int
) -> None:
    source, target = await pair(stage, kind, maximum_receives)
    await send(source, "a")
    for _ in range(maximum_receives):
        assert await source.bodies() == ["a"]
        stage.clock.advance(30)
        assert await target.bodies() == []
    assert await places(stage) == {"a": [source.queue.id]}
    assert await source.bodies() == []
    (moved,) = await target.receive()
    assert (moved.body, moved.receipt.receive_count) == ("a", maximum_receives + 1)
    assert await places(stage) == {"a": [target.queue.id]}
    assert (await source.counts(), await target.counts()) == ((0, 0, 0), (0, 1, 0))


@KINDS
async def test_a_move_is_part_of_the_receives_transaction(stage: Stage, kind: str) -> None:
    source, target = await pair(stage, kind)
    await send(source, *"abc")
    await exhaust(source)
    with recording() as heard:
        await source.receive()
    assert (heard.commits, heard.rollbacks) == (1, 0)
    assert await places(stage) == {body: [target.queue.id] for body in "abc"}


@KINDS
async def test_a_receive_that_fails_moves_nothing(stage: Stage, kind: str) -> None:
    source, target = await pair(stage, kind)
    await send(source, "a")
    await exhaust(source)

    def break_off(_driver: Driver, text: str, *_: object) -> None:
        if text.startswith("UPDATE bodies"):
            raise RuntimeError

    with watching(Watcher(statement=break_off)), pytest.raises(RuntimeError):
        await source.receive()
    assert await places(stage) == {"a": [source.queue.id]}
    assert (await source.counts(), await target.counts()) == ((1, 0, 0), (0, 0, 0))
    assert await source.bodies() == []
    assert await target.bodies() == ["a"]


@KINDS
async def test_what_is_not_exhausted_is_given_by_the_receive_that_moves(
    stage: Stage, kind: str
) -> None:
    source, target = await pair(stage, kind)
    await send(source, *"ab")
    await exhaust(source)
    await send(source, "c")
    assert await source.bodies() == ["c"]
    assert await target.bodies() == ["a", "b"]


@KINDS
async def test_hundreds_of_exhausted_messages_do_not_hide_one_that_is_not(
    stage: Stage, kind: str
) -> None:
    source, target = await pair(stage, kind)
    for first in range(0, 600, 10):
        await send(source, *(f"{n}" for n in range(first, first + 10)))
    await stage.database.write(
        lambda tx: tx.connection.execute(messages.update().values(receive_count=1))
    )
    stage.clock.advance(1)
    await send(source, "fresh")
    assert await source.bodies(1) == ["fresh"]
    assert await target.counts() == (600, 0, 0)
    if kind == "fifo":
        assert await target.bodies() == [f"{n}" for n in range(10)]


@KINDS
async def test_what_a_move_keeps_and_what_it_changes(stage: Stage, kind: str) -> None:
    source, target = await pair(stage, kind)
    message = fifo_message("a", "group") if kind == "fifo" else tenant_message("a", "group")
    await source.database.submit(source.sending(message))
    (before,) = await exhaust(source)
    stage.clock.advance(100)
    await source.receive()
    (after,) = await target.receive()
    kept = ("message_id", "body", "envelope", "group_id", "is_ordered", "first_received_at_ms")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert after.dead_letter_source == source.queue.full_name
    assert before.dead_letter_source is None
    assert after.receipt.number > before.receipt.number
    is_new = after.sent_at_ms > before.sent_at_ms
    assert is_new is (kind == "fifo")


@pytest.mark.parametrize(("kind", "lives"), [("standard", False), ("fifo", True)])
async def test_retention_goes_on_for_standard_and_begins_anew_for_fifo(
    stage: Stage, kind: str, lives: bool
) -> None:
    source, target = await pair(stage, kind)
    await send(source, "a")
    await exhaust(source)
    stage.clock.advance(100_000)
    await source.receive()
    stage.clock.advance(target.retention_s - 100_000)
    assert await target.bodies() == (["a"] if lives else [])


@KINDS
async def test_old_receipts_of_a_moved_message_name_nothing(stage: Stage, kind: str) -> None:
    source, target = await pair(stage, kind)
    await send(source, "a")
    (before,) = await exhaust(source)
    await source.receive()
    await source.delete(before.receipt)
    await source.release(before)
    assert await target.bodies() == ["a"]


@KINDS
async def test_dead_letter_queues_can_be_chained(stage: Stage, kind: str) -> None:
    chain = [await stage.beside(name, kind) for name in ("q1", "q2", "q3")]
    await chain[0].redrive_to("q2", 1)
    await chain[1].redrive_to("q3", 2)
    await send(chain[0], "a")
    await exhaust(chain[0])
    assert await chain[0].bodies() == []
    (second,) = await exhaust(chain[1], 1)
    assert second.receipt.receive_count == 2
    assert await chain[1].bodies() == []
    (third,) = await chain[2].receive()
    assert (third.receipt.receive_count, third.dead_letter_source) == (3, chain[1].queue.full_name)


@KINDS
async def test_a_chain_is_walked_in_one_drain_without_losing_anything(
    stage: Stage, kind: str
) -> None:
    chain = [await stage.beside(name, kind) for name in ("q1", "q2", "q3")]
    await chain[0].redrive_to("q2", 1)
    await chain[1].redrive_to("q3", 1)
    await send(chain[0], *"abc")
    await exhaust(chain[0])
    answers = await asyncio.gather(*(queue.bodies() for queue in chain))
    left = [await queue.counts() for queue in chain]
    assert answers == [[], [], ["a", "b", "c"]]
    assert left == [(0, 0, 0), (0, 0, 0), (0, 3, 0)]


@KINDS
@pytest.mark.parametrize("target", ["source", "never-was"], ids=["itself", "missing"])
async def test_a_queue_without_another_to_move_to_delivers_on(
    stage: Stage, kind: str, target: str
) -> None:
    source, _ = await pair(stage, kind)
    await source.redrive_to(target, 1)
    await send(source, *"ab")
    for count in range(1, 5):
        received = await exhaust(source)
        assert [(m.body, m.receipt.receive_count) for m in received] == [("a", count), ("b", count)]
    assert (await source.counts())[0] == 2


async def test_a_group_keeps_its_order_when_there_is_nowhere_to_move_to(fifo: Stage) -> None:
    await fifo.redrive_to("never-was", 1)
    await fifo.send_to("g", *"abc")
    await fifo.bodies(1, timeout_s=0)
    assert await fifo.bodies() == ["a", "b", "c"]


@KINDS
async def test_a_deleted_dead_letter_queue_lets_its_source_deliver_on(
    stage: Stage, kind: str
) -> None:
    source, target = await pair(stage, kind)
    await send(source, "a")
    await exhaust(source)
    await stage.database.write(queues.delete, target.queue)
    assert await source.bodies() == ["a"]


@KINDS
async def test_who_waits_for_the_dead_letter_queue_is_woken(stage: Stage, kind: str) -> None:
    source, target = await pair(stage, kind)
    await send(source, *"ab")
    await exhaust(source)
    room = Receivers(target)
    await room.enter(3, maximum=1 if kind == "standard" else 2)
    await source.receive()
    expected = [["a"], ["b"], None] if kind == "standard" else [["a", "b"], None, None]
    assert await room.answers() == expected
    await room.empty()


async def test_a_group_is_moved_in_order_and_can_be_used_afterwards(fifo: Stage) -> None:
    source, target = await pair(fifo, "fifo")
    await source.send_to("g", *"abc")
    await source.send_to("h", "d")
    await exhaust(source)
    await source.send_to("g", "e")
    assert await source.bodies() == ["e"]
    await source.send_to("h", "f")
    assert await source.bodies() == ["f"]
    moved = await target.receive()
    assert sorted(m.body for m in moved) == ["a", "b", "c", "d"]
    assert [m.body for m in moved if m.group_id == "g"] == ["a", "b", "c"]
    assert await target.bodies() == []


async def test_moved_messages_go_behind_those_of_their_group(fifo: Stage) -> None:
    source, target = await pair(fifo, "fifo")
    await source.send_to("g", "a")
    await exhaust(source)
    await target.send_to("g", "z")
    await source.receive()
    assert await target.bodies(1) == ["z"]
    assert await target.bodies() == []
    fifo.clock.advance(30)
    assert await target.bodies() == ["z", "a"]


async def test_exhausted_messages_behind_one_in_flight_are_not_moved_yet(fifo: Stage) -> None:
    source, target = await pair(fifo, "fifo", 2)
    await source.send_to("g", *"abc")
    await exhaust(source)
    received = await source.receive()
    for message in received[1:]:
        await source.change(message.receipt, 0)
    assert await source.bodies() == []
    assert await target.counts() == (0, 0, 0)
    await source.delete(received[0].receipt)
    assert await source.bodies() == []
    assert await target.bodies() == ["b", "c"]


async def test_messages_in_flight_are_not_moved_however_often_received(stage: Stage) -> None:
    source, target = await pair(stage, "standard")
    await source.send("a")
    await source.receive(timeout_s=10)
    assert await source.bodies() == []
    assert await target.counts() == (0, 0, 0)


async def test_an_expired_message_is_not_moved(stage: Stage) -> None:
    source, target = await pair(stage, "standard")
    await source.send("a")
    await exhaust(source)
    stage.clock.advance(source.retention_s)
    assert await source.bodies() == []
    assert (await stage.rows())["messages"] == 0
    assert await target.counts() == (0, 0, 0)


async def test_equal_deduplication_ids_do_not_meet_in_the_dead_letter_queue(fifo: Stage) -> None:
    target = await fifo.beside("target")
    for name in ("q1", "q2"):
        source = await fifo.beside(name)
        await source.redrive_to("target", 1)
        await source.database.submit(source.sending(fifo_message(name, "g", "same")))
        await exhaust(source)
        assert await source.bodies() == []
    assert await target.bodies() == ["q1", "q2"]


@KINDS
async def test_a_busy_pair_never_has_a_message_twice_or_not_at_all(stage: Stage, kind: str) -> None:
    source, target = await pair(stage, kind, 2)
    sent = 0
    for number in range(25):
        make = fifo_message if kind == "fifo" else new_message
        messages = [make(f"{sent + n}") for n in range(4)]
        sent += 4
        await asyncio.gather(
            source.database.submit(source.sending(*messages)),
            source.receive(3, timeout_s=number % 3),
            target.receive(2, timeout_s=0),
            source.receive(2, timeout_s=0),
        )
        stage.clock.advance(0.5)
        found = await places(stage)
        assert len(found) == sent
        assert all(len(queue_ids) == 1 for queue_ids in found.values())
    assert sum(await source.counts()) + sum(await target.counts()) == sent
