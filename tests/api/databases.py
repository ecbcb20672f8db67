"""Empty databases, and statements on PostgreSQL outside any server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import asyncpg

NewDatabase: TypeAlias = Callable[[], str]
"""Creates an empty database, and returns its URL."""


def execute(postgres: str, *statements: str) -> None:
    """Execute statements on PostgreSQL, each in its own transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(postgres)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
