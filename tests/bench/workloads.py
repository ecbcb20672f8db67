"""The workloads that are compared and counted: each prepares a queue, then repeats one step.

They count messages: a cycle is one message that is sent, received and deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.bench.client import Connection, Step, json_request, loop, opened
from tests.bench.scenarios import (
    BODY,
    Bench,
    cycle,
    own_group,
    plain,
    receive_in_tens,
    repeat,
    send_in_tens,
)

_TEN = 10


class Workload(NamedTuple):
    """A step, how to prepare it for a number of messages, and how many messages it moves.

    `prepare` gets how many messages the step must find, if it finds those that are there.
    """

    name: str
    prepare: Callable[[Bench, int], Awaitable[Step]]
    connections: int = 64
    each: int = 1

    def turns(self, messages: int) -> int:
        """Return how often each connection takes the step."""
        return max(messages // self.connections // self.each, 1)

    def moved(self, turns: int) -> int:
        """Return how many messages all connections move."""
        return turns * self.connections * self.each


class Measured(NamedTuple):
    """The server's CPU time per message in microseconds, and messages per second."""

    cpu_us: float
    per_second: float


async def measure(bench: Bench, workload: Workload, messages: int) -> Measured:
    """Run a workload for a number of messages, after a tenth of them that do not count.

    The connections stay open: opening and closing them is no work on messages.
    """
    server, turns, first_turns = (
        bench.server,
        workload.turns(messages),
        workload.turns(messages // 10),
    )
    step = await workload.prepare(bench, workload.moved(first_turns + turns))
    async with opened(server.url, workload.connections) as workers:
        await loop(workers, first_turns, step)
        before = server.usage()
        load = await loop(workers, turns, step)
        cpu_seconds = server.usage().cpu_seconds - before.cpu_seconds
    return Measured(cpu_seconds / load.requests * 1e6, load.requests / load.seconds)


async def _send(bench: Bench, _: int) -> Step:
    request = json_request("SendMessage", QueueUrl=await bench.queue(), MessageBody=BODY)
    return repeat(request)


async def _send_in_tens(bench: Bench, _: int) -> Step:
    return send_in_tens(await bench.queue())


async def _cycle(bench: Bench, _: int) -> Step:
    return cycle(await bench.queue())


async def _fifo_cycle(bench: Bench, _: int) -> Step:
    return cycle(await bench.queue(fifo=True), own_group)


async def _cycle_in_tens(bench: Bench, _: int) -> Step:
    url = await bench.queue()
    send, receive = send_in_tens(url), receive_in_tens(url)

    async def step(connection: Connection, worker: int) -> int:
        await send(connection, worker)
        return await receive(connection, worker)

    return step


async def _empty_in_tens(bench: Bench, messages: int) -> Step:
    return receive_in_tens(await _filled(bench, messages))


async def _receive(bench: Bench, messages: int) -> Step:
    return repeat(json_request("ReceiveMessage", QueueUrl=await _filled(bench, messages)))


async def _receive_ten(bench: Bench, messages: int) -> Step:
    url = await _filled(bench, messages)
    request = json_request("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=_TEN)
    return repeat(request, _TEN)


async def _delete(bench: Bench, messages: int) -> Step:
    url, handles = await _received(bench, messages)

    async def step(connection: Connection, _: int) -> int:
        await connection.call("DeleteMessage", QueueUrl=url, ReceiptHandle=handles.pop())
        return 1

    return step


async def _delete_ten(bench: Bench, messages: int) -> Step:
    url, handles = await _received(bench, messages)

    async def step(connection: Connection, _: int) -> int:
        entries = [{"Id": str(n), "ReceiptHandle": handles.pop()} for n in range(_TEN)]
        await connection.call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
        return _TEN

    return step


async def _filled(bench: Bench, messages: int) -> str:
    """Return a queue with this many messages."""
    url = await bench.queue()
    await bench.fill(url, messages, plain)
    return url


async def _received(bench: Bench, messages: int) -> tuple[str, list[str]]:
    """Return a queue and the receipt handles of its messages."""
    url = await _filled(bench, messages)
    request = json_request("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=_TEN)
    handles: list[str] = []
    connection = await Connection.open(bench.server.url)
    while len(handles) < messages:
        received = (await connection.ask(request)).json()
        handles += [message["ReceiptHandle"] for message in received.get("Messages", ())]
    connection.close()
    return url, handles


LONE_SEND = Workload("send, 1 connection", _send, connections=1)
SEND = Workload("send", _send)
SEND_IN_TENS = Workload("send in tens", _send_in_tens, each=_TEN)
RECEIVE = Workload("receive", _receive)
RECEIVE_IN_TENS = Workload("receive in tens", _receive_ten, each=_TEN)
DELETE = Workload("delete", _delete)
DELETE_IN_TENS = Workload("delete in tens", _delete_ten, each=_TEN)
CYCLE = Workload("cycle", _cycle)
FIFO_CYCLE = Workload("FIFO cycle", _fifo_cycle)
CYCLE_IN_TENS = Workload("cycle in tens", _cycle_in_tens, each=_TEN)
EMPTY_IN_TENS = Workload("empty in tens", _empty_in_tens, each=_TEN)
