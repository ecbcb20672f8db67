"""A server does not start without the master keys that its database needs: one line says which."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.encryption.keyring import MasterKey
from tests.api.raw_http import parse_error
from tests.api.server_process import ServerProcess, failed_start
from tests.encryption.documented_commands import step
from tests.encryption.load_encryption import key_lines, new_keys, write_keys
from tests.encryption.stored_rows import stored_rows

KEYS = new_keys("first", "other")
OTHER_VALUES = new_keys("first", "other")
"""Other keys with the same names."""

FIRST, OTHER = (f"{MasterKey(name, key).id}" for name, key in KEYS.items())
"""The keys as lines name them."""


def fingerprint(keys: Mapping[str, bytes], name: str) -> str:
    return MasterKey(name, keys[name]).id.fingerprint


class Database:
    """A database, and the servers that a test starts on it."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self._directory = directory

    def _arguments(self, keys: Mapping[str, bytes], *arguments: str) -> list[str]:
        given = ["--database", self.url, *arguments]
        if keys:
            path = write_keys(self._directory / "keys", keys)
            given += ["--encryption-key-file", str(path)]
        return given

    def server(self, keys: Mapping[str, bytes], *arguments: str) -> ServerProcess:
        """Start a server, which must succeed."""
        return ServerProcess(*self._arguments(keys, *arguments), directory=self._directory)

    def error(self, keys: Mapping[str, bytes], *arguments: str) -> str:
        """Start a server that must exit with status 2; return its only line."""
        line = failed_start(*self._arguments(keys, *arguments), directory=self._directory)
        for text in key_lines(KEYS | OTHER_VALUES):
            assert text.partition(":")[2] not in line
        prefix = "queueserver: error: cannot use "
        assert line.startswith(prefix), line
        reason = line.partition(": it is encrypted with the key ")[2]
        assert reason, line
        return reason

    def send(self, keys: Mapping[str, bytes], **attributes: str) -> None:
        """Run a server that stores a message in a queue `q` with these attributes."""
        with self.server(keys) as server:
            assert server.call("CreateQueue", QueueName="q", Attributes=attributes).status == 200
            assert server.call("SendMessage", QueueUrl="q", MessageBody="stored").status == 200
            assert server.stop()[0] == 0

    def received(self, keys: Mapping[str, bytes], *arguments: str) -> list[str]:
        """Run a server, which must start; return the bodies that it delivers."""
        with self.server(keys, *arguments) as server:
            answer = server.call("ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)
            assert server.stop()[0] == 0
        return [message["Body"] for message in json.loads(answer.body).get("Messages", [])]


@pytest.fixture
def database(sqlite: str, tmp_path: Path) -> Database:
    return Database(sqlite, tmp_path)


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Database:
    """Return a database of each kind in turn."""
    return Database(database_url, tmp_path)


def only(name: str) -> dict[str, bytes]:
    return {name: KEYS[name]}


def wrong(name: str) -> str:
    return (
        "and the key of this name that is configured has the fingerprint "
        f"{fingerprint(OTHER_VALUES, name)}"
    )


NO_KEY = "and no key is configured"
MISSING = "which is not among the configured keys"


def test_server_without_the_key_of_messages_does_not_start(either: Database) -> None:
    either.send(only("first"))
    assert either.error({}) == f"{FIRST}, {NO_KEY}"
    assert either.error(only("other")) == f"{FIRST}, {MISSING}"
    assert either.error(OTHER_VALUES) == f"{FIRST}, {wrong('first')}"
    # None of this has changed anything.
    assert either.received(only("first")) == ["stored"]


def test_server_without_the_key_that_a_queue_names_does_not_start(database: Database) -> None:
    database.send(KEYS, KmsMasterKeyId="other")
    assert database.error(only("first")) == f"{OTHER}, {MISSING}"
    both = {"first": KEYS["first"], "other": OTHER_VALUES["other"]}
    assert database.error(both) == f"{OTHER}, {wrong('other')}"
    assert database.received(KEYS) == ["stored"]


def test_messages_of_a_lost_key_can_be_given_up_as_documented(database: Database) -> None:
    database.send(KEYS, KmsMasterKeyId="other")
    assert database.error(only("first")) == f"{OTHER}, {MISSING}"
    program, _, statement = shlex.split(step("DELETE FROM data_keys").command)
    assert program == "sqlite3"
    with stored_rows(database.url) as rows:
        rows.run(statement.rstrip(";").replace("payments", "other"))
    with database.server(only("first")) as server:
        answer = server.call("ReceiveMessage", QueueUrl="q")
        assert (answer.status, parse_error(answer).code) == (500, "InternalFailure")
        assert server.call("PurgeQueue", QueueUrl="q").status == 200
        attributes = {"KmsMasterKeyId": ""}
        server.call("SetQueueAttributes", QueueUrl="q", Attributes=attributes)
        assert server.call("SendMessage", QueueUrl="q", MessageBody="new").status == 200
        assert server.stop()[0] == 0
    assert database.received(only("first")) == ["new"]


def test_key_that_only_the_secret_needs_is_needed_at_start(either: Database) -> None:
    with either.server(only("first")) as server:
        assert server.stop()[0] == 0
    with stored_rows(either.url) as rows:
        assert rows.run("SELECT id FROM data_keys") == []
    assert either.error({}) == f"{FIRST}, {NO_KEY}"
    assert either.error(only("other")) == f"{FIRST}, {MISSING}"
    assert either.error(OTHER_VALUES) == f"{FIRST}, {wrong('first')}"


def test_keys_are_needed_too_if_encryption_is_off(database: Database) -> None:
    database.send(only("first"))
    assert database.error({}, "--encryption", "off") == f"{FIRST}, {NO_KEY}"
    assert database.received(only("first"), "--encryption", "off") == ["stored"]
    # The secret is in clear now, and the message still is not.
    assert database.error({}) == f"{FIRST}, {NO_KEY}"


def test_database_needs_no_key_after_encryption_was_off_and_nothing_is_encrypted(
    database: Database,
) -> None:
    with database.server(only("first")) as server:
        assert server.call("CreateQueue", QueueName="q").status == 200
        assert server.stop()[0] == 0
    assert database.received(only("first"), "--encryption", "off") == []
    assert database.received({}) == []


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(KEYS, id="another key after it"),
        pytest.param(dict(reversed(KEYS.items())), id="another key before it"),
    ],
)
def test_old_key_decrypts_wherever_it_is_in_the_ring(
    database: Database, keys: dict[str, bytes]
) -> None:
    database.send(only("first"))
    assert database.received(keys) == ["stored"]


def test_old_key_may_have_the_name_of_the_new_one(database: Database, tmp_path: Path) -> None:
    database.send(only("first"))
    lines = [*key_lines({"first": OTHER_VALUES["first"]}), *key_lines(only("first"))]
    path = write_keys(tmp_path / "both", {})
    path.write_text("\n".join(lines))
    assert database.received({}, "--encryption-key-file", str(path)) == ["stored"]
