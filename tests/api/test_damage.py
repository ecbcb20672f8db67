"""Damage inside the tables of a SQLite file: who meets it is told so, and nobody else is harmed."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from queueserver.background.upkeep import Upkeep
from storage.database import Database
from storage.errors import DatabaseDamaged
from storage.postgresql.errors import classify as classify_postgresql
from storage.sqlite.errors import classify as classify_sqlite
from tests.api.raw_http import Answer, exchange, json_headers, told
from tests.api.server_process import ServerProcess, command, environment
from tests.clock import ManualClock
from tests.markdown import text_of

URL = "sqlite:///queueserver.db"
QUEUES = ("damaged", "sound")
MESSAGES = 700
"""So many that damage is not beside the other queue: rows that grow may move to the next page."""
_LEAVES = {10, 13}
SPOIL = "UPDATE bodies SET envelope = x'ff00' WHERE id = ?"


def ask(server: ServerProcess, action: str, **parameters: object) -> Answer:
    return exchange(server.url, headers=json_headers(action), body=json.dumps(parameters))


def start(directory: Path) -> ServerProcess:
    return ServerProcess("--database", URL, directory=directory)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a database of two queues, of which the first has the first half of every table."""
    with start(tmp_path) as server:
        for queue in QUEUES:
            assert ask(server, "CreateQueue", QueueName=queue).status == 200
            for first in range(0, MESSAGES, 10):
                entries = [
                    {"Id": f"{number}", "MessageBody": f"{number} {'body ' * 40}"}
                    for number in range(first, first + 10)
                ]
                answer = ask(server, "SendMessageBatch", QueueUrl=queue, Entries=entries)
                assert b"Failed" not in answer.body
        assert server.stop()[0] == 0
    return tmp_path / "queueserver.db"


def leaves(pages: list[bytes], number: int) -> Iterator[int]:
    """Walk one of SQLite's trees from a page, and give the pages that have its rows, in order."""
    page = pages[number - 1]
    if page[0] in _LEAVES:
        yield number
        return
    for cell in range(int.from_bytes(page[3:5])):
        at = int.from_bytes(page[12 + 2 * cell : 14 + 2 * cell])
        yield from leaves(pages, int.from_bytes(page[at : at + 4]))
    yield from leaves(pages, int.from_bytes(page[8:12]))


