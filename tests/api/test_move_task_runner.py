"""Work on message move tasks that goes wrong: what is tried again, how long, and what is given up.

The database's faults are the database's own: a trigger that refuses a step, a table that is gone
for a while.
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
from tests.clock import ManualClock
from tests.engine.queue_client import ACCOUNT, REGION, QueueClient, queue_name, run_event_loop
from tests.waiting import poll_until_timeout

HOURS_S = 3_600
TASK = "task"

Happened: TypeAlias = Callable[[Task], bool]


class SleepsClock(ManualClock):
    """A clock that notes for how long somebody wants to sleep by it."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps_s: list[float] = []

    def call_at(self, when_ms: int, callback: Callable[[], None], /) -> Callable[[], None]:
        self.sleeps_s.append((when_ms - self.now_ms()) / 1000)
        return super().call_at(when_ms, callback)


class Work:
    """A task that moves three messages from a queue to another, and the runner that does it."""

    def __init__(self, stage: QueueClient, clock: SleepsClock) -> None:
        self.stage = stage
        self.clock = clock
        self.runner = MoveTaskRunner(stage.database, clock)

    @property
    def database(self) -> Database:
        return self.stage.database

    @classmethod
    async def prepare(cls, url: str) -> Work:
        clock = SleepsClock()
        stage = await QueueClient.open(url, clock)
        await stage.another_queue("home")
        for body in "abc":
            await stage.send(body)
        return cls(stage, clock)

    async def begin(self, per_second: int | None) -> None:
        home = queue_name("home")
        queue = self.stage.queue
        await self.database.write(move_tasks.start, TASK, queue, home, per_second, 3)
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

    async def until(self, happened: Happened) -> Task:
        for _ in poll_until_timeout():
            task = await self.task()
            if happened(task):
                return task
        raise AssertionError(f"it does not come about: {task}, {self.clock.sleeps_s}")

    async def sleeps(self, count: int) -> list[float]:
        """Wait until the runner has gone to sleep so many times, and tell for how long each."""
        for _ in poll_until_timeout():
            if len(self.clock.sleeps_s) >= count:
                break
            await self.database.ping()
        return self.clock.sleeps_s

    async def wake(self) -> None:
        """Let the runner sleep no longer than it wants to."""
        slept = len(self.clock.sleeps_s)
        self.clock.advance(self.clock.sleeps_s[-1])
        for _ in poll_until_timeout():
            if len(self.clock.sleeps_s) > slept or await self.has_ended():
                return

    async def has_ended(self) -> bool:
        return (await self.task()).status not in {move_tasks.RUNNING, move_tasks.CANCELLING}


@pytest_asyncio.fixture
async def work(sqlite: str) -> AsyncIterator[Work]:
    work = await Work.prepare(sqlite)
    yield work
    await work.runner.stop()
    await work.database.close()


async def test_an_account_has_a_hundred_active_tasks_at_most(work: Work) -> None:
    moves = MoveTasks(work.database, work.clock)
    context = RequestContext(ACCOUNT, REGION, "")
    dead = actions.StartMessageMoveTask(queue_arn(REGION, ACCOUNT, "dead"))
    settings = QueueSettings(60_000, Redrive(queue_name("dead"), 1))
    await work.stage.another_queue("dead")
    for number in range(100):
        key = (ACCOUNT, REGION, f"source-{number}")
        source = await work.database.write(queues.create, *key, STANDARD, {}, {}, settings)
        await work.database.write(move_tasks.start, str(number), source, None, None, 0)
    with pytest.raises(OverLimit) as refused:
        await moves.start_message_move_task(context, dead)
    assert refused.value.message == (
        "There are already 100 tasks running. Only 100 active tasks are allowed for an account at "
        "a given time."
    )
    await work.database.write(move_tasks.end, "0", move_tasks.COMPLETED)
    await moves.start_message_move_task(context, dead)


