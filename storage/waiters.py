"""Who waits for a queue, and how news of messages reaches them.

Nobody polls. A waiting receiver sleeps until there is news for it, until the queue's next known
moment, or until its own deadline. Four rules keep wake-ups from being lost:

1. Get in line, and clear the flag, *before* looking: news that lands during a look is kept.
2. One arrival wakes one receiver, the one whose last look lies back the longest.
3. Who leaves the line woken, without having looked since, passes it on to the next.
4. Every look hands on what it saw: "there is more" and "the next becomes visible at".

All of it is memory that can be thrown away: after a restart receivers get in line and look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from storage.clock import Clock


class Waiters:
    """The lines of waiting receivers, by queue id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[int, _Line] = {}
        self.closed = False

    def join(self, queue_id: int) -> WaitingReceiver:
        """Get in line for a queue; leave by leaving the `with` block."""
        line = self._lines.get(queue_id)
        if line is None:
            line = self._lines[queue_id] = _Line(self._clock)
        return WaitingReceiver(self, queue_id, line)

    def waiting(self, queue_id: int) -> int:
        """Count who stands in line for a queue, woken or not."""
        line = self._lines.get(queue_id)
        return line.places if line else 0

    def announce(self, queue_id: int, visible_at_ms: int, count: int = 1) -> None:
        """Wake up to `count` receivers, now or when `visible_at_ms` has come."""
        line = self._lines.get(queue_id)
        if line is None:
            return
        if visible_at_ms <= self._clock.now_ms():
            line.wake(count)
        else:
            line.wake_at(visible_at_ms)

    def wake_all(self, queue_id: int) -> None:
        """Wake everybody in line: the queue is not what it was."""
        line = self._lines.get(queue_id)
        if line is not None:
            line.wake(line.places)

    def wake_each(self) -> None:
        """Wake one in every line, to look for what there may have been no news of."""
        for line in self._lines.values():
            line.wake(1)

    def close(self) -> None:
        """Wake everybody for good: the server stops, and nobody waits any more."""
        self.closed = True
        for queue_id in self._lines:
            self.wake_all(queue_id)

    def _drop(self, queue_id: int, line: _Line) -> None:
        line.cancel_alarm()
        if self._lines.get(queue_id) is line:
            del self._lines[queue_id]


class _Line:
    """The receivers of one queue, longest waiting first, and the next known moment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asleep: dict[WaitingReceiver, None] = {}
        self._alarm_at_ms: int | None = None
        self._cancel: Callable[[], None] | None = None
        self.places = 0

    def enter(self, place: WaitingReceiver) -> None:
        self._asleep[place] = None

    def leave(self, place: WaitingReceiver) -> None:
        self._asleep.pop(place, None)

    def wake(self, count: int) -> None:
        for place in list(self._asleep)[:count]:
            del self._asleep[place]
            place.wake()

    def wake_at(self, when_ms: int) -> None:
        if self._alarm_at_ms is not None and self._alarm_at_ms <= when_ms:
            return
        self.cancel_alarm()
        self._alarm_at_ms = when_ms
        self._cancel = self._clock.call_at(when_ms, self._ring)

    def cancel_alarm(self) -> None:
        if self._cancel is not None:
            self._cancel()
        self._alarm_at_ms = self._cancel = None

    def _ring(self) -> None:
        self._alarm_at_ms = self._cancel = None
        self.wake(1)


class WaitingReceiver:
    """One receiver's place in the line of one queue."""

    __slots__ = ("_arrivals", "_line", "_queue_id", "_sleep", "_woken")

    def __init__(self, arrivals: Waiters, queue_id: int, line: _Line) -> None:
        self._arrivals = arrivals
        self._queue_id = queue_id
        self._line = line
        self._sleep: asyncio.Future[None] | None = None
        self._woken = False

    def __enter__(self) -> WaitingReceiver:
        self._line.places += 1
        self._line.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.leave(self)
        self._line.places -= 1
        if not self._line.places:
            self._arrivals._drop(self._queue_id, self._line)
        elif self._woken:
            self._line.wake(1)

    def clear(self) -> None:
        """Forget news so far; always before a look, never after it."""
        if self._woken:
            self._woken = False
            self._line.enter(self)

    async def sleep_until(self, deadline_ms: int) -> None:
        """Sleep until there is news, the deadline has come, or the server stops."""
        if self._woken or self._arrivals.closed:
            return
        self._sleep = asyncio.get_running_loop().create_future()
        cancel = self._arrivals._clock.call_at(deadline_ms, self._end_sleep)
        try:
            await self._sleep
        finally:
            cancel()
            self._sleep = None

    def wake(self) -> None:
        """Note the news, and end the sleep if there is one."""
        self._woken = True
        self._end_sleep()

    def _end_sleep(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)
