"""Receivers that wait for messages of one queue by the server's own long poll."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from storage.messages.commands import Receive, Received
from storage.waiting.polling import long_poll
from tests.engine.stage import Stage, turn


class LongPoll:
    """One long poll, and the number of claims that it has made."""

    def __init__(self, stage: Stage, maximum: int, timeout_s: float, wait_s: float) -> None:
        self.claims = 0
        self._stage = stage
        self._maximum = maximum
        self._timeout_s = timeout_s
        deadline_ms = stage.clock.now_ms() + round(wait_s * 1000)
        self.task: asyncio.Task[Sequence[Received]] = asyncio.create_task(
            long_poll(stage.database, self._make_command, deadline_ms)
        )

    def _make_command(self) -> Receive:
        self.claims += 1
        return self._stage.receiving(self._maximum, self._timeout_s, is_waiting=True)

    @property
    def bodies(self) -> list[str] | None:
        return [message.body for message in self.task.result()] if self.task.done() else None


class Receivers:
    """Receivers that wait for one queue."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.polls: list[LongPoll] = []

    async def enter(
        self, count: int, maximum: int = 1, timeout_s: float = 30, wait_s: float = 20
    ) -> None:
        """Start long polls, and wait until each has made its first claim."""
        for _ in range(count):
            self.polls.append(LongPoll(self.stage, maximum, timeout_s, wait_s))
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until no receiver claims any more: all wake-ups have been delivered."""
        unchanged, before = 0, None
        # A claim may be released, the release wake another receiver, and that one claim: three
        # commits.
        while unchanged < 4:
            await turn()
            await self.stage.database.write(lambda _: None)
            claims = [poll.claims for poll in self.polls]
            unchanged = unchanged + 1 if claims == before else 0
            before = claims

    async def answers(self) -> list[list[str] | None]:
        """Return the bodies that each receiver was given; None for one that still waits."""
        await self.quiet()
        return [poll.bodies for poll in self.polls]

    async def empty(self) -> None:
        """Disconnect all receivers."""
        for poll in self.polls:
            poll.task.cancel()
        await asyncio.gather(*(poll.task for poll in self.polls), return_exceptions=True)
