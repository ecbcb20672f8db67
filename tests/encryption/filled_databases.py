"""Databases with encrypted messages, whose data keys are wrapped by the master keys of a test."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing

import asyncpg
import sqlalchemy as sa

from queueserver.clock import SystemClock
from queueserver.rules.envelope import Envelope
from storage import queues
from storage.database import Database
from storage.encryption import master_key_usage
from storage.encryption.data_keys import DataKeyRule, purpose
from storage.encryption.keyring import Keyring, MasterKey
from storage.maintenance import Maintenance
from storage.messages.commands import NewMessage, Receive, Send
from storage.schema import data_keys
from tests.engine.earlier_versions import path_of
from tests.engine.queue_client import ACCOUNT, REGION, SETTINGS
from tests.engine.recorder import recording_settings

QUEUE = "q"
_SENT_AT_ONCE = 250


def master_key(name: str) -> MasterKey:
    """Return a new master key."""
    return MasterKey(name, os.urandom(32))


def ring(*keys: MasterKey) -> Keyring:
    """Return a keyring of these keys."""
    return Keyring(keys)


def fill(url: str, keyring: Keyring | None, count: int, named_key: str | None = None) -> set[str]:
    """Send messages, each encrypted with a data key of its own; return their bodies.

    Without a keyring, they are stored in clear.
    """
    return asyncio.run(_fill(url, keyring, count, named_key))


async def _fill(url: str, keyring: Keyring | None, count: int, named_key: str | None) -> set[str]:
    database = await _open(url, keyring)
    try:
        queue = await _queue(database)
        prefix = keyring.first.id.name if keyring else "clear"
        bodies = [f"{prefix} {uuid.uuid4().hex}" for _ in range(count)]
        # A data key that may be used for no time encrypts the messages of one command.
        rule = DataKeyRule(named_key, 0) if keyring else None
        for first in range(0, count, _SENT_AT_ONCE):
            sending = [
                database.submit(Send(queue.id, queue.revision, queue.kind, [_message(body)], rule))
                for body in bodies[first : first + _SENT_AT_ONCE]
            ]
            await asyncio.gather(*sending)
        return set(bodies)
    finally:
        await database.close()


def add_unused_data_keys(url: str, keyring: Keyring, count: int) -> None:
    """Add data keys that no message refers to, which is faster than sending messages."""
    master = keyring.first
    rows = [
        {
            "id": number,
            "master_key": master.id.name,
            "fingerprint": master.id.fingerprint,
            "wrapped": master.wrap(os.urandom(32), purpose(number)),
            "created_at_ms": 0,
            "encrypts_until_ms": 0,
        }
        for number in range(10**9, 10**9 + count)
    ]

    def insert(connection: sa.Connection) -> None:
        connection.execute(data_keys.insert(), rows)

    Maintenance(url).transact(insert)


def read_all(url: str, keyring: Keyring) -> set[str]:
    """Start with a keyring, receive all messages, and return their bodies."""
    return asyncio.run(_read_all(url, keyring))


async def _read_all(url: str, keyring: Keyring) -> set[str]:
    database = await _open(url, keyring)
    try:
        queue = await _queue(database)
        bodies: set[str] = set()
        receive = Receive(
            queue.id,
            queue.revision,
            queue.kind,
            10,
            600_000,
            is_waiting=False,
            in_flight_limit=9**9,
        )
        while received := await database.submit(receive):
            bodies.update(one.body for one in received)
        return bodies
    finally:
        await database.close()


def start_and_stop(url: str, keyring: Keyring | None, *, encrypts: bool = True) -> bytes:
    """Open and close the database as a server does; return its secret."""

    async def run() -> bytes:
        database = await _open(url, keyring, encrypts=encrypts)
        await database.close()
        return database.secret

    return asyncio.run(run())


async def _open(url: str, keyring: Keyring | None, *, encrypts: bool = True) -> Database:
    settings = recording_settings()
    # Servers in other processes have the real time, by which messages must not have expired.
    clock = SystemClock()
    return await Database.open(
        url, clock, keyring=keyring, encrypts=encrypts, engine_settings=settings
    )


async def _queue(database: Database) -> queues.Queue:
    return await database.write(
        queues.create, ACCOUNT, REGION, QUEUE, queues.STANDARD, {}, {}, SETTINGS
    )


def _message(body: str) -> NewMessage:
    digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
    envelope = Envelope(ACCOUNT, digest).encode()
    return NewMessage(uuid.uuid4().bytes, body, envelope, len(body) + len(envelope), None, 0)


def usage(url: str) -> tuple[dict[str, int], str | None]:
    """Return how many data keys each master key wraps, by its name, and which wraps the secret."""
    found = Maintenance(url).transact(master_key_usage.read)
    secret = found.secret.name if found.secret else None
    return {key_id.name: count for key_id, count in found.data_keys.items()}, secret


def count_wrapped_by(url: str, name: str) -> int:
    """Return how many data keys a master key wraps, without waiting for a writer."""
    query = f"SELECT count(*) FROM data_keys WHERE master_key = '{name}'"
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(path_of(url))) as connection:
            count: int = connection.execute(query).fetchone()[0]
            return count
    return asyncio.run(_fetch_value(url, query))


async def _fetch_value(url: str, query: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        value: int = await connection.fetchval(query)
        return value
    finally:
        await connection.close()


def rows_of_data_keys(url: str) -> Sequence[tuple[object, ...]]:
    """Return all rows of `data_keys`."""

    def read(connection: sa.Connection) -> Sequence[tuple[object, ...]]:
        ordered = sa.select(data_keys).order_by(data_keys.c.id)
        return [tuple(row) for row in connection.execute(ordered)]

    return Maintenance(url).transact(read)


def change_data_keys(url: str, *conditions: sa.ColumnElement[bool], **values: object) -> None:
    """Set columns of rows of `data_keys`."""
    change = data_keys.update().where(*conditions).values(**values)
    Maintenance(url).transact(lambda connection: connection.execute(change).rowcount)
