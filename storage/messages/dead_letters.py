"""Dead-letter queues: moving messages from queue to queue, each in one transaction.

A message is in exactly one queue at every commit. Refuses to decide when: the receive that meets
an exhausted message moves it, and a move task moves what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from storage import queues
from storage.messages import transitions
from storage.messages.rows import MessageState
from storage.transaction import Transaction


class Redrive(NamedTuple):
    """Where a queue's messages go that were received often enough, and what they say of it.

    `source` is the source queue as the rules name it, opaque here.
    """

    maximum_receives: int
    account: str
    region: str
    name: str
    source: str


def move_to_dead_letter_queue(
    transaction: Transaction, queue_id: int, redrive: Redrive, rows: Sequence[MessageState]
) -> bool:
    """Move exhausted messages to the dead-letter queue, or say that there is none to move them to.

    A queue that is its own dead-letter queue keeps its messages and goes on delivering them.
    """
    target = queues.lock(transaction, redrive.account, redrive.region, redrive.name)
    if target is None or target.id == queue_id:
        return False
    transitions.dead_letter(transaction, queue_id, target.id, rows, redrive.source)
    return True
