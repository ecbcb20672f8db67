"""Message move tasks: which messages a task moves, how it ends, and which tasks are kept."""

from __future__ import annotations

import asyncio
import re

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from storage import move_tasks, queues
from storage.move_tasks import NoDestination, NoSource, Task, TaskHasEnded, TaskIsRunning
from storage.queue_settings import QueueName
from storage.transaction import Transaction
from tests.engine.dead_letters import KINDS, locations, send
from tests.engine.queue_client import (
    ACCOUNT,
    REGION,
    RETENTION_S,
    QueueClient,
    TwoServers,
    queue_name,
)
from tests.engine.receivers import Receivers
from tests.engine.recorder import recording
from tests.waiting import TRANSACTION_TIMEOUT_SECONDS


class MoveTasks:
    """A dead-letter queue with messages of its sources, and its move tasks."""

    def __init__(self, client: QueueClient, dead: QueueClient, sources: list[QueueClient]) -> None:
        self.client = client
        self.dead = dead
        self.sources = sources
        self.started = 0

    @classmethod
    async def create(cls, client: QueueClient, kind: str, **sent: str) -> MoveTasks:
        """Create a source for each keyword; send and dead-letter each letter of its value."""
        dead = await client.another_queue("dead", kind)
        tasks = cls(client, dead, [])
        for name, letters in sent.items():
            source = await client.another_queue(name, kind)
            await source.redrive_to("dead", 1)
            tasks.sources.append(source)
            await send(source, *letters)
            await source.receive(timeout_s=0)
            client.clock.advance(0.001)
            assert await source.receive() == []
        return tasks

    async def start(
        self, destination: QueueName | None = None, per_second: int | None = None
    ) -> str:
        self.started += 1
        task_id = f"task-{self.started}"
        await self.client.database.write(
            move_tasks.start, task_id, self.dead.queue, destination, per_second, 3
        )
        return task_id

    async def step(self, task_id: str, limit: int = 100) -> int | None:
        return await self.client.database.write(move_tasks.step, task_id, limit)

    async def run(self, task_id: str, limit: int = 100) -> int:
        steps = 0
        while await self.step(task_id, limit) is not None:
            steps += 1
            assert steps < 1_000
        return steps

    async def task(self, task_id: str) -> Task:
        found = await self.client.database.read(move_tasks.find, task_id)
        assert found is not None
        return found

    async def latest(self, limit: int = 10) -> list[str]:
        arguments = (ACCOUNT, REGION, "dead", limit)
        return [task.id for task in await self.client.database.read(move_tasks.latest, *arguments)]


@KINDS
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_move_task_moves_messages_back_to_their_sources(
    client: QueueClient, kind: str, limit: int
) -> None:
    tasks = await MoveTasks.create(client, kind, one="abc", two="de")
    task_id = await tasks.start()
    await tasks.run(task_id, limit)
    assert await tasks.sources[0].bodies() == ["a", "b", "c"]
    assert await tasks.sources[1].bodies() == ["d", "e"]
    task = await tasks.task(task_id)
    assert (task.status, task.moved, task.to_move) == ("COMPLETED", 5, 3)
    assert await tasks.dead.counts() == (0, 0, 0)


@KINDS
async def test_move_task_moves_messages_to_its_destination(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="abc", two="d")
    other = await client.another_queue("other", kind)
    await tasks.run(await tasks.start(queue_name("other")), 3)
    assert await other.bodies() == ["a", "b", "c", "d"] or kind == "fifo"
    assert await tasks.sources[0].counts() == (0, 0, 0)
    assert sum(await other.counts()) == 4


@KINDS
async def test_message_moved_by_a_task_arrives_as_new(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="a")
    (dead,) = await tasks.dead.receive(timeout_s=0)
    client.clock.advance(100)
    await tasks.run(await tasks.start())
    (back,) = await tasks.sources[0].receive()
    assert (back.body, back.envelope, back.group_id) == (dead.body, dead.envelope, dead.group_id)
    assert back.message_id != dead.message_id
    assert back.receipt.number > dead.receipt.number
    assert back.receipt.receive_count == 1
    assert back.dead_letter_source is None
    assert back.first_received_at_ms == back.sent_at_ms == client.clock.now_ms()


