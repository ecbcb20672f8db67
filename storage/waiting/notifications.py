"""Notifications between servers: what a transaction has committed, and its wire format.

A payload is the sender's id and words, separated by spaces. Servers of different versions exchange
payloads during a rolling upgrade, so existing words must keep their format:

- `<queue id>:<visible_at_ms>:<messages>`: messages are visible now, or become visible then.
- `gone:<queue id>`: the queue was purged or deleted.
- `work`: there is work for the leader.

The notifications of one batch fill one payload, or as few as their length allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

LONGEST_BYTES = 7_900
"""The longest payload that is sent (PostgreSQL: less than 8,000 bytes)."""

_DROPPED = "gone"
_BACKGROUND_WORK = "work"


@dataclass(slots=True)
class Notifications:
    """The notifications of one transaction, for waiting receivers and for the leader.

    Attributes:
        visible: (queue id, visible_at_ms, messages): how many messages can be claimed from when on.
        dropped: ids of queues that were purged or deleted.
        has_background_work: whether there is work for the leader.
    """

    visible: list[tuple[int, int, int]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    has_background_work: bool = False

    def __bool__(self) -> bool:
        """Return whether there is anything to send."""
        return bool(self.visible or self.dropped or self.has_background_work)


class NotificationHandler(Protocol):
    """Receives the notifications of committed transactions, of this server and of others.

    `storage.database.Database` is the only one. The writer calls `handle` after its own COMMITs,
    the listener for those of other servers.
    """

    def handle(self, received: Notifications, /) -> None:
        """Apply the notifications of one committed transaction."""
        ...

    def resync(self) -> None:
        """Check for changes whose notifications may have been lost."""
        ...

    def set_leader(self, is_leader: bool, /) -> None:
        """Start or stop leading: only the leader does the background work."""
        ...


def encode(sender: str, sent: Notifications, now_ms: int) -> list[str]:
    """Encode notifications as payloads of at most `LONGEST_BYTES`."""
    words = [f"{_DROPPED}:{queue_id}" for queue_id in sent.dropped]
    if sent.has_background_work:
        words.append(_BACKGROUND_WORK)
    words.extend(_coalesce(sent.visible, now_ms))
    payloads = []
    payload = sender
    for word in words:
        if len(payload) + 1 + len(word) > LONGEST_BYTES:
            payloads.append(payload)
            payload = sender
        payload = f"{payload} {word}"
    payloads.append(payload)
    return payloads


def _coalesce(visible: Sequence[tuple[int, int, int]], now_ms: int) -> Iterator[str]:
    """Yield a word for each queue's visible messages, and one for its next delayed message."""
    counts: dict[int, int] = {}
    next_ms: dict[int, int] = {}
    for queue_id, visible_at_ms, count in visible:
        if visible_at_ms <= now_ms:
            counts[queue_id] = counts.get(queue_id, 0) + count
        else:
            next_ms[queue_id] = min(next_ms.get(queue_id, visible_at_ms), visible_at_ms)
    for queue_id, count in counts.items():
        yield f"{queue_id}:{now_ms}:{count}"
    for queue_id, visible_at_ms in next_ms.items():
        yield f"{queue_id}:{visible_at_ms}:1"


def decode(payload: str) -> tuple[str, Notifications]:
    """Return the sender and the notifications of a payload; skip words of later versions."""
    sender, *words = payload.split(" ")
    received = Notifications()
    for word in words:
        kind, *values = word.split(":")
        if kind == _BACKGROUND_WORK:
            received.has_background_work = True
        elif kind == _DROPPED:
            received.dropped.extend(_numbers(values[:1]))
        elif len(numbers := list(_numbers([kind, *values]))) == 3:
            queue_id, visible_at_ms, count = numbers
            received.visible.append((queue_id, visible_at_ms, count))
    return sender, received


def _numbers(texts: Iterable[str]) -> Iterator[int]:
    return (int(text) for text in texts if text.isdecimal())
