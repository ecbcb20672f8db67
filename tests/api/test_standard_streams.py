"""Standard streams that are closed, full, broken or never read: no crash, and no traceback."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.api.raw_http import exchange, open_socket
from tests.api.server_process import STOP_SECONDS, ServerProcess, command, environment
from tests.waiting import TIMEOUT_SECONDS, poll_until_timeout

NO_READER = "broken pipe"


@pytest.fixture(autouse=True)
def _full_device() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("the system has no /dev/full")


def start(redirection: str, *arguments: str, directory: Path) -> subprocess.Popen[str]:
    """Run a command with redirected streams; its output is in a pipe, its errors are in a file."""
    redirected = "" if redirection == NO_READER else redirection
    line = f"exec {shlex.join(command(*arguments))} {redirected}"
    with (directory / "stderr").open("w") as errors:
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    if redirection == NO_READER:
        process.stdout.close()
    return process


def run(redirection: str, *arguments: str, directory: Path) -> tuple[int, str, str]:
    """Run a command to its end; return its status, output and errors."""
    with start(redirection, *arguments, directory=directory) as process:
        assert process.stdout is not None
        output = "" if process.stdout.closed else process.stdout.read()
        status = process.wait(TIMEOUT_SECONDS)
    return status, output, (directory / "stderr").read_text()


@contextmanager
def free_port() -> Iterator[int]:
    """Yield a port that is free at this time."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
    yield port


def wait_until_healthy(port: int, process: subprocess.Popen[str]) -> None:
    for _ in poll_until_timeout():
        assert process.poll() is None, f"the server ended with status {process.returncode}"
        try:
            assert exchange(f"http://127.0.0.1:{port}", "GET", "/health").status == 200
        except ConnectionError:
            continue
        return
    pytest.fail("the server does not answer")


@pytest.mark.parametrize(
    "redirection", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", NO_READER]
)
def test_server_serves_and_stops_whatever_its_streams_are(redirection: str, tmp_path: Path) -> None:
    with free_port() as port:
        arguments = ("--port", str(port), "--database", "sqlite:///q.db")
        with start(redirection, *arguments, directory=tmp_path) as process:
            try:
                wait_until_healthy(port, process)
                assert exchange(f"http://127.0.0.1:{port}", "GET", "/?Action=ListQueues").status
                process.send_signal(signal.SIGTERM)
                assert process.wait(STOP_SECONDS) == 0
            finally:
                process.kill()
    errors = (tmp_path / "stderr").read_text()
    if redirection in (NO_READER, ">/dev/full"):
        (line,) = errors.splitlines()
        assert "cannot write to stdout, the server continues" in line
        assert f"listening on http://127.0.0.1:{port} (sqlite:///q.db)" in line
    else:
        assert errors == ""
    assert (tmp_path / "q.db").read_bytes().startswith(b"SQLite format 3\0")


COMMANDS = [
    pytest.param(("--help",), id="help"),
    pytest.param(("--version",), id="version"),
    pytest.param(("check", "--database", "sqlite:///q.db"), id="check"),
    pytest.param(("backup", "--database", "sqlite:///q.db", "b.db"), id="backup"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the content of an empty database file."""
    directory = tmp_path_factory.mktemp("database")
    with ServerProcess("--database", "sqlite:///q.db", directory=directory) as server:
        assert server.stop()[0] == 0
    return (directory / "q.db").read_bytes()


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", NO_READER])
@pytest.mark.parametrize("arguments", COMMANDS)
def test_command_fails_in_one_line_only_if_its_output_cannot_be_written(
    redirection: str, arguments: tuple[str, ...], database: bytes, tmp_path: Path
) -> None:
    (tmp_path / "q.db").write_bytes(database)
    status, _, errors = run(redirection, *arguments, directory=tmp_path)
    if redirection == NO_READER:
        assert errors == "queueserver: error: cannot write to stdout: Broken pipe\n"
    else:
        assert errors == ""
    assert status == (2 if redirection == NO_READER else 0)


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "2>/dev/full"])
def test_failed_start_has_status_2_whatever_the_streams_are(
    redirection: str, tmp_path: Path
) -> None:
    status, output, errors = run(redirection, "--port", "x", directory=tmp_path)
    assert (status, output, errors) == (2, "", "")


@pytest.mark.parametrize("name", ["é.db", "\udcff.db", "two\nlines.db"])
def test_name_that_stdout_cannot_encode_is_escaped(
    name: str, database: bytes, tmp_path: Path
) -> None:
    (tmp_path / "q.db").write_bytes(database)
    process = subprocess.run(
        command("backup", "--database", "sqlite:///q.db", name),
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    shown = name.replace("\n", "\\n").encode("ascii", "backslashreplace")
    assert process.stdout.startswith(b"backed up sqlite:///q.db to " + shown + b" (")
    assert process.stdout.count(b"\n") == 1


# A stderr that is not read


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """Yield the end of a pipe that is full, as an unread stderr is after some log lines."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 1_000)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


def test_server_whose_stderr_is_not_read_serves_and_stops(tmp_path: Path, full_pipe: int) -> None:
    process = subprocess.Popen(
        command("--port", "0", "--database", "sqlite://"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=full_pipe,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[3]
            for content in (b"invalid\r\n\r\n", b"G@T / HTTP/1.1\r\n\r\n"):
                with open_socket(url, content) as client:
                    assert b" 400 " in client.recv(65_536)
            assert exchange(url, "GET", "/health").status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()
    assert os.get_blocking(full_pipe), "the server changed its parent's descriptor"


def test_failed_start_ends_if_its_stderr_is_not_read(tmp_path: Path, full_pipe: int) -> None:
    process = subprocess.Popen(
        command("--port", "x"), cwd=tmp_path, env=environment(), stderr=full_pipe
    )
    with process:
        assert process.wait(TIMEOUT_SECONDS) == 2