@KINDS
async def test_move_task_obeys_the_delay_of_its_destination(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="a")
    await tasks.sources[0].set_delay(60)
    await tasks.run(await tasks.start())
    assert await tasks.sources[0].counts() == (0, 0, 1)
    client.clock.advance(59.999)
    assert await tasks.sources[0].bodies() == []
    client.clock.advance(0.001)
    assert await tasks.sources[0].bodies() == ["a"]


@KINDS
async def test_moves_write_no_body(client: QueueClient, kind: str) -> None:
    with recording() as record:
        tasks = await MoveTasks.create(client, kind, one="abc")
        await tasks.run(await tasks.start())
    texts = [text for text, _ in record.statements]
    assert any("UPDATE messages SET queue_id" in text for text in texts)
    assert not any(re.search("(UPDATE|DELETE FROM) bodies", text) for text in texts)


@KINDS
async def test_message_moved_back_can_be_dead_lettered_again(
    client: QueueClient, kind: str
) -> None:
    tasks = await MoveTasks.create(client, kind, one="a")
    await tasks.run(await tasks.start())
    assert await tasks.sources[0].bodies(timeout_s=0) == ["a"]
    assert await tasks.sources[0].bodies() == []
    assert await tasks.dead.bodies() == ["a"]


@KINDS
async def test_step_moves_no_more_than_its_limit(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="abcde")
    task_id = await tasks.start()
    assert await tasks.step(task_id, 2) == 2
    assert (await tasks.task(task_id)).moved == 2
    assert await tasks.sources[0].bodies() == ["a", "b"]
    assert (await tasks.dead.counts())[0] == 3


@KINDS
async def test_move_task_moves_only_messages_sent_before_its_start(
    client: QueueClient, kind: str
) -> None:
    tasks = await MoveTasks.create(client, kind, one="ab")
    task_id = await tasks.start()
    await send(tasks.dead, "late")
    await tasks.run(task_id, 1)
    assert (await tasks.task(task_id)).moved == 2
    assert await tasks.dead.bodies() == ["late"]


@pytest.mark.parametrize(
    ("groups", "each"), [pytest.param(30, 1, id="thirty"), pytest.param(250, 10, id="and-deep")]
)
async def test_groups_of_later_messages_do_not_complete_a_task_early(
    fifo: QueueClient, groups: int, each: int
) -> None:
    tasks = await MoveTasks.create(fifo, "fifo", one="abc")
    task_id = await tasks.start()
    for number in range(groups):
        await tasks.dead.send_to(f"late-{number}", *["late"] * each)
    fifo.clock.advance(1)
    await tasks.run(task_id, 1)
    assert await tasks.sources[0].bodies() == ["a", "b", "c"]
    assert sum(await tasks.dead.counts()) == groups * each


@KINDS
async def test_move_task_leaves_messages_in_flight(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="abc")
    await tasks.dead.receive(1)
    task_id = await tasks.start()
    await tasks.run(task_id)
    moved = "bc" if kind == "standard" else ""
    assert await tasks.sources[0].bodies() == list(moved)
    client.clock.advance(30)
    assert await tasks.dead.bodies() == (["a"] if kind == "standard" else ["a", "b", "c"])


async def test_move_task_keeps_the_order_of_a_group(fifo: QueueClient) -> None:
    tasks = await MoveTasks.create(fifo, "fifo", one="abcdefgh")
    await tasks.run(await tasks.start(), 3)
    assert await tasks.sources[0].bodies() == list("abcdefgh")
    assert (await fifo.fifo_rows())["groups"] == 1


@KINDS
async def test_move_task_wakes_receiver_of_the_destination(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="a")
    receivers = Receivers(tasks.sources[0])
    await receivers.start(2)
    await tasks.run(await tasks.start())
    assert await receivers.answers() == [["a"], None]
    await receivers.cancel_all()


@KINDS
async def test_move_task_does_not_move_expired_messages(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="a")
    client.clock.advance(RETENTION_S)
    task_id = await tasks.start()
    await tasks.run(task_id)
    assert (await tasks.task(task_id)).moved == 0
    assert (await client.rows())["messages"] == (await client.rows())["bodies"] == 0


@KINDS
@pytest.mark.parametrize("destination", [None, queue_name("gone")], ids=["source-gone", "gone"])
async def test_step_with_missing_destination_is_rolled_back(
    client: QueueClient, kind: str, destination: QueueName | None
) -> None:
    tasks = await MoveTasks.create(client, kind, one="a", two="b")
    if destination is None:
        await client.database.write(queues.delete, tasks.sources[1].queue)
    task_id = await tasks.start(destination)
    with pytest.raises(NoDestination):
        await tasks.step(task_id)
    assert (await tasks.task(task_id)).moved == 0
    dead = tasks.dead.queue.id
    assert await locations(client) == {"a": [dead], "b": [dead]}
    assert await tasks.dead.counts() == (2, 0, 0)


