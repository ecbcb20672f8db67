"""Values that name a queue and carry those of its settings that storage itself applies.

The rules parse and validate the attributes of SQS; storage stores these values in columns of
`queues` beside the attributes, and reads only the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self


class QueueName(NamedTuple):
    """A queue's full name: account, region and name identify at most one queue."""

    account: str
    region: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the queue name that a text column holds.

        Only the last three colon-separated parts count: region, account, name. Rows that were
        written by schema version 1 hold ARNs, which end in the same three parts. A damaged text
        becomes a name that no queue has: it must not keep other messages from being received.
        """
        region, account, name = ("", "", *text.rsplit(":", 3))[-3:]
        return cls(account, region, name)

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return f"{self.region}:{self.account}:{self.name}"


class Redrive(NamedTuple):
    """When messages move to which dead-letter queue.

    A receive that finds a message which was received `max_receive_count` times (AWS: 1 to 1,000)
    moves it to `target` and does not return it. If there is no such queue, it returns the message.
    """

    target: QueueName
    max_receive_count: int


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The settings of a queue that storage applies.

    Attributes:
        retention_ms: how long a message is kept after it was sent (AWS: 60 s to 14 days).
        delay_ms: how long a message that a move task moves to the queue stays invisible (AWS: 0 to
            900 s). A sent message has a delay of its own.
        redrive: when messages move to which dead-letter queue, or None for never.
    """

    retention_ms: int
    delay_ms: int = 0
    redrive: Redrive | None = None


class LockedQueue(NamedTuple):
    """A queue as it was when the transaction locked it, which only PostgreSQL needs.

    It is neither purged nor deleted before COMMIT. If its settings change, later transactions use
    the new ones.
    """

    id: int
    revision: int
    kind: str
    name: QueueName
    retention_ms: int
    redrive: Redrive | None


REDRIVE_COLUMNS = (
    "dead_letter_account",
    "dead_letter_region",
    "dead_letter_name",
    "max_receive_count",
)
"""The columns of `queues` that hold a redrive, in the order of `redrive_of`'s parameters."""


def redrive_of(
    account: str | None, region: str | None, name: str | None, max_receive_count: int | None
) -> Redrive | None:
    """Return the redrive that a row of `queues` holds, or None where its columns are null."""
    if account is None or region is None or name is None or max_receive_count is None:
        return None
    return Redrive(QueueName(account, region, name), max_receive_count)


def redrive_columns(redrive: Redrive | None) -> dict[str, str | int | None]:
    """Return the values of `REDRIVE_COLUMNS` for a redrive, all None for None."""
    values: tuple[str | int | None, ...] = (None,) * len(REDRIVE_COLUMNS)
    if redrive is not None:
        values = (*redrive.target, redrive.max_receive_count)
    return dict(zip(REDRIVE_COLUMNS, values, strict=True))
