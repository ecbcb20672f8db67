"""Message numbers and queue ids: strictly increasing, and never reused."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path

import pytest

from storage import queues
from storage.messages import dropped_queues
from storage.transaction import Transaction
from tests.engine.queue_client import QueueClient, TwoServers


def copy_files(directory: Path, old: str, new: str) -> None:
    """Copy a SQLite database with its log."""
    for path in directory.glob(f"{old}.db*"):
        shutil.copy(path, directory / path.name.replace(old, new))


def increases(numbers: list[int]) -> bool:
    """Return whether each number is greater than the one before."""
    return all(before < after for before, after in itertools.pairwise(numbers))


async def test_numbers_increase_across_commands_batches_and_queues(client: QueueClient) -> None:
    numbers = [client.queue.id]
    for name in "abc":
        numbers += await client.send("x", "y")
        client.queue = await client.create(name)
        numbers.append(client.queue.id)
    sends = await asyncio.gather(*(client.send("x", "y", "z") for _ in range(5)))
    numbers += itertools.chain(*sends)
    assert increases(numbers)


async def test_numbers_increase_after_a_restart(client: QueueClient) -> None:
    numbers: list[int] = []
    for _ in range(3):
        numbers += await client.send("x", "y")
        await client.reopen()
    assert increases(numbers)


async def test_numbers_increase_after_all_queues_were_deleted(client: QueueClient) -> None:
    numbers = await client.send("x", "y")
    await client.delete(*[received.receipt for received in await client.receive()])
    await client.database.write(queues.delete, client.queue)
    while await client.database.write(dropped_queues.free_dropped, 10):
        pass
    await client.reopen()
    client.queue = await client.create("orders")
    numbers += [client.queue.id, *await client.send("x")]
    assert increases(numbers)


@pytest.mark.parametrize("earlier", [0, 1], ids=["first-transaction", "later-transaction"])
async def test_numbers_of_a_failed_transaction_are_not_reused(
    client: QueueClient, earlier: int
) -> None:
    await client.reopen()
    numbers = [client.queue.id]
    for _ in range(earlier):
        numbers += await client.send("x")

    def take_and_fail(transaction: Transaction) -> None:
        numbers.extend(transaction.take_numbers(3))
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await client.database.write(take_and_fail)
    numbers += await client.send("x", "y")
    await client.reopen()
    numbers += await client.send("x")
    assert increases(numbers)


async def test_more_numbers_than_one_reserved_block_can_be_taken(client: QueueClient) -> None:
    def take(transaction: Transaction, count: int) -> list[int]:
        return list(transaction.take_numbers(count))

    numbers: list[int] = []
    for count in (9_999, 2, 25_000, 1):
        numbers += await client.database.write(take, count)
    assert len(numbers) == 35_002
    assert increases(numbers)


async def test_numbers_increase_after_a_crash(sqlite: str, tmp_path: Path) -> None:
    client = await QueueClient.open(sqlite)
    numbers = [number for _ in range(3) for number in await client.send("x", "y")]
    # A killed process leaves the files as they are now.
    copy_files(tmp_path, "queueserver", "killed")
    await client.database.close()
    killed = await QueueClient.open(sqlite.replace("queueserver", "killed"), client.clock)
    assert await killed.counts() == (6, 0, 0)
    numbers += await killed.send("x")
    assert increases(numbers)
    await killed.database.close()


async def test_two_servers_never_take_the_same_number(
    two_servers: TwoServers,
) -> None:
    one, other = two_servers
    clients = [one, other] * 20
    numbers_of_sends = await asyncio.gather(*(client.send(*"abcde") for client in clients))
    assert len(set(itertools.chain(*numbers_of_sends))) == 200
    assert all(increases(numbers) for numbers in numbers_of_sends)
