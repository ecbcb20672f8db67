"""Failures of message move tasks: retries, their delays, and when a task fails.

The failures come from the database: a trigger that rejects a step, and a table that is missing for
a while.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import pytest
import pytest_asyncio

from protocol import actions
from protocol.errors import OverLimit
from protocol.names import queue_arn
from queueserver.actions.move_tasks import MoveTasks
from queueserver.background.move_task_runner import MoveTaskRunner
from queueserver.context import RequestContext
from storage import move_tasks, queues
from storage.database import Database
from storage.move_tasks import Task
from storage.queue_settings import QueueSettings, Redrive
from storage.queues import STANDARD
from storage.transaction import Transaction
from tests.access.modes import ACCESS_OFF
from tests.clock import ManualClock
from tests.engine.queue_client import ACCOUNT, REGION, QueueClient, queue_name, run_event_loop
from tests.waiting import poll_until_timeout

HOUR_SECONDS = 3_600
TASK = "task"

Condition: TypeAlias = Callable[[Task], bool]


class AlarmRecordingClock(ManualClock):
    """A manual clock that records the duration of each alarm."""

    def __init__(self) -> None:
        super().__init__()
        self.delays_s: list[float] = []

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        self.delays_s.append((when_ms - self.now_ms()) / 1000)
        return super().call_at(when_ms, callback)


class MoveTask:
    """A task that moves three messages to another queue, and its runner."""

    def __init__(self, client: QueueClient, clock: AlarmRecordingClock) -> None:
        self.client = client
        self.clock = clock
        self.runner = MoveTaskRunner(client.database, clock)

    @property
    def database(self) -> Database:
        return self.client.database

    @classmethod
    async def prepare(cls, url: str) -> MoveTask:
        clock = AlarmRecordingClock()
        client = await QueueClient.open(url, clock)
        await client.another_queue("destination")
        for body in "abc":
            await client.send(body)
        return cls(client, clock)

    async def start(self, per_second: int | None) -> None:
        destination = queue_name("destination")
        queue = self.client.queue
        await self.database.write(move_tasks.start, TASK, queue, destination, per_second, 3)
        self.runner.run_task(TASK, per_second, self.clock.now_ms())

    async def execute(self, *statements: str) -> None:
        def run(transaction: Transaction) -> None:
            for statement in statements:
                transaction.connection.exec_driver_sql(statement)

        await self.database.write(run)

    async def task(self) -> Task:
        found = await self.database.read(move_tasks.find, TASK)
        assert found is not None
        return found

    async def wait_until(self, is_reached: Condition) -> Task:
        for _ in poll_until_timeout():
            task = await self.task()
            if is_reached(task):
                return task
        raise AssertionError(f"the condition is not reached: {task}, {self.clock.delays_s}")

    async def wait_for_delays(self, count: int) -> list[float]:
        """Wait until the runner has set `count` alarms; return all delays in seconds."""
        for _ in poll_until_timeout():
            if len(self.clock.delays_s) >= count:
                break
            await self.database.ping()
        return self.clock.delays_s

    async def end_delay(self) -> None:
        """Advance the clock to the alarm of the runner, and wait for its next alarm or the end."""
        alarms = len(self.clock.delays_s)
        self.clock.advance(self.clock.delays_s[-1])
        for _ in poll_until_timeout():
            if len(self.clock.delays_s) > alarms or await self.has_ended():
                return

    async def has_ended(self) -> bool:
        return (await self.task()).status not in {move_tasks.RUNNING, move_tasks.CANCELLING}


@pytest_asyncio.fixture
async def move_task(sqlite: str) -> AsyncIterator[MoveTask]:
    move_task = await MoveTask.prepare(sqlite)
    yield move_task
    await move_task.runner.stop()
    await move_task.database.close()


async def test_account_has_at_most_100_active_tasks(move_task: MoveTask) -> None:
    moves = MoveTasks(move_task.database, ACCESS_OFF, move_task.clock)
    context = RequestContext(ACCOUNT, REGION, "")
    dead = actions.StartMessageMoveTask(queue_arn(REGION, ACCOUNT, "dead"))
    settings = QueueSettings(60_000, redrive=Redrive(queue_name("dead"), 1))
    await move_task.client.another_queue("dead")
    for number in range(100):
        key = (ACCOUNT, REGION, f"source-{number}")
        source = await move_task.database.write(queues.create, *key, STANDARD, {}, {}, settings)
        await move_task.database.write(move_tasks.start, str(number), source, None, None, 0)
    with pytest.raises(OverLimit) as rejected:
        await moves.start_message_move_task(context, dead)
    assert rejected.value.message == (
        "There are already 100 tasks running. Only 100 active tasks are allowed for an account at "
        "a given time."
    )
    await move_task.database.write(move_tasks.end, "0", move_tasks.COMPLETED)
    await moves.start_message_move_task(context, dead)


REJECT_STEP = (
    "CREATE TRIGGER reject BEFORE UPDATE OF moved ON move_tasks "
    "BEGIN SELECT RAISE(ABORT, 'rejected'); END"
)
HIDE_TABLE, RESTORE_TABLE = (
    f"ALTER TABLE {name} RENAME TO {other}"
    for name, other in (("backlogs", "renamed"), ("renamed", "backlogs"))
)


async def test_task_started_twice_by_the_runner_runs_once(move_task: MoveTask) -> None:
    await move_task.start(1)
    move_task.runner.start()
    await move_task.wait_for_delays(1)
    await run_event_loop()
    await move_task.execute()  # runs after any step that is already queued
    assert (await move_task.task()).moved == 1
    assert move_task.clock.delays_s == [1]


async def test_queue_can_have_a_second_task_after_the_first_completes(
    move_task: MoveTask,
) -> None:
    await move_task.start(None)
    await move_task.wait_until(lambda task: task.status == move_tasks.COMPLETED)
    await move_task.client.send("d")
    arguments = (move_task.client.queue, queue_name("destination"), None, 1)
    await move_task.database.write(move_tasks.start, "second", *arguments)
    move_task.runner.start()
    for _ in poll_until_timeout():
        found = await move_task.database.read(move_tasks.find, "second")
        if found is not None and found.status == move_tasks.COMPLETED:
            return
    raise AssertionError(f"the task does not end: {found}")


async def test_failing_step_is_retried_with_growing_delay_and_then_fails_the_task(
    move_task: MoveTask, caplog: pytest.LogCaptureFixture
) -> None:
    await move_task.execute(REJECT_STEP)
    await move_task.start(None)
    for _ in range(5):
        await move_task.wait_for_delays(1)
        await move_task.end_delay()
    task = await move_task.wait_until(lambda task: task.status == move_tasks.FAILED)
    assert (task.failure, task.moved) == ("InternalFailure", 0)
    assert move_task.clock.delays_s == [1, 2, 4, 8, 16]
    assert await move_task.client.counts() == (3, 0, 0)
    assert "rejected" in caplog.text
    await move_task.execute("DROP TRIGGER reject")
    queue = move_task.client.queue
    await move_task.database.write(move_tasks.start, "another", queue, None, None, 3)


async def test_successful_step_resets_the_retry_delay(move_task: MoveTask) -> None:
    await move_task.execute(REJECT_STEP)
    await move_task.start(1)
    await move_task.wait_for_delays(1)
    await move_task.end_delay()
    assert await move_task.wait_for_delays(2) == [1, 2]
    await move_task.execute("DROP TRIGGER reject")
    await move_task.end_delay()
    await move_task.wait_until(lambda task: task.moved == 1)
    assert await move_task.wait_for_delays(3) == [1, 2, 1]
    await move_task.execute(REJECT_STEP)
    await move_task.end_delay()
    assert await move_task.wait_for_delays(4) == [1, 2, 1, 1]


async def test_task_retries_without_limit_while_the_database_is_unusable(
    move_task: MoveTask,
) -> None:
    await move_task.execute(HIDE_TABLE)
    await move_task.start(None)
    for count in range(1, 10):
        await move_task.wait_for_delays(count)
        await move_task.end_delay()
    assert (await move_task.wait_for_delays(10)) == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert (await move_task.task()).status == move_tasks.RUNNING
    await move_task.execute(RESTORE_TABLE)
    await move_task.end_delay()
    task = await move_task.wait_until(lambda task: task.status == move_tasks.COMPLETED)
    assert task.moved == 3


@pytest.mark.parametrize(
    ("hours", "status", "failure"),
    [
        pytest.param(35.999, "RUNNING", None, id="before 36 hours"),
        pytest.param(36, "FAILED", "TaskTimedOut", id="at 36 hours"),
    ],
)
async def test_task_times_out_after_36_hours(
    move_task: MoveTask, hours: float, status: str, failure: str | None
) -> None:
    await move_task.start(1)
    await move_task.wait_for_delays(1)
    move_task.clock.advance(hours * HOUR_SECONDS)
    if failure is None:
        await move_task.wait_for_delays(2)
    else:
        await move_task.wait_until(lambda task: task.status != move_tasks.RUNNING)
    task = await move_task.task()
    assert (task.status, task.failure) == (status, failure)


async def test_task_timeout_includes_time_without_a_running_server(move_task: MoveTask) -> None:
    await move_task.start(1)
    await move_task.wait_for_delays(1)
    await move_task.runner.stop()
    move_task.clock.advance(36 * HOUR_SECONDS)
    move_task.runner.start()
    task = await move_task.wait_until(lambda task: task.status == move_tasks.FAILED)
    assert (task.failure, task.moved) == ("TaskTimedOut", 1)
