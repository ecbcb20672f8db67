"""A damaged SQLite file: errors and logs, undamaged queues, and the `check` command."""

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
from tests.api.raw_http import exchange, parse_error
from tests.api.server_process import ServerProcess, command, environment
from tests.clock import ManualClock
from tests.markdown import text_of

URL = "sqlite:///queueserver.db"
QUEUES = ("damaged", "sound")
MESSAGES = 700
"""Enough messages that rows of the sound queue are not on pages near the damage."""
_LEAVES = {10, 13}
DAMAGE_ENVELOPE = "UPDATE bodies SET envelope = x'ff00' WHERE id = ?"


def start(directory: Path) -> ServerProcess:
    return ServerProcess("--database", URL, directory=directory)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Create a database of two queues; the first queue has the first half of every table."""
    with start(tmp_path) as server:
        for queue in QUEUES:
            assert server.call("CreateQueue", QueueName=queue).status == 200
            for first in range(0, MESSAGES, 10):
                entries = [
                    {"Id": f"{number}", "MessageBody": f"{number} {'body ' * 40}"}
                    for number in range(first, first + 10)
                ]
                answer = server.call("SendMessageBatch", QueueUrl=queue, Entries=entries)
                assert b"Failed" not in answer.body
        assert server.stop()[0] == 0
    return tmp_path / "queueserver.db"


def leaves(pages: list[bytes], number: int) -> Iterator[int]:
    """Yield the numbers of the leaf pages of a SQLite b-tree in order, from its root page."""
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
    """Fill a leaf page in the first half of a tree with `new`, or replace `old` by `new` in it.

    With `is_everywhere`, change all leaf pages except the first and the last.
    """
    connection = sqlite3.connect(file)
    find_root = "SELECT rootpage FROM sqlite_master WHERE name = ?"
    (root,) = connection.execute(find_root, [tree]).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = file.read_bytes()
    pages = [content[at : at + size] for at in range(0, len(content), size)]
    found = list(leaves(pages, root))
    assert len(found) > 5
    # The server reads both ends of a table at its start, so they stay undamaged.
    for number in found[1:-1] if is_everywhere else [found[len(found) // 5]]:
        page = pages[number - 1]
        pages[number - 1] = new * size if old is None else page.replace(old, new)
        assert pages[number - 1] != page
    file.write_bytes(b"".join(pages))


DAMAGES = pytest.mark.parametrize(
    ("tree", "old", "new"),
    [
        pytest.param("messages", None, b"\xff", id="messages"),
        pytest.param("messages", None, b"\0", id="messages zeroed"),
        pytest.param("messages_by_visibility", None, b"\xff", id="index"),
        pytest.param("bodies", None, b"\xff", id="bodies"),
        pytest.param("bodies", b"body", b"\xff\xfe\xfd\xfc", id="text of bodies"),
    ],
)


@DAMAGES
def test_damage_is_logged_in_one_line_and_other_queues_keep_working(
    file: Path, tree: str, old: bytes | None, new: bytes
) -> None:
    damage(file, tree, old, new)
    with start(file.parent) as server:
        rejected = 0
        for _ in range(MESSAGES // 10 + 1):
            answers = [
                server.call("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=10)
                for queue in QUEUES
            ]
            assert answers[1].status == 200
            if answers[0].status != 200:
                rejected += 1
                assert (answers[0].status, parse_error(answers[0]).code) == (500, "InternalFailure")
        assert rejected
        # Requests that do not read the damaged pages succeed, in the damaged queue too.
        for queue in QUEUES:
            assert server.call("SendMessage", QueueUrl=queue, MessageBody="x").status == 200
        assert exchange(server.url, "GET", "/health").status == 200
        assert server.call("PurgeQueue", QueueUrl="damaged").status == 200
        assert server.call("SendMessage", QueueUrl="damaged", MessageBody="new").status == 200
        answer = server.call("ReceiveMessage", QueueUrl="damaged")
        assert [message["Body"] for message in json.loads(answer.body)["Messages"]] == ["new"]
        status, _, log = server.stop()
    assert status == 0
    lines = [line for line in log.splitlines() if "queueserver.http.errors" in line]
    # Repeated lines are counted in one.
    assert sum(int(line.partition(" repeated=")[2] or 1) for line in lines) == rejected
    for line in lines:
        assert re.search(r": the database is damaged, .* request_id=\S+ reason=\S", line)
    assert "Traceback" not in log
    assert "body" not in log.replace("column 'body'", "")


def warnings(log: str) -> list[str]:
    """Return the lines of a log that are warnings or errors."""
    return [line for line in log.splitlines() if " INFO " not in line]


def test_receive_skips_a_message_with_a_damaged_envelope(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (first,) = connection.execute("SELECT min(id) FROM bodies").fetchone()
        connection.execute(DAMAGE_ENVELOPE, [first + 3])
        connection.commit()
    with start(file.parent) as server:
        answer = server.call("ReceiveMessage", QueueUrl="damaged", MaxNumberOfMessages=10)
        bodies = [message["Body"] for message in json.loads(answer.body)["Messages"]]
        assert [body.split()[0] for body in bodies] == ["0", "1", "2", "4", "5", "6", "7", "8", "9"]
        status, _, log = server.stop()
    assert status == 0
    (line,) = warnings(log)
    assert re.search(r" a message is damaged, .* queue=damaged message=\d+ reason=\S", line)


def test_receive_of_only_damaged_envelopes_is_answered_internal_failure(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE bodies SET envelope = x'ff00'")
        connection.commit()
    with start(file.parent) as server:
        answer = server.call("ReceiveMessage", QueueUrl="damaged", MaxNumberOfMessages=2)
        assert (answer.status, parse_error(answer).code) == (500, "InternalFailure")
        _, _, log = server.stop()
    assert re.search(
        r" a message .* queue=damaged message=\d+ .*\n"
        r".*: the database is damaged, .* request_id=\S+ reason=",
        log,
    )
    assert len(warnings(log)) == 2


def test_server_starts_with_damaged_messages(file: Path) -> None:
    with start(file.parent) as server:
        assert server.call("SendMessage", QueueUrl="damaged", MessageBody="last").status == 200
        assert server.stop()[0] == 0
    damage(file, "messages", None, b"\xff", is_everywhere=True)
    with start(file.parent) as server:
        assert server.call("CreateQueue", QueueName="new").status == 200
        assert server.stop()[0] == 0


async def test_upkeep_frees_undamaged_expired_messages(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(file, "messages", None, b"\xff")
    in_a_century = ManualClock(4_000_000_000_000)
    database = await Database.open(f"sqlite:///{file}", in_a_century)
    await Upkeep(database, in_a_century).run_round()
    await database.close()
    connection = sqlite3.connect(file)
    remaining = connection.execute("SELECT messages FROM backlogs ORDER BY queue_id").fetchall()
    connection.close()
    assert remaining[0][0] > 0
    assert remaining[1] == (0,)
    (line,) = caplog.messages
    assert re.match(r"a queue is damaged, .* queue=damaged reason=\S", line)


@pytest.mark.parametrize(
    ("error", "is_damage"),
    [
        pytest.param(sqlite3.DatabaseError("database disk image is malformed"), True, id="page"),
        pytest.param(sqlite3.OperationalError("Could not decode to UTF-8"), True, id="text"),
        pytest.param(asyncpg.DataCorruptedError("x"), True, id="data"),
        pytest.param(asyncpg.IndexCorruptedError("x"), True, id="index"),
        pytest.param(sqlite3.OperationalError("disk I/O error"), False, id="disk"),
        pytest.param(ValueError("malformed"), False, id="other error"),
    ],
)
def test_only_corruption_errors_are_classified_as_damage(error: Exception, is_damage: bool) -> None:
    classify = classify_postgresql if isinstance(error, asyncpg.PostgresError) else classify_sqlite
    assert isinstance(classify(error), DatabaseDamaged) is is_damage


# The check command


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


def test_documentation_shows_the_check_command() -> None:
    assert f"queueserver check --database {URL}" in text_of("docs/backup.md")


@DAMAGES
def test_check_finds_damage_in_every_tree_and_changes_no_file(
    file: Path, tree: str, old: bytes | None, new: bytes
) -> None:
    damage(file, tree, old, new)
    before, files = file.read_bytes(), sorted(file.parent.iterdir())
    process = check(file.parent)
    *findings, verdict = process.stdout.splitlines()
    assert findings
    assert (process.returncode, process.stderr) == (1, "")
    assert verdict == f"checked {URL}: damaged: put a backup in its place"
    assert file.read_bytes() == before
    assert sorted(file.parent.iterdir()) == files


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        pytest.param(
            "DELETE FROM bodies WHERE id = ?",
            r"message {} of queue \d+ has no content",
            id="missing content",
        ),
        pytest.param(
            "DELETE FROM messages WHERE id = ?",
            r"content {} of queue \d+ belongs to no message",
            id="missing message",
        ),
        pytest.param(
            DAMAGE_ENVELOPE,
            r"the envelope of message {} of queue \d+ cannot be read: queue=sound message_id=\S+",
            id="envelope",
        ),
    ],
)
def test_check_finds_a_message_that_cannot_be_delivered(
    file: Path, statement: str, finding: str
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        (number,) = connection.execute("SELECT max(id) FROM bodies").fetchone()
        connection.execute(statement, [number])
        connection.commit()
    process = check(file.parent)
    line, _ = process.stdout.splitlines()
    assert re.fullmatch(finding.format(number), line)
    assert process.returncode == 1


def test_check_reads_the_wal_of_a_killed_server(file: Path) -> None:
    with start(file.parent) as server:
        assert server.call("SendMessage", QueueUrl="sound", MessageBody="x").status == 200
        server.stop(signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM bodies WHERE body = 'x'")
        connection.commit()
        process = check(file.parent)
    assert process.returncode == 1
    assert "has no content" in process.stdout


def test_check_follows_a_symbolic_link_to_the_file_and_its_wal(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("DELETE FROM bodies WHERE id = (SELECT max(id) FROM bodies)")
        connection.commit()
        link_directory = file.parent / "links"
        link_directory.mkdir()
        (link_directory / file.name).symlink_to(file)
        process = check(link_directory)
    assert "has no content" in process.stdout
    assert process.returncode == 1


def test_check_of_an_undamaged_database_in_use_succeeds_and_blocks_no_request(file: Path) -> None:
    with start(file.parent) as server:
        assert server.call("SendMessage", QueueUrl="sound", MessageBody="x").status == 200
        process = check(file.parent)
        assert (process.returncode, process.stderr) == (0, "")
        assert process.stdout == f"checked {URL}: no damage found\n"
        assert server.call("SendMessage", QueueUrl="sound", MessageBody="x").status == 200
        assert server.stop()[0] == 0


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param("sqlite:///none.db", "there is no file none.db", id="missing file"),
        pytest.param("sqlite:///foreign.db", "not queueserver's", id="foreign database"),
        pytest.param("sqlite:///text", "file is not a database", id="no database"),
        pytest.param("sqlite://", "in memory cannot be checked", id="in memory"),
        pytest.param("postgresql://u:secret@127.0.0.1:1/d", "cannot reach", id="postgresql"),
    ],
)
def test_failed_check_command_prints_one_line(tmp_path: Path, url: str, text: str) -> None:
    (tmp_path / "text").write_text("This is no database, but long enough to be one. " * 100)
    connection = sqlite3.connect(tmp_path / "foreign.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    process = check(tmp_path, url)
    assert (process.returncode, process.stdout) == (2, "")
    (line,) = process.stderr.splitlines()
    assert line.startswith("queueserver: error: ")
    assert text in line
    assert "secret" not in line
