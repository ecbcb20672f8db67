"""Dead-letter queues: moving messages from queue to queue, each in one transaction.

A message is in exactly one queue at every commit. Refuses to decide when: the receive that meets
an exhausted message moves it, and a move task moves what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage import queues
from storage.messages import transitions
from storage.messages.rows import MessageState
from storage.queue_settings import LockedQueue, QueueName
from storage.transaction import Transaction


def move_to_dead_letter_queue(
    transaction: Transaction,
    source: LockedQueue,
    target_name: QueueName,
    rows: Sequence[MessageState],
) -> bool:
    """Move exhausted messages to the dead-letter queue, or say that there is none to move them to.

    A queue that is its own dead-letter queue keeps its messages and goes on delivering them.
    """
    target = queues.lock(transaction, *target_name)
    if target is None or target.id == source.id:
        return False
    transitions.dead_letter(transaction, source.id, target.id, rows, str(source.name))
    return True