REFUSE = (
    "CREATE TRIGGER refuse BEFORE UPDATE OF moved ON move_tasks "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
)
LOSE, FIND = (
    f"ALTER TABLE {name} RENAME TO {other}"
    for name, other in (("backlogs", "lost"), ("lost", "backlogs"))
)


async def test_a_task_that_is_taken_up_twice_is_worked_on_once(work: Work) -> None:
    await work.begin(1)
    work.runner.start()
    await work.sleeps(1)
    await run_event_loop()
    await work.execute()  # behind whatever step was on its way
    assert (await work.task()).moved == 1
    assert work.clock.sleeps_s == [1]


async def test_a_task_that_has_ended_can_be_followed_by_another_of_the_same_queue(
    work: Work,
) -> None:
    await work.begin(None)
    await work.until(lambda task: task.status == move_tasks.COMPLETED)
    await work.stage.send("d")
    arguments = (work.stage.queue, queue_name("home"), None, 1)
    await work.database.write(move_tasks.start, "second", *arguments)
    work.runner.start()
    for _ in poll_until_timeout():
        found = await work.database.read(move_tasks.find, "second")
        if found is not None and found.status == move_tasks.COMPLETED:
            return
    raise AssertionError(f"it does not end: {found}")


async def test_a_step_that_fails_is_tried_again_later_and_later_and_then_given_up(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    await work.execute(REFUSE)
    await work.begin(None)
    for _ in range(5):
        await work.sleeps(1)
        await work.wake()
    task = await work.until(lambda task: task.status == move_tasks.FAILED)
    assert (task.failure, task.moved) == ("InternalFailure", 0)
    assert work.clock.sleeps_s == [1, 2, 4, 8, 16]
    assert await work.stage.counts() == (3, 0, 0)
    assert "refused" in caplog.text
    await work.execute("DROP TRIGGER refuse")
    queue = work.stage.queue
    await work.database.write(move_tasks.start, "another", queue, None, None, 3)


async def test_a_step_that_succeeds_forgets_the_failures_before_it(work: Work) -> None:
    await work.execute(REFUSE)
    await work.begin(1)
    await work.sleeps(1)
    await work.wake()
    assert await work.sleeps(2) == [1, 2]
    await work.execute("DROP TRIGGER refuse")
    await work.wake()
    await work.until(lambda task: task.moved == 1)
    assert await work.sleeps(3) == [1, 2, 1]
    await work.execute(REFUSE)
    await work.wake()
    assert await work.sleeps(4) == [1, 2, 1, 1]


async def test_a_task_waits_for_a_database_that_does_not_answer_however_often(work: Work) -> None:
    await work.execute(LOSE)
    await work.begin(None)
    for count in range(1, 10):
        await work.sleeps(count)
        await work.wake()
    assert (await work.sleeps(10)) == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert (await work.task()).status == move_tasks.RUNNING
    await work.execute(FIND)
    await work.wake()
    task = await work.until(lambda task: task.status == move_tasks.COMPLETED)
    assert task.moved == 3


@pytest.mark.parametrize(
    ("hours", "status", "failure"),
    [
        pytest.param(35.999, "RUNNING", None, id="before"),
        pytest.param(36, "FAILED", "TaskTimedOut", id="then"),
    ],
)
async def test_a_task_ends_after_36_hours(
    work: Work, hours: float, status: str, failure: str | None
) -> None:
    await work.begin(1)
    await work.sleeps(1)
    work.clock.advance(hours * HOURS_S)
    if failure is None:
        await work.sleeps(2)
    else:
        await work.until(lambda task: task.status != move_tasks.RUNNING)
    task = await work.task()
    assert (task.status, task.failure) == (status, failure)


async def test_a_task_s_hours_pass_while_no_server_runs(work: Work) -> None:
    await work.begin(1)
    await work.sleeps(1)
    await work.runner.stop()
    work.clock.advance(36 * HOURS_S)
    work.runner.start()
    task = await work.until(lambda task: task.status == move_tasks.FAILED)
    assert (task.failure, task.moved) == ("TaskTimedOut", 1)