def damage(
    file: Path, tree: str, old: bytes | None, new: bytes, *, is_everywhere: bool = False
) -> None:
    """Change a page in the first half of a tree, all of it, or one text in it; or all pages."""
    connection = sqlite3.connect(file)
    find_root = "SELECT rootpage FROM sqlite_master WHERE name = ?"
    (root,) = connection.execute(find_root, [tree]).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = file.read_bytes()
    pages = [content[at : at + size] for at in range(0, len(content), size)]
    found = list(leaves(pages, root))
    assert len(found) > 5
    # Neither end of a table: that would be found at the start.
    for number in found[1:-1] if is_everywhere else [found[len(found) // 5]]:
        page = pages[number - 1]
        pages[number - 1] = new * size if old is None else page.replace(old, new)
        assert pages[number - 1] != page
    file.write_bytes(b"".join(pages))


DAMAGES = pytest.mark.parametrize(
    ("tree", "old", "new"),
    [
        pytest.param("messages", None, b"\xff", id="state"),
        pytest.param("messages", None, b"\0", id="state that was never written"),
        pytest.param("messages_by_visibility", None, b"\xff", id="index"),
        pytest.param("bodies", None, b"\xff", id="content"),
        pytest.param("bodies", b"body", b"\xff\xfe\xfd\xfc", id="text"),
    ],
)


@DAMAGES
def test_who_meets_damage_is_told_in_one_line_and_other_queues_go_on(
    file: Path, tree: str, old: bytes | None, new: bytes
) -> None:
    damage(file, tree, old, new)
    with start(file.parent) as server:
        refused = 0
        for _ in range(MESSAGES // 10 + 1):
            answers = [
                ask(server, "ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10)
                for queue in QUEUES
            ]
            assert answers[1].status == 200
            if answers[0].status != 200:
                refused += 1
                assert (answers[0].status, told(answers[0]).code) == (500, "InternalFailure")
        assert refused
        # What does not touch the damage is done, in that queue, too.
        for queue in QUEUES:
            assert ask(server, "SendMessage", QueueUrl=queue, MessageBody="x").status == 200
        assert exchange(server.url, "GET", "/health").status == 200
        assert ask(server, "PurgeQueue", QueueUrl="damaged").status == 200
        assert ask(server, "SendMessage", QueueUrl="damaged", MessageBody="new").status == 200
        answer = ask(server, "ReceiveMessage", QueueUrl="damaged")
        assert [message["Body"] for message in json.loads(answer.body)["Messages"]] == ["new"]
        status, _, log = server.stop()
    assert status == 0
    lines = [line for line in log.splitlines() if "queueserver.http.errors" in line]
    assert len(lines) == refused
    for line in lines:
        assert re.search(r": the database is damaged, .* request_id=\S+ reason=\S", line)
    assert "Traceback" not in log
    assert "body" not in log.replace("column 'body'", "")


def test_what_is_sound_is_given_beside_an_envelope_that_is_damaged(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (first,) = connection.execute("SELECT min(id) FROM bodies").fetchone()
        connection.execute(SPOIL, [first + 3])
        connection.commit()
    with start(file.parent) as server:
        answer = ask(server, "ReceiveMessage", QueueUrl="damaged", MaxNumberOfMessages=10)
        bodies = [message["Body"] for message in json.loads(answer.body)["Messages"]]
        assert [body.split()[0] for body in bodies] == ["0", "1", "2", "4", "5", "6", "7", "8", "9"]
        status, _, log = server.stop()
    assert status == 0
    (line,) = log.splitlines()
    assert re.search(r" a message is damaged, .* queue=damaged message=\d+ reason=\S", line)


def test_who_is_given_nothing_but_a_damaged_envelope_is_told_so(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE bodies SET envelope = x'ff00'")
        connection.commit()
    with start(file.parent) as server:
        answer = ask(server, "ReceiveMessage", QueueUrl="damaged", MaxNumberOfMessages=2)
        assert (answer.status, told(answer).code) == (500, "InternalFailure")
        _, _, log = server.stop()
    assert re.search(
        r" a message .* queue=damaged message=\d+ .*\n"
        r".*: the database is damaged, .* request_id=\S+ reason=",
        log,
    )
    assert len(log.splitlines()) == 2


def test_a_server_starts_though_its_last_message_is_damaged(file: Path) -> None:
    with start(file.parent) as server:
        assert ask(server, "SendMessage", QueueUrl="damaged", MessageBody="last").status == 200
        assert server.stop()[0] == 0
    damage(file, "messages", None, b"\xff", is_everywhere=True)
    with start(file.parent) as server:
        assert ask(server, "CreateQueue", QueueName="new").status == 200
        assert server.stop()[0] == 0


async def test_upkeep_frees_what_is_not_damaged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(file, "messages", None, b"\xff")
    in_a_century = ManualClock(4_000_000_000_000)
    database = await Database.open(f"sqlite:///{file}", in_a_century)
    await Upkeep(database, in_a_century).run_round()
    await database.close()
    connection = sqlite3.connect(file)
    left = connection.execute("SELECT messages FROM backlogs ORDER BY queue_id").fetchall()
    connection.close()
    assert left[0][0] > 0
    assert left[1] == (0,)
    (line,) = caplog.messages
    assert re.match(r"a queue is damaged, .* queue=damaged reason=\S", line)


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        pytest.param(sqlite3.DatabaseError("database disk image is malformed"), True, id="page"),
        pytest.param(sqlite3.OperationalError("Could not decode to UTF-8"), True, id="text"),
        pytest.param(asyncpg.DataCorruptedError("x"), True, id="data"),
        pytest.param(asyncpg.IndexCorruptedError("x"), True, id="index"),
        pytest.param(sqlite3.OperationalError("disk I/O error"), False, id="disk"),
        pytest.param(ValueError("malformed"), False, id="another's error"),
    ],
)
def test_damage_is_told_from_other_failures(error: Exception, is_it: bool) -> None:
    classify = classify_postgresql if isinstance(error, asyncpg.PostgresError) else classify_sqlite
    assert isinstance(classify(error), DatabaseDamaged) is is_it


# The command that looks for it


def check(directory: Path, url: str = URL) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("check", "--database", url),
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_documentation_has_the_command() -> None:
    assert f"queueserver check --database {URL}" in text_of("docs/backup.md")


@DAMAGES
def test_the_check_finds_damage_wherever_it_is_and_changes_nothing(
    file: Path, tree: str, old: bytes | None, new: bytes
) -> None:
    damage(file, tree, old, new)
    before, beside = file.read_bytes(), sorted(file.parent.iterdir())
    ended = check(file.parent)
    *findings, verdict = ended.stdout.splitlines()
    assert findings
    assert (ended.returncode, ended.stderr) == (1, "")
    assert verdict == f"checked {URL}: damaged: put a backup in its place"
    assert file.read_bytes() == before
    assert sorted(file.parent.iterdir()) == beside


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        pytest.param(
            "DELETE FROM bodies WHERE id = ?",
            r"message {} of queue \d+ has no content",
            id="no content",
        ),
        pytest.param(
            "DELETE FROM messages WHERE id = ?",
            r"content {} of queue \d+ belongs to no message",
            id="no message",
        ),
        pytest.param(
            SPOIL, r"the envelope of message {} of queue \d+ cannot be read", id="envelope"
        ),
    ],
)
def test_the_check_finds_a_message_that_cannot_be_given(
    file: Path, statement: str, words: str
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (number,) = connection.execute("SELECT max(id) FROM bodies").fetchone()
        connection.execute(statement, [number])
        connection.commit()
    ended = check(file.parent)
    finding, _ = ended.stdout.splitlines()
    assert re.fullmatch(words.format(number), finding)
    assert ended.returncode == 1


def test_the_check_reads_what_a_server_that_was_killed_left_in_the_log(file: Path) -> None:
    with start(file.parent) as server:
        assert ask(server, "SendMessage", QueueUrl="sound", MessageBody="x").status == 200
        server.stop(signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM bodies WHERE body = 'x'")
        connection.commit()
        ended = check(file.parent)
    assert ended.returncode == 1
    assert "has no content" in ended.stdout


def test_the_check_follows_a_link_to_a_file_and_its_log(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("DELETE FROM bodies WHERE id = (SELECT max(id) FROM bodies)")
        connection.commit()
        elsewhere = file.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / file.name).symlink_to(file)
        ended = check(elsewhere)
    assert "has no content" in ended.stdout
    assert ended.returncode == 1


def test_the_check_of_a_database_in_use_finds_nothing_and_keeps_nobody_waiting(file: Path) -> None:
    with start(file.parent) as server:
        assert ask(server, "SendMessage", QueueUrl="sound", MessageBody="x").status == 200
        ended = check(file.parent)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == f"checked {URL}: no damage found\n"
        assert ask(server, "SendMessage", QueueUrl="sound", MessageBody="x").status == 200
        assert server.stop()[0] == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("sqlite:///none.db", "there is no file none.db", id="no file"),
        pytest.param("sqlite:///foreign.db", "not queueserver's", id="foreign"),
        pytest.param("sqlite:///text", "file is not a database", id="no database"),
        pytest.param("sqlite://", "only a SQLite file", id="memory"),
        pytest.param("postgresql://u:hidden@h/d", "pg_amcheck", id="postgresql"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(tmp_path: Path, url: str, words: str) -> None:
    (tmp_path / "text").write_text("This is no database, but long enough to be one. " * 100)
    connection = sqlite3.connect(tmp_path / "foreign.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    ended = check(tmp_path, url)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("queueserver: error: ")
    assert words in line
    assert "hidden" not in line
