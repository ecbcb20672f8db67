"""The registry of waiting receivers, and how they are woken up.

A waiting receiver does not query the database in a loop. It sleeps until a message of its queue
becomes visible or its deadline has come. Four rules prevent lost wake-ups:

1. A receiver registers, and clears its wake-up flag, *before* it claims. A wake-up that comes
   during the claim is kept.
2. One visible message wakes one receiver: the one that has waited longest since its last claim.
3. A receiver that was woken but has not claimed since wakes the next receiver when it leaves.
4. Each claim wakes another receiver if visible messages are left, or sets the queue's alarm to the
   time when the next message becomes visible (`_wake_others` in storage/messages/receive.py).

Wake-ups come from this server's own COMMITs and from other servers. Other servers' messages arrive
through `Database.handle`: the listener (storage/postgresql/listener.py) gets a NOTIFY and calls
`handle`, which calls `Waiters.wake`. Nothing else runs when a visibility timeout or a delay ends:
the alarm wakes a receiver, and its claim finds the message.

The registry is memory only. After a restart, receivers register and claim again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from storage.clock import Clock


class Waiters:
    """The waiting receivers of all queues on this server.

    Attributes:
        closed: whether `close` was called; receivers then return instead of waiting.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[int, _QueueWaiters] = {}
        self.closed = False

    @property
    def queue_count(self) -> int:
        """The number of queues that have waiting receivers; only these use memory."""
        return len(self._queues)

    def register(self, queue_id: int) -> WaitingReceiver:
        """Return a new waiting receiver; it is registered within its `with` block."""
        queue = self._queues.get(queue_id)
        if queue is None:
            queue = self._queues[queue_id] = _QueueWaiters(self._clock)
        return WaitingReceiver(self, queue_id, queue)

    def count(self, queue_id: int) -> int:
        """Count the registered receivers of a queue, asleep or woken."""
        queue = self._queues.get(queue_id)
        return queue.registered if queue else 0

    def wake(self, queue_id: int, visible_at_ms: int, count: int = 1) -> None:
        """Wake up to `count` receivers now, or wake one receiver at the time `visible_at_ms`."""
        queue = self._queues.get(queue_id)
        if queue is None:
            return
        if visible_at_ms <= self._clock.now_ms():
            queue.wake(count)
        else:
            queue.wake_at(visible_at_ms)

    def wake_all(self, queue_id: int) -> None:
        """Wake all receivers of a queue that was purged or deleted."""
        queue = self._queues.get(queue_id)
        if queue is not None:
            queue.wake(queue.registered)

    def wake_one_of_each_queue(self) -> None:
        """Wake one receiver of each queue, because notifications may have been lost."""
        for queue in self._queues.values():
            queue.wake(1)

    def close(self) -> None:
        """Wake all receivers, and let none sleep again, because the server stops."""
        self.closed = True
        for queue_id in self._queues:
            self.wake_all(queue_id)

    def _remove(self, queue_id: int, queue: _QueueWaiters) -> None:
        queue.cancel_alarm()
        if self._queues.get(queue_id) is queue:
            del self._queues[queue_id]


class _QueueWaiters:
    """The receivers of one queue, in the order of their last claims, and one alarm.

    The alarm rings at the earliest known time at which a message becomes visible.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_woken: dict[WaitingReceiver, None] = {}
        self._alarm_at_ms: int | None = None
        self._cancel: Callable[[], None] | None = None
        self.registered = 0

    def add(self, receiver: WaitingReceiver) -> None:
        self._not_woken[receiver] = None

    def remove(self, receiver: WaitingReceiver) -> None:
        self._not_woken.pop(receiver, None)

    def wake(self, count: int) -> None:
        for receiver in list(self._not_woken)[:count]:
            del self._not_woken[receiver]
            receiver.wake()

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
    """One receiver that waits for messages of one queue."""

    __slots__ = ("_is_woken", "_queue", "_queue_id", "_sleep", "_waiters")

    def __init__(self, waiters: Waiters, queue_id: int, queue: _QueueWaiters) -> None:
        self._waiters = waiters
        self._queue_id = queue_id
        self._queue = queue
        self._sleep: asyncio.Future[None] | None = None
        self._is_woken = False

    def __enter__(self) -> WaitingReceiver:
        self._queue.registered += 1
        self._queue.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.remove(self)
        self._queue.registered -= 1
        if not self._queue.registered:
            self._waiters._remove(self._queue_id, self._queue)
        elif self._is_woken:
            self._queue.wake(1)

    def clear(self) -> None:
        """Clear the wake-up flag; call this before each claim, never after it."""
        if self._is_woken:
            self._is_woken = False
            self._queue.add(self)

    async def sleep_until(self, deadline_ms: int) -> None:
        """Sleep until a wake-up or the deadline; return at once if woken or closed already."""
        if self._is_woken or self._waiters.closed:
            return
        self._sleep = asyncio.get_running_loop().create_future()
        cancel = self._waiters._clock.call_at(deadline_ms, self._end_sleep)
        try:
            await self._sleep
        finally:
            cancel()
            self._sleep = None

    def wake(self) -> None:
        """Set the wake-up flag, and end the sleep if there is one."""
        self._is_woken = True
        self._end_sleep()

    def pass_on_wake_up(self) -> None:
        """Set the wake-up flag again after a failed claim, so that leaving wakes the next one."""
        self._is_woken = True

    def _end_sleep(self) -> None:
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)
