"""Search everything that a server stores and writes for the contents of its messages.

`python -m tests.encryption.contents_at_rest` prints what is found on each database, of a server
that encrypts and of one that does not: the second shows that the search finds contents.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.api.server_process import ServerProcess, command, environment
from tests.encryption import load_encryption
from tests.encryption.load_encryption import LoadEncryption, encryption_on
from tests.encryption.marked_texts import FORMS, Hit, MarkedTexts
from tests.encryption.message_states import KINDS, STATES, MarkedMessages
from tests.encryption.stored_bytes import (
    BACKUP,
    FILES_OF_PROCESS,
    LOG,
    OUTPUT,
    VALUES,
    Rows,
    SearchedDatabase,
    Stored,
    new_database,
    open_files,
    values,
)
from tests.waiting import wait_until

DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

STAYS_CLEAR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "queue names, accounts and regions": (
            "queues.account",
            "queues.region",
            "queues.name",
            "queues.dead_letter_account",
            "queues.dead_letter_region",
            "queues.dead_letter_name",
            "deletions.account",
            "deletions.region",
            "deletions.name",
            "messages.dead_letter_source",
            "move_tasks.account",
            "move_tasks.region",
            "move_tasks.source",
            "move_tasks.destination",
        ),
        "queue attributes and policies": (
            "queues.attributes",
            "queues.kind",
            "queues.retention_ms",
            "queues.delay_ms",
            "queues.max_receive_count",
            "queue_delays.delay_ms",
        ),
        "tags": ("queues.tags",),
        "message ids": ("messages.message_id", "bodies.message_id", "deduplications.message_id"),
        "times": (
            "queues.created_at_ms",
            "queues.modified_at_ms",
            "queues.purged_at_ms",
            "deletions.deleted_at_ms",
            "messages.visible_at_ms",
            "messages.sent_at_ms",
            "messages.first_received_at_ms",
            "messages.queued_at_ms",
            "groups.available_at_ms",
            "deduplications.sent_at_ms",
            "receive_attempts.made_at_ms",
            "move_tasks.started_at_ms",
            "data_keys.created_at_ms",
            "data_keys.encrypts_until_ms",
        ),
        "sizes": ("messages.size",),
        "message group ids": ("messages.group_id", "messages.tenant_id", "groups.group_id"),
        "receive counts": ("messages.receive_count", "messages.earlier_receives"),
        "receive attempt ids": (
            "receive_attempts.attempt_id",
            "receive_attempts.parameters",
            "receive_attempts.claims",
        ),
        "progress of message move tasks": (
            "move_tasks.id",
            "move_tasks.per_second",
            "move_tasks.status",
            "move_tasks.moved",
            "move_tasks.to_move",
            "move_tasks.failure",
        ),
        "numbers of messages": ("backlogs.messages",),
        "names and fingerprints of master keys": (
            "bodies.data_key",
            "data_keys.master_key",
            "data_keys.fingerprint",
            "data_keys.named_key",
        ),
    }
)
"""The information that encryption leaves in clear, and its columns. docs/encryption.md lists it."""

IS_ENCRYPTED = ("bodies.body", "bodies.envelope", "deduplications.key", "data_keys.wrapped")
"""The columns whose values reveal no contents: encrypted, empty, or a keyed digest."""


INTERNAL = (
    "properties.name",
    "properties.value",
    "queues.id",
    "queues.revision",
    "messages.queue_id",
    "messages.id",
    "messages.body_id",
    "groups.queue_id",
    "groups.head_id",
    "queue_delays.queue_id",
    "queue_delays.before_id",
    "deduplications.queue_id",
    "deduplications.number",
    "receive_attempts.queue_id",
    "move_tasks.number",
    "bodies.queue_id",
    "bodies.id",
    "data_keys.id",
    "backlogs.queue_id",
    "dropped_queues.queue_id",
)
"""The columns with numbers that only the server uses, and the properties of the database."""

_AGE_MS = 400_000
"""Deduplication ids and receive attempts expire after 300 s, the messages of one queue after 60."""


class Search(NamedTuple):
    """The result of one run.

    Attributes:
        hits: how often each text was found, by place.
        searched_bytes: how much was searched, by place.
        rows: the rows of the database when messages were in all states.
        began_ms: when the first message was sent, in epoch milliseconds.
        returned: the bodies that a later server delivered of the state `returned`.
        messages: the messages that were sent.
        marks: their texts.
    """

    hits: Mapping[str, Counter[Hit]]
    searched_bytes: Counter[str]
    rows: Rows
    began_ms: int
    returned: Sequence[str]
    messages: MarkedMessages
    marks: MarkedTexts

    @property
    def total(self) -> Counter[Hit]:
        """The hits in all places."""
        return sum(self.hits.values(), Counter())


class _Searcher:
    """Searches all places of one server several times, and adds up what it finds."""

    def __init__(self, database: SearchedDatabase, directory: Path) -> None:
        self.marks = MarkedTexts()
        places = (*database.places, VALUES, FILES_OF_PROCESS, LOG, OUTPUT)
        self.hits: dict[str, Counter[Hit]] = {place: Counter() for place in places}
        self.searched_bytes: Counter[str] = Counter()
        self._database = database
        self._directory = directory
        self.temporary = directory / "temporary"
        self.temporary.mkdir()

    def search(self, stored: Iterable[Stored]) -> None:
        for place, content in stored:
            self.hits[place].update(self.marks.search(content))
            self.searched_bytes[place] += len(content)

    def search_database(self) -> None:
        self.search(self._database.stored())
        self.search([values(self._database.rows())])

    def search_process(self, server: ServerProcess) -> None:
        self.search(open_files(server.pid, self.temporary))
        self.search([Stored(LOG, server.errors().encode())])

    def search_backup(self) -> None:
        """Search a backup, which is a command of SQLite databases."""
        if not self._database.url.startswith("sqlite"):
            return
        path = self._directory / "backup.db"
        subprocess.run(
            command("backup", "--database", self._database.url, str(path)),
            env=environment(TMPDIR=str(self.temporary)),
            check=True,
            capture_output=True,
        )
        self.hits[BACKUP] = Counter()
        self.search([Stored(BACKUP, path.read_bytes())])


@contextlib.contextmanager
def new_directory() -> Iterator[Path]:
    """Create a directory that PostgreSQL can read, which runs as another user."""
    with tempfile.TemporaryDirectory(prefix="queueserver-search-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def run(kind: str, directory: Path, encryption: LoadEncryption) -> Search:
    """Search the database of a kind, and all else that a server writes, for its contents."""
    with new_database(kind, directory) as database:
        searcher = _Searcher(database, directory)
        arguments = ("--database", database.url, "--log-level", "debug", *encryption.arguments)
        settings = dict.fromkeys(("TMPDIR", "SQLITE_TMPDIR"), str(searcher.temporary))
        with ServerProcess(*arguments, directory=directory, settings=settings) as server:
            messages = MarkedMessages(server.url, searcher.marks, encryption)
            began_ms = time.time_ns() // 1_000_000
            with contextlib.closing(messages):
                messages.fill()
                searcher.search_database()
                rows = database.rows()
                searcher.search_backup()
                messages.remove()
            searcher.search_database()
            database.checkpoint()
            searcher.search_database()
            searcher.search_process(server)
            searcher.search([Stored(OUTPUT, server.line.encode())])
            server.stop(signal.SIGKILL)
        searcher.search(database.stored())
        database.execute(*_aging(messages))
        with ServerProcess(*arguments, directory=directory, settings=settings) as server:
            wait_until(lambda: _is_freed(database, messages), "expired messages are not freed")
            returned = messages.received_bodies(server.url)
            searcher.search_database()
            searcher.search_process(server)
            status, output, _ = server.stop()
            assert status == 0
            searcher.search([Stored(OUTPUT, (server.line + output).encode())])
        database.checkpoint()
        searcher.search_database()
    return Search(
        searcher.hits,
        searcher.searched_bytes,
        rows,
        began_ms,
        returned,
        messages,
        searcher.marks,
    )


def _aging(messages: MarkedMessages) -> Sequence[str]:
    """Return the statements that make rows old, as if time had passed."""
    queue_ids = f"(SELECT id FROM queues WHERE name = '{messages.name('expired')}')"
    return (
        f"UPDATE messages SET sent_at_ms = sent_at_ms - {_AGE_MS} WHERE queue_id IN {queue_ids}",
        f"UPDATE deduplications SET sent_at_ms = sent_at_ms - {_AGE_MS}",
        f"UPDATE receive_attempts SET made_at_ms = made_at_ms - {_AGE_MS}",
    )


def _is_freed(database: SearchedDatabase, messages: MarkedMessages) -> bool:
    """Return whether the expired messages are freed, and those of the removed queues."""
    rows = database.rows()
    name = messages.name("expired")
    (queue_id,) = (row["id"] for row in rows["queues"] if row["name"] == name)
    has_expired = any(row["queue_id"] == queue_id for row in rows["messages"])
    return not has_expired and not rows["dropped_queues"] and not rows["deduplications"]


# The printed tables


def table(searches: Mapping[tuple[str, str], Search]) -> Iterator[str]:
    """Return the lines of the result: `searches` by the database and the mode of the server."""
    yield f"{'database':<12}{'where':<28}{'server':<11}{'KiB':>9}" + "".join(
        f"{form:>9}" for form in FORMS
    )
    for (database, mode), search in searches.items():
        for place, hits in search.hits.items():
            forms = Counter(hit.form for hit in hits.elements())
            searched = search.searched_bytes[place]
            yield f"{database:<12}{place:<28}{mode:<11}{searched / 1024:>9,.0f}" + "".join(
                f"{forms[form]:>9}" for form in FORMS
            )
    columns = "".join(f"{database + ', ' + mode:>23}" for database, mode in searches)
    for title, names, attribute in (("text", KINDS, "kind"), ("state", STATES, "state")):
        yield ""
        yield f"{title:<26}{columns}"
        for name in names:
            yield f"{name.replace('_', ' '):<26}" + "".join(
                f"{count(search, attribute, name):>23}" for search in searches.values()
            )


def count(search: Search, attribute: str, name: str) -> int:
    """Return the hits of a kind or of a state, in all places."""
    return sum(times for hit, times in search.total.items() if getattr(hit, attribute) == name)


def main() -> int:
    """Print the tables; the exit status is 1 if a server that encrypts has stored contents."""
    parser = argparse.ArgumentParser(prog="python -m tests.encryption.contents_at_rest")
    parser.add_argument("--only", choices=DATABASES, help="search one kind of database")
    parser.add_argument("--clear", action="store_true", help="without a server that encrypts")
    arguments = parser.parse_args()
    searches = {}
    for kind in [arguments.only] if arguments.only else DATABASES:
        for mode in ["clear"] if arguments.clear else ["clear", "encrypted"]:
            with new_directory() as directory:
                used = load_encryption.OFF if mode == "clear" else encryption_on(directory)
                searches[DATABASES[kind], mode] = run(kind, directory, used)
    sys.stdout.write("\n".join([*table(searches), ""]))
    return int(any(search.total for (_, mode), search in searches.items() if mode != "clear"))


if __name__ == "__main__":
    sys.exit(main())
