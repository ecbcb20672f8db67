"""Unused data keys: those that no message refers to any more, and that encrypt no new ones.

Whether a message refers to a data key, only its content says, wherever the message was moved. An
index for that question would slow down every send. So upkeep reads the references of all contents,
page by page, and only if there are data keys that may be unused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from storage.schema import bodies, data_keys
from storage.sql.statement import Statement
from storage.transaction import Transaction

_GRACE_MS = 3_600_000
"""Time after which every transaction that uses a data key has ended, or never will commit."""


class UsedKeys(NamedTuple):
    """The data keys to which a page of contents refers, and the id of the page's last content.

    `last_id` is None if there is no further content.
    """

    ids: Collection[int]
    last_id: int | None


def find_candidates(
    connection: sa.Connection, now_ms: int, after_id: int, limit: int
) -> Sequence[int]:
    """Return up to `limit` data keys after `after_id` that encrypt no new messages, by id."""
    statement = (
        sa.select(data_keys.c.id)
        .where(data_keys.c.encrypts_until_ms <= now_ms - _GRACE_MS, data_keys.c.id > after_id)
        .order_by(data_keys.c.id)
        .limit(limit)
    )
    return connection.scalars(statement).all()


def find_used(connection: sa.Connection, after_id: int, limit: int) -> UsedKeys:
    """Return the data keys of the next `limit` contents after `after_id`."""
    page = (
        sa.select(bodies.c.id, bodies.c.data_key)
        .where(bodies.c.id > after_id)
        .order_by(bodies.c.id)
        .limit(limit)
        .cte("page")
    )
    keys = sa.select(page.c.data_key, sa.func.max(page.c.id).label("last_id"))
    rows = connection.execute(keys.group_by(page.c.data_key)).all()
    ids = {row.data_key for row in rows if row.data_key is not None}
    return UsedKeys(ids, max((row.last_id for row in rows), default=None))


_DELETE = Statement(data_keys.delete().where(data_keys.c.id == bindparam("unused")), ["unused"])


def free(transaction: Transaction, ids: Collection[int]) -> None:
    """Delete data keys that `find_candidates` has returned and no `find_used`."""
    _DELETE.change_all(transaction.connection, [(data_key,) for data_key in ids])
