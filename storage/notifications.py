"""Notifications between servers: what one has committed, as the lines that the others receive.

One drain's news is one notification, or as few as its length allows; what a queue has several news
of is put together first. Refuses to send or to hear: that is the link's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

LONGEST_BYTES = 7_900
"""PostgreSQL takes notifications of less than 8,000 bytes."""

_GONE = "gone"
_WORK = "work"


@dataclass(slots=True)
class Notifications:
    """What a transaction has done that somebody may wait for.

    Attributes:
        arrivals: (queue id, visible_at_ms, messages).
        gone: ids of queues that were purged or deleted.
        has_background_work: whether there is something to do for who does the work of all servers.
    """

    arrivals: list[tuple[int, int, int]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    has_background_work: bool = False

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.arrivals or self.gone or self.has_background_work)


class NotificationHandler(Protocol):
    """Who wants to know what comes from other servers, and of them."""

    def handle(self, heard: Notifications, /) -> None:
        """Hear what another server has committed."""
        ...

    def resync(self) -> None:
        """Hear that there may have been news that nobody has told."""
        ...

    def set_leader(self, is_ours: bool, /) -> None:
        """Hear whether this server does what one does for all."""
        ...


def encode(sender: str, news: Notifications, now_ms: int) -> list[str]:
    """Put news into words, so many notifications as it takes."""
    words = [f"{_GONE}:{queue_id}" for queue_id in news.gone]
    if news.has_background_work:
        words.append(_WORK)
    words.extend(_coalesce(news.arrivals, now_ms))
    payloads = []
    line = sender
    for word in words:
        if len(line) + 1 + len(word) > LONGEST_BYTES:
            payloads.append(line)
            line = sender
        line = f"{line} {word}"
    payloads.append(line)
    return payloads


def _coalesce(arrivals: Sequence[tuple[int, int, int]], now_ms: int) -> Iterator[str]:
    """Put together, for each queue, all that is visible, and the next moment of what is not."""
    visible: dict[int, int] = {}
    later: dict[int, int] = {}
    for queue_id, visible_at_ms, count in arrivals:
        if visible_at_ms <= now_ms:
            visible[queue_id] = visible.get(queue_id, 0) + count
        else:
            later[queue_id] = min(later.get(queue_id, visible_at_ms), visible_at_ms)
    for queue_id, count in visible.items():
        yield f"{queue_id}:{now_ms}:{count}"
    for queue_id, visible_at_ms in later.items():
        yield f"{queue_id}:{visible_at_ms}:1"


def decode(payload: str) -> tuple[str, Notifications]:
    """Tell who sent a notification, and what it says; words of later versions are passed over."""
    sender, *words = payload.split(" ")
    news = Notifications()
    for word in words:
        kind, *values = word.split(":")
        if kind == _WORK:
            news.has_background_work = True
        elif kind == _GONE:
            news.gone.extend(_numbers(values[:1]))
        elif len(numbers := list(_numbers([kind, *values]))) == 3:
            queue_id, visible_at_ms, count = numbers
            news.arrivals.append((queue_id, visible_at_ms, count))
    return sender, news


def _numbers(texts: Iterable[str]) -> Iterator[int]:
    return (int(text) for text in texts if text.isdecimal())
