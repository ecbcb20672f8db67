"""Empty databases by their URLs, and what is done to a PostgreSQL behind a server's back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import asyncpg

NewDatabase: TypeAlias = Callable[[], str]
"""Gives the URL of an empty database."""


def execute(postgres: str, *statements: str) -> None:
    """Run statements on a PostgreSQL, each in a transaction of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(postgres)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
