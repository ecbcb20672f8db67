"""Short and long polling: claim messages at once, or wait for them until a deadline.

The caller is a task of one client. If the client disconnects, the task is cancelled, and the
messages that it would have received become visible again at once. If the request had a
ReceiveRequestAttemptId, its messages stay in flight, because the client may repeat the request,
perhaps on another server. A caller that claims messages without a task calls `release` itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.messages.commands import (
    InFlightLimit,
    Receive,
    Received,
    ReceiveIncomplete,
    Release,
)

_MOST_CLAIMS = 25
"""Claims of one short poll that find only undeliverable messages, of which each removes some."""


async def short_poll(database: Database, command: Receive) -> Sequence[Received]:
    """Claim visible messages once; return up to `command.maximum`, perhaps none.

    A claim that has found only expired and exhausted messages is repeated, up to 25 claims in all.

    Raises:
        InFlightLimit: the queue is at its in-flight limit.
        ReceiveAttemptExpired: the attempt's id was used, and the attempt cannot be repeated.
        QueueChanged: the queue's id or revision is not the command's.
        DatabaseBusy: too many writes are pending.
        DatabaseUnavailable: the database does not answer.
    """
    for _ in range(_MOST_CLAIMS):
        try:
            return await _claim(database, command)
        except ReceiveIncomplete:
            continue
    return ()


async def long_poll(
    database: Database, make_command: Callable[[], Receive], deadline_ms: int
) -> Sequence[Received]:
    """Claim messages, waiting for the first one until `deadline_ms`; return none after that.

    `make_command` makes a new command for each claim, always for the same queue. The receiver also
    waits while the queue is at its in-flight limit. It returns at once when the server stops.

    Raises:
        ReceiveAttemptExpired, QueueChanged, DatabaseBusy, DatabaseUnavailable: as `short_poll`.
    """
    waiters = database.waiters
    command = make_command()
    with waiters.register(command.queue_id) as receiver:
        while True:
            receiver.clear()
            received: Sequence[Received] = ()
            is_complete = True
            try:
                received = await _claim(database, command)
            except InFlightLimit:
                pass
            except ReceiveIncomplete:
                is_complete = False
            except Exception:
                # The message that woke this receiver may still be visible.
                receiver.pass_on_wake_up()
                raise
            if received or waiters.closed or database.clock.now_ms() >= deadline_ms:
                return received
            if is_complete:
                await receiver.sleep_until(deadline_ms)
            command = make_command()


async def _claim(database: Database, command: Receive) -> Sequence[Received]:
    """Claim messages once; if the caller is cancelled, release them or do not claim them."""
    pending = database.submit(command)
    try:
        received: Sequence[Received] = await asyncio.shield(pending)
    except asyncio.CancelledError:
        command.withdraw()
        pending.add_done_callback(partial(_release, database, command))
        raise
    return received


def _release(
    database: Database, command: Receive, ended: asyncio.Future[Sequence[Received]]
) -> None:
    if not ended.cancelled() and ended.exception() is None:
        release(database, command, ended.result())


def release(database: Database, command: Receive, received: Sequence[Received]) -> None:
    """Release the messages of a receive whose client has disconnected.

    The messages of a receive attempt stay in flight: the client may repeat it. If the release
    fails, the messages become visible again when their visibility timeout ends.
    """
    if command.attempt is not None or not received:
        return
    # The pending release needs no contents, which may take megabytes.
    released = [one._replace(body="", envelope=b"") for one in received]
    with contextlib.suppress(DatabaseUnavailable):
        database.submit(Release(released)).add_done_callback(_ignore_failure)


def _ignore_failure(release: asyncio.Future[None]) -> None:
    # Reading the exception keeps asyncio from logging it.
    if not release.cancelled():
        release.exception()
