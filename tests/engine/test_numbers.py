"""Numbers of messages and ids of queues: strictly increasing, and never given twice."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path

import pytest

from storage import queues
from storage.messages import dropped_queues
from storage.transaction import Transaction
from tests.engine.stage import Stage


def copy_files(directory: Path, old: str, new: str) -> None:
    for path in directory.glob(f"{old}.db*"):
        shutil.copy(path, directory / path.name.replace(old, new))


def increases(numbers: list[int]) -> bool:
    return all(before < after for before, after in itertools.pairwise(numbers))


async def test_numbers_increase_over_commands_drains_and_queues(stage: Stage) -> None:
    numbers = [stage.queue.id]
    for name in "abc":
        numbers += await stage.send("x", "y")
        stage.queue = await stage.create(name)
        numbers.append(stage.queue.id)
    sends = await asyncio.gather(*(stage.send("x", "y", "z") for _ in range(5)))
    numbers += itertools.chain(*sends)
    assert increases(numbers)


async def test_numbers_go_on_after_a_restart(stage: Stage) -> None:
    numbers: list[int] = []
    for _ in range(3):
        numbers += await stage.send("x", "y")
        await stage.reopen()
    assert increases(numbers)


async def test_numbers_go_on_after_everything_was_deleted(stage: Stage) -> None:
    numbers = await stage.send("x", "y")
    await stage.delete(*[received.receipt for received in await stage.receive()])
    await stage.database.write(queues.delete, stage.queue)
    while await stage.database.write(dropped_queues.free_dropped, 10):
        pass
    await stage.reopen()
    stage.queue = await stage.create("orders")
    numbers += [stage.queue.id, *await stage.send("x")]
    assert increases(numbers)


@pytest.mark.parametrize("earlier", [0, 1], ids=["first-transaction", "later-transaction"])
async def test_numbers_of_a_transaction_that_failed_are_not_given_again(
    stage: Stage, earlier: int
) -> None:
    await stage.reopen()
    numbers = [stage.queue.id]
    for _ in range(earlier):
        numbers += await stage.send("x")

    def take_and_fail(transaction: Transaction) -> None:
        numbers.extend(transaction.take_numbers(3))
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await stage.database.write(take_and_fail)
    numbers += await stage.send("x", "y")
    await stage.reopen()
    numbers += await stage.send("x")
    assert increases(numbers)


async def test_more_numbers_than_are_reserved_at_a_time_can_be_taken(stage: Stage) -> None:
    def take(transaction: Transaction, count: int) -> list[int]:
        return list(transaction.take_numbers(count))

    numbers: list[int] = []
    for count in (9_999, 2, 25_000, 1):
        numbers += await stage.database.write(take, count)
    assert len(numbers) == 35_002
    assert increases(numbers)


async def test_numbers_go_on_after_a_crash(sqlite: str, tmp_path: Path) -> None:
    stage = await Stage.open(sqlite)
    numbers = [number for _ in range(3) for number in await stage.send("x", "y")]
    # What is on the disk at this moment is what a killed process leaves behind.
    copy_files(tmp_path, "queueserver", "killed")
    await stage.database.close()
    killed = await Stage.open(sqlite.replace("queueserver", "killed"), stage.clock)
    assert await killed.counts() == (6, 0, 0)
    numbers += await killed.send("x")
    assert increases(numbers)
    await killed.database.close()


async def test_two_servers_never_give_the_same_number(two_servers: tuple[Stage, Stage]) -> None:
    one, other = two_servers
    stages = [one, other] * 20
    given = await asyncio.gather(*(stage.send(*"abcde") for stage in stages))
    assert len(set(itertools.chain(*given))) == 200
    assert all(increases(numbers) for numbers in given)
