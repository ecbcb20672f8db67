"""Receivers that wait for messages of one queue by long polls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from storage.messages.commands import Receive, Received
from storage.waiting.polling import long_poll
from tests.engine.queue_client import QueueClient, run_event_loop


class LongPoll:
    """A long poll that counts its claims."""

    def __init__(self, client: QueueClient, maximum: int, timeout_s: float, wait_s: float) -> None:
        self.claims = 0
        self._stage = client
        self._maximum = maximum
        self._timeout_s = timeout_s
        deadline_ms = client.clock.now_ms() + round(wait_s * 1000)
        self.task: asyncio.Task[Sequence[Received]] = asyncio.create_task(
            long_poll(client.database, self._make_command, deadline_ms)
        )

    def _make_command(self) -> Receive:
        self.claims += 1
        return self._stage.receive_command(self._maximum, self._timeout_s, is_waiting=True)

    @property
    def bodies(self) -> list[str] | None:
        """Return the bodies of the received messages; None while the poll waits."""
        return [message.body for message in self.task.result()] if self.task.done() else None


class Receivers:
    """Receivers that wait for one queue."""

    def __init__(self, client: QueueClient) -> None:
        self.client = client
        self.polls: list[LongPoll] = []

    async def start(
        self, count: int, maximum: int = 1, timeout_s: float = 30, wait_s: float = 20
    ) -> None:
        """Start `count` long polls, and wait until each has made its first claim."""
        for _ in range(count):
            self.polls.append(LongPoll(self.client, maximum, timeout_s, wait_s))
        await self.wait_until_idle()

    async def wait_until_idle(self) -> None:
        """Wait until no receiver makes a claim: all wake-ups have been delivered."""
        unchanged, before = 0, None
        # Three commits may follow one another: the release of a claim wakes another receiver, and
        # this one makes a claim.
        while unchanged < 4:
            await run_event_loop()
            await self.client.database.write(lambda _: None)
            claims = [poll.claims for poll in self.polls]
            unchanged = unchanged + 1 if claims == before else 0
            before = claims

    async def answers(self) -> list[list[str] | None]:
        """Return the bodies that each receiver got; None for one that still waits."""
        await self.wait_until_idle()
        return [poll.bodies for poll in self.polls]

    async def cancel_all(self) -> None:
        """Cancel all long polls, as disconnected clients do."""
        for poll in self.polls:
            poll.task.cancel()
        await asyncio.gather(*(poll.task for poll in self.polls), return_exceptions=True)
