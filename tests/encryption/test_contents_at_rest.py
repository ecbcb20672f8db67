"""Contents of messages are nowhere in clear: not in files, not in rows, not in logs.

The same search on a server without keys finds each text in each state: so it can fail.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from storage.schema import metadata
from tests.encryption import load_encryption
from tests.encryption.contents_at_rest import (
    DATABASES,
    INTERNAL,
    IS_ENCRYPTED,
    STAYS_CLEAR,
    Search,
    count,
    new_directory,
    run,
    table,
)
from tests.encryption.load_encryption import FIRST_KEY, OTHER_KEY, encryption_on
from tests.encryption.marked_texts import BASE64, HEX, MD5, SHA_256, TEXT, UTF_16, MarkedTexts
from tests.encryption.message_states import KINDS, STATES
from tests.encryption.stored_bytes import (
    BACKUP,
    DATABASE_FILE,
    FILES_OF_PROCESS,
    TABLES,
    VALUES,
    WAL,
)
from tests.markdown import text_of

DATABASE_KINDS = pytest.mark.parametrize("kind", DATABASES)
RunOnce: TypeAlias = Callable[[str, str], Search]
"""Returns the result of a database's kind and a server's mode, `clear` or `encrypted`."""


@pytest.fixture(scope="module")
def run_once() -> Iterator[RunOnce]:
    searches: dict[tuple[str, str], Search] = {}
    with contextlib.ExitStack() as stack:

        def get(kind: str, mode: str) -> Search:
            if (kind, mode) not in searches:
                directory = stack.enter_context(new_directory())
                used = encryption_on(directory) if mode == "encrypted" else load_encryption.OFF
                searches[kind, mode] = run(kind, directory, used)
            return searches[kind, mode]

        yield get


@DATABASE_KINDS
def test_encrypting_server_leaves_no_content_anywhere(run_once: RunOnce, kind: str) -> None:
    search = run_once(kind, "encrypted")
    assert {place: hits for place, hits in search.hits.items() if hits} == {}
    assert {row["body"] for row in search.rows["bodies"]} == {""}
    assert all(row["data_key"] for row in search.rows["bodies"])
    # The messages were there, and a server that starts later can read them.
    assert search.returned == [search.marks.body("returned", "body")]


@DATABASE_KINDS
def test_search_finds_each_text_and_state_of_a_server_without_keys(
    run_once: RunOnce, kind: str
) -> None:
    search = run_once(kind, "clear")
    assert [name for name in KINDS if not count(search, "kind", name)] == []
    assert [name for name in STATES if not count(search, "state", name)] == []
    with_digests = {hit.form for hit in search.total}
    assert with_digests == {TEXT, MD5, SHA_256}
    files = {DATABASE_FILE, BACKUP} if kind == "sqlite" else {TABLES}
    for place in (*files, WAL, VALUES):
        assert {hit.form for hit in search.hits[place]} == with_digests, place
    assert search.returned == [search.marks.body("returned", "body")]


@DATABASE_KINDS
def test_search_reads_every_place(run_once: RunOnce, kind: str) -> None:
    for mode in ("clear", "encrypted"):
        search = run_once(kind, mode)
        unread = {place for place in search.hits if not search.searched_bytes[place]}
        # The servers have written no temporary files.
        assert unread <= {FILES_OF_PROCESS}


@pytest.mark.parametrize("before", ["", "x", "xx"])
def test_search_finds_a_text_in_each_form(before: str) -> None:
    marks = MarkedTexts()
    text = f"{before}{marks.body('visible', 'body')} and more"
    in_base64 = base64.b64encode(text.encode())
    digest = hashlib.sha256(marks.body("visible", "body").encode()).hexdigest()
    forms = {
        TEXT: text.encode(),
        UTF_16: text.encode("utf-16-le"),
        BASE64: in_base64,
        HEX: text.encode().hex().encode(),
        SHA_256: digest.upper().encode(),
        MD5: hashlib.md5(marks.body("visible", "body").encode()).digest(),
    }
    for form, content in forms.items():
        found = Counter(hit.form for hit in marks.search(b"before " + content + b" after"))
        assert found == {form: 1}
    (hit,) = marks.search(b"\0" * 1_000 + forms[TEXT])
    assert hit == (TEXT, "visible", "body")
    assert list(marks.search(MarkedTexts().body("visible", "body", 5_000).encode())) == []


def test_search_finds_the_text_in_every_part_of_a_long_body() -> None:
    marks = MarkedTexts()
    body = marks.body("deleted", "body_of_1_mib", 1024 * 1024)
    assert len(body) == 1024 * 1024
    for first in range(0, len(body) - 1_000, 1_000):
        assert TEXT in {hit.form for hit in marks.search(body[first : first + 1_000].encode())}


# The list of what stays in clear


def test_every_column_is_listed_as_clear_or_encrypted_or_internal() -> None:
    listed = [*IS_ENCRYPTED, *INTERNAL]
    for columns in STAYS_CLEAR.values():
        listed += columns
    assert Counter(listed) == Counter(
        f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.c
    )


def test_documentation_lists_what_stays_in_clear() -> None:
    _, _, table = text_of("docs/encryption.md").partition(
        "| stays in clear | for example |\n|---|---|\n"
    )
    rows = table.partition("\n\n")[0].splitlines()
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(STAYS_CLEAR)


@DATABASE_KINDS
def test_everything_that_is_listed_as_clear_is_found(run_once: RunOnce, kind: str) -> None:
    search = run_once(kind, "encrypted")
    sent = search.messages
    sent_at_ms = search.began_ms
    expected: dict[str, Callable[[Any], bool]] = {
        "queue names, accounts and regions": lambda value: value == sent.name("visible"),
        "queue attributes and policies": lambda value: sent.policy_id in str(value),
        "tags": lambda value: sent.tag in str(value),
        "message ids": lambda value: value == uuid.UUID(sent.message_ids[0]).bytes,
        "times": lambda value: sent_at_ms - 60_000 <= (value or 0) <= sent_at_ms + 600_000,
        "sizes": lambda value: 0 <= value - 1024 * 1024 < 200,  # with its attributes
        "message group ids": lambda value: value == sent.group_id,
        "receive counts": lambda value: value == 2,
        "receive attempt ids": lambda value: value == sent.attempt_id,
        "progress of message move tasks": lambda value: value == "COMPLETED",
        "numbers of messages": lambda value: value == 15,
        "names and fingerprints of master keys": lambda value: value in {FIRST_KEY, OTHER_KEY},
    }
    assert expected.keys() == STAYS_CLEAR.keys()
    for name, is_expected in expected.items():
        assert any(map(is_expected, values_of(search, STAYS_CLEAR[name]))), name


def values_of(search: Search, columns: tuple[str, ...]) -> list[object]:
    """Return the values of columns, each named `table.column`, in all rows."""
    named = (name.split(".") for name in columns)
    return [row[column] for table, column in named for row in search.rows[table]]


def test_printed_table_has_all_places_texts_and_states(run_once: RunOnce) -> None:
    lines = list(table({("SQLite", "clear"): run_once("sqlite", "clear")}))
    for name in (DATABASE_FILE, WAL, VALUES, BACKUP, *KINDS, *STATES):
        assert any(name.replace("_", " ") in line for line in lines), name