@KINDS
async def test_step_with_a_message_without_source_is_rolled_back(
    client: QueueClient, kind: str
) -> None:
    tasks = await MoveTasks.create(client, kind, one="a")
    await send(tasks.dead, "b")
    with pytest.raises(NoSource):
        await tasks.step(await tasks.start())
    dead = tasks.dead.queue.id
    assert await locations(client) == {"a": [dead], "b": [dead]}


async def test_failed_task_keeps_its_reason_and_moves_nothing_more(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="a")
    task_id = await tasks.start()
    await client.database.write(move_tasks.end, task_id, move_tasks.FAILED, "why")
    task = await tasks.task(task_id)
    assert (task.status, task.failure) == ("FAILED", "why")
    assert await tasks.step(task_id) is None
    await client.database.write(move_tasks.end, task_id, move_tasks.COMPLETED)
    assert (await tasks.task(task_id)).status == "FAILED"
    await tasks.start()


@KINDS
async def test_cancelled_task_moves_nothing_more(client: QueueClient, kind: str) -> None:
    tasks = await MoveTasks.create(client, kind, one="abc")
    task_id = await tasks.start()
    await tasks.step(task_id, 1)
    assert await client.database.write(move_tasks.cancel, task_id) == 1
    assert (await tasks.task(task_id)).status == "CANCELLING"
    assert await tasks.step(task_id) is None
    task = await tasks.task(task_id)
    assert (task.status, task.moved) == ("CANCELLED", 1)
    assert (await tasks.dead.counts())[0] == 2


@pytest.mark.parametrize("state", ["cancelling", "cancelled", "completed", "unknown"])
async def test_only_running_task_can_be_cancelled(client: QueueClient, state: str) -> None:
    tasks = await MoveTasks.create(client, "standard", one="a")
    task_id = await tasks.start()
    if state == "completed":
        await tasks.run(task_id)
    if state in {"cancelling", "cancelled"}:
        await client.database.write(move_tasks.cancel, task_id)
    if state == "cancelled":
        await tasks.run(task_id)
    with pytest.raises(TaskHasEnded):
        await client.database.write(move_tasks.cancel, "another" if state == "unknown" else task_id)


async def test_queue_has_at_most_one_active_task(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="a")
    first = await tasks.start()
    with pytest.raises(TaskIsRunning):
        await tasks.start()
    await client.database.write(move_tasks.cancel, first)
    with pytest.raises(TaskIsRunning):
        await tasks.start()
    await tasks.run(first)
    second = await tasks.start()
    assert await tasks.latest() == [second, first]


async def test_tasks_of_different_queues_run_together(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="a")
    first = await tasks.start()
    tasks.dead = await client.another_queue("elsewhere")
    second = await tasks.start()
    active = await client.database.read(move_tasks.active)
    assert [task.id for task in active] == [first, second]
    assert await tasks.latest() == [first]


async def test_task_continues_after_a_restart(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="abc")
    task_id = await tasks.start(queue_name("two"), 7)
    two = await client.another_queue("two")
    await tasks.step(task_id, 1)
    before = await tasks.task(task_id)
    await client.reopen()
    two.database = client.database
    assert await client.database.read(move_tasks.active) == [before]
    assert (before.per_second, before.destination, before.moved) == (7, queue_name("two"), 1)
    await tasks.run(task_id, 1)
    assert await two.bodies() == ["a", "b", "c"]
    assert await client.database.read(move_tasks.active) == []


