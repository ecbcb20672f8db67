"""A client of one queue whose messages are encrypted, on a database with master keys."""

from __future__ import annotations

from typing import Self

import sqlalchemy as sa

from storage.database import Database
from storage.encryption.data_keys import DataKeyRule
from storage.encryption.keyring import Keyring, MasterKey
from storage.messages.commands import NewMessage, Send
from storage.queues import STANDARD
from tests.clock import ManualClock
from tests.engine.queue_client import QueueClient
from tests.engine.recorder import recording_settings

REUSE_S = 300
MAIN = MasterKey("main", b"m" * 32)
OTHER = MasterKey("other", b"o" * 32)


class EncryptedClient(QueueClient):
    """A client of one queue, which encrypts what it sends.

    Attributes:
        rule: how the messages are encrypted.
    """

    rule: DataKeyRule | None = DataKeyRule(None, REUSE_S * 1000)

    @classmethod
    async def with_keys(
        cls,
        url: str,
        *keys: MasterKey,
        clock: ManualClock | None = None,
        kind: str = STANDARD,
        encrypts: bool = True,
    ) -> Self:
        """Open a database with master keys, and create the queue `orders` unless it exists."""
        clock = clock or ManualClock()
        database = await Database.open(
            url,
            clock,
            engine_settings=recording_settings(),
            keyring=Keyring(keys or [MAIN]) if encrypts or keys else None,
            encrypts=encrypts,
        )
        client = cls(url, clock, database)
        client.queue = await client.create("orders", kind)
        return client

    def send_command(self, *messages: NewMessage) -> Send:
        queue = self.queue
        return Send(queue.id, queue.revision, queue.kind, messages, self.rule)

    async def another_encrypted(self, name: str) -> EncryptedClient:
        """Return a client of another queue of the same kind, which is created."""
        other = EncryptedClient(self.url, self.clock, self.database)
        other.queue = await self.create(name, self.queue.kind)
        return other

    async def query(self, statement: str) -> list[tuple[object, ...]]:
        """Return the rows of a statement."""

        def rows(connection: sa.Connection) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(statement)]

        return await self.database.read(rows)

    async def data_keys(self) -> list[object]:
        """Return the ids of the data keys, in their order."""
        return [row[0] for row in await self.query("SELECT id FROM data_keys ORDER BY id")]

    async def keys_of_contents(self) -> list[object]:
        """Return the data key of each content, in the order of sending."""
        return [row[0] for row in await self.query("SELECT data_key FROM bodies ORDER BY id")]
