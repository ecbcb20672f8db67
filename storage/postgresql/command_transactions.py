"""Transactions of a command on a PostgreSQL database, while servers use it.

Each transaction sets its own session settings, so that it also works behind a transaction pooler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from storage.errors import ClassifiedError
from storage.postgresql import errors
from storage.postgresql.connection import PER_TRANSACTION, Address
from storage.settings import PostgresqlTimeouts

T = TypeVar("T")


class PostgresqlCommandTransactions:
    """Transactions on a PostgreSQL database, each on a connection of its own.

    Raises:
        DatabaseUnusable: the URL cannot be parsed.
    """

    def __init__(self, url: str) -> None:
        self._address = Address(url, PostgresqlTimeouts(), is_pooled=True)

    def transact(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction, and commit."""
        return asyncio.run(self._transact(function))

    async def _transact(self, function: Callable[[sa.Connection], T]) -> T:
        def run(connection: sa.Connection) -> T:
            connection.exec_driver_sql(PER_TRANSACTION)
            return function(connection)

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=partial(self._address.connect, {}),
            poolclass=NullPool,
            hide_parameters=True,
        )
        async with engine.begin() as connection:
            return await connection.run_sync(run)

    def classify(self, error: BaseException) -> ClassifiedError | None:
        """Return what an error means for the process, or None if the work itself is at fault."""
        return errors.classify(error)

    def display_url(self) -> str:
        """Return the database's URL for an error message, without its password."""
        return self._address.display_url()