async def test_ten_latest_tasks_of_a_queue_are_kept(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard")
    for _ in range(13):
        await tasks.run(await tasks.start())
    expected = [f"task-{number}" for number in range(13, 3, -1)]
    assert await tasks.latest(20) == expected
    assert await tasks.latest(3) == expected[:3]
    assert await client.database.read(move_tasks.find, "task-3") is None


async def test_task_of_deleted_queue_completes(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="a")
    task_id = await tasks.start()
    await client.database.write(queues.delete, tasks.dead.queue)
    assert await tasks.step(task_id) is None
    assert (await tasks.task(task_id)).status == "COMPLETED"


async def test_task_of_purged_queue_moves_nothing(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="a")
    task_id = await tasks.start()
    await tasks.dead.purge()
    await tasks.run(task_id)
    assert (await tasks.task(task_id)).moved == 0
    assert await tasks.sources[0].bodies() == []


async def test_step_of_unknown_task_moves_nothing(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard")
    assert await tasks.step("never") is None


async def test_statements_of_a_step_do_not_grow_with_its_messages(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="abcdefghij")
    task_id = await tasks.start()
    counted = []
    for limit in (1, 8):
        with recording() as record:
            await tasks.step(task_id, limit)
        counted.append(len(record.statements))
    assert counted[0] == counted[1]


@KINDS
async def test_two_servers_move_each_message_once(two_servers: TwoServers, kind: str) -> None:
    one, other = two_servers
    tasks = await MoveTasks.create(one, kind, one="abcdefghij")
    on_other_server = MoveTasks(other, tasks.dead, tasks.sources)
    task_id = await tasks.start()
    await asyncio.gather(tasks.run(task_id, 2), on_other_server.run(task_id, 2))
    task = await tasks.task(task_id)
    assert (task.status, task.moved) == ("COMPLETED", 10)
    assert await tasks.sources[0].bodies() == list("abcdefghij")


async def test_failed_step_does_not_change_the_task(client: QueueClient) -> None:
    tasks = await MoveTasks.create(client, "standard", one="ab")
    task_id = await tasks.start()
    before = await tasks.task(task_id)

    def fail(transaction: Transaction) -> None:
        move_tasks.step(transaction, task_id, 10)
        raise LookupError

    with pytest.raises(LookupError):
        await client.database.write(fail)
    assert await tasks.task(task_id) == before
    assert (await tasks.dead.counts())[0] == 2


async def step_while_locked(
    other: QueueClient, tasks: MoveTasks, task_id: str, rows: str
) -> int | None:
    """Run a step while another server has locked some rows; `rows` follows FROM."""

    def lock_and_step(transaction: Transaction) -> int | None:
        lock = sa.text(f"SELECT 1 FROM {rows} FOR UPDATE")
        assert transaction.connection.execute(lock).all()
        done: int | None = await_only(
            asyncio.wait_for(tasks.step(task_id), TRANSACTION_TIMEOUT_SECONDS)
        )
        return done

    return await other.database.write(lock_and_step)


@pytest.mark.parametrize(
    ("kind", "rows"), [("standard", "messages"), ("fifo", "groups")], ids=["standard", "fifo"]
)
async def test_task_does_not_complete_while_another_server_locks_the_remaining_rows(
    two_servers: TwoServers, kind: str, rows: str
) -> None:
    one, other = two_servers
    tasks = await MoveTasks.create(one, kind, source="ab")
    task_id = await tasks.start()
    assert await step_while_locked(other, tasks, task_id, rows) == 0
    await tasks.run(task_id)
    task = await tasks.task(task_id)
    assert (task.status, task.moved) == ("COMPLETED", 2)


async def test_task_skips_group_that_another_server_has_locked(
    two_servers: TwoServers,
) -> None:
    # A receive may have locked that group, and wait for a group that the task has locked.
    one, other = two_servers
    tasks = await MoveTasks.create(one, "fifo", source="ab")
    (source,) = tasks.sources
    await source.send_to("h", "free")
    await source.receive(timeout_s=0)
    one.clock.advance(0.001)
    assert await source.bodies() == []
    for group_id in "gh":
        await source.send_to(group_id, "c")
    assert await source.bodies() == ["c", "c"]
    task_id = await tasks.start()
    rows = f"groups WHERE queue_id = {source.queue.id} AND group_id = 'g'"
    assert await step_while_locked(other, tasks, task_id, rows) == 1
    assert (await tasks.task(task_id)).moved == 1
    await tasks.run(task_id)
    assert (await tasks.task(task_id)).moved == 3


@KINDS
async def test_task_does_not_wait_for_messages_that_expired_in_flight(
    client: QueueClient, kind: str
) -> None:
    tasks = await MoveTasks.create(client, kind, source="ab")
    assert len(await tasks.dead.receive(timeout_s=2 * RETENTION_S)) == 2
    client.clock.advance(RETENTION_S)
    task_id = await tasks.start()
    assert await tasks.step(task_id) is None
    assert (await tasks.task(task_id)).status == "COMPLETED"
