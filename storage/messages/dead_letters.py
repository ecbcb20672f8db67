"""Dead-letter queues: move exhausted messages, which a receive met, out of their queue."""

from __future__ import annotations

from collections.abc import Sequence

from storage import queues
from storage.messages import transitions
from storage.messages.rows import MessageState
from storage.queue_settings import LockedQueue
from storage.transaction import Transaction


def dead_letter(
    transaction: Transaction, source: LockedQueue, rows: Sequence[MessageState]
) -> bool:
    """Move exhausted messages to their queue's dead-letter queue; return whether there is one.

    If the dead-letter queue does not exist, or is the queue itself, messages stay in their queue,
    which continues to deliver them (AWS: observed). Locks the dead-letter queue.
    """
    if source.redrive is None:
        return False
    target = queues.lock(transaction, *source.redrive.target)
    if target is None or target.id == source.id:
        return False
    transitions.dead_letter(transaction, source.id, target.id, rows, source.name)
    return True
