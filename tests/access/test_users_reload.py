"""The process with users: its lines at the start, and the reload by SIGHUP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queueserver.config import load
from tests.access.user_files import KEY_PAIR, SECRET, UserFiles, key, user
from tests.api.raw_http import exchange
from tests.api.server_process import ServerProcess, command, environment, failed_start
from tests.certificates import write_files
from tests.waiting import wait_until


@contextmanager
def server(
    files: UserFiles, document: str, *arguments: str, settings: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run a server with a configuration file; check that it shows no secret."""
    files.path.write_text(document)
    arguments = ("--config", str(files.path), "--database", "sqlite://", *arguments)
    with ServerProcess(*arguments, directory=files.folder, settings=settings) as process:
        yield process
        assert SECRET not in process.line + process.errors()


def messages(process: ServerProcess) -> list[str]:
    """Return the log lines so far, without time, level and logger."""
    complete, _, _ = process.errors().rpartition("\n")
    return [line.split(": ", 1)[1] for line in complete.splitlines()]


def reload(process: ServerProcess, number: int) -> list[str]:
    """Send SIGHUP, wait for the last line of the reload of this number, and return its lines."""
    end = re.compile(rf"reload {number}( failed|: users=|: access control is off)")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(map(end.match, messages(process))), "the server does not reload")
    return [line for line in messages(process) if line.startswith(f"reload {number}")]


def described(files: UserFiles, users: int, keys: int) -> str:
    """Return how the log describes the users that the configuration file has at present."""
    digest = load({"config": str(files.path)}, {}).users.digest
    return f"users={users} keys={keys} digest={digest}"


def reloaded(files: UserFiles, users: int, keys: int, secrets_changed: int = 0) -> str:
    """Return how the log describes them after a reload."""
    return f"{described(files, users, keys)} secrets_changed={secrets_changed}"


def bob(*more_keys: str) -> str:
    """Return the user bob, whose first key has another secret than that of alice."""
    return user("bob", keys=", ".join([key("AKBOB", "secret_file = 'second'"), *more_keys]))


# Start


def test_first_line_and_log_name_the_mode_and_the_number_of_users(files: UserFiles) -> None:
    with server(files, user("alice") + bob()) as process:
        assert process.line == (
            f"queueserver listening on {process.url} (sqlite://), access on, 2 users\n"
        )
        assert messages(process) == [f"access control is on: {described(files, 2, 2)}"]
        assert process.stop()[:2] == (0, "")


def test_first_line_names_the_mode_log(files: UserFiles) -> None:
    with server(files, user("alice"), "--access", "log") as process:
        assert process.line.endswith(" (sqlite://), access log, 1 user\n")


def test_first_line_does_not_change_while_access_control_is_off(files: UserFiles) -> None:
    with server(files, "") as process:
        assert process.line == f"queueserver listening on {process.url} (sqlite://)\n"
        assert process.stop() == (0, "", "")


@pytest.mark.parametrize(
    ("document", "end"),
    [
        pytest.param(user("alice"), "1 user not in use", id="one user"),
        pytest.param(user("alice") + bob(), "2 users not in use", id="two users"),
    ],
)
def test_first_line_names_users_that_are_not_in_use(
    document: str, end: str, files: UserFiles
) -> None:
    with server(files, f"access = 'off'\n{document}") as process:
        expected = f"queueserver listening on {process.url} (sqlite://), access off, {end}\n"
        assert process.line == expected
        assert process.stop() == (0, "", "")


def test_server_that_listens_beyond_loopback_warns_while_access_control_is_off(
    files: UserFiles,
) -> None:
    warning = (
        "access control is off, so all clients that reach this server can use all queues; turn it "
        "on with --access and users, or listen on 127.0.0.1: addresses=0.0.0.0"
    )
    with server(files, "host = '0.0.0.0'") as process:
        assert messages(process) == [warning]
    with server(files, user("alice"), "--host", "0.0.0.0") as process:
        assert warning not in messages(process)


def test_policy_of_a_user_that_is_probably_a_mistake_is_a_warning(files: UserFiles) -> None:
    document = (
        "{ Version = '2012-10-17', Statement = [{ Effect = 'Deny', Resource = '*', "
        "Action = 'sqs:SendMessageBatch' }] }"
    )
    with server(files, user("alice", f"policy_documents = [{document}]")) as process:
        _, warning = messages(process)
    assert "SendMessageBatch" in warning
    assert warning.endswith(": user=alice policy=policy_documents[0]")


def test_pair_in_the_environment_turns_access_control_on(files: UserFiles) -> None:
    with server(files, "", settings=KEY_PAIR) as process:
        assert process.line.endswith("(sqlite://), access on, 1 user\n")


def test_mistake_of_a_user_stops_the_start_with_one_line(files: UserFiles) -> None:
    files.path.write_text(user("alice", keys=key(source="secret_file = 'none'")))
    line = failed_start("--config", str(files.path), directory=files.folder)
    assert line == (
        f"queueserver: error: {files.path}: users.alice.keys[0].secret_file: cannot read the file: "
        "No such file or directory"
    )


# Reload


def test_reload_uses_the_users_of_the_changed_file(files: UserFiles) -> None:
    with server(files, user("alice")) as process:
        files.path.write_text(user("alice") + bob(key("AKTWO", "secret_file = 'third'")))
        assert reload(process, 1) == [f"reload 1: {reloaded(files, 2, 3)}"]
        files.path.write_text(user("alice"))
        assert reload(process, 2) == [f"reload 2: {reloaded(files, 1, 1)}"]
        assert process.stop()[:2] == (0, "")


MISTAKES = {
    "[users": "--config: cannot read '{path}': ",
    "region = 'a b'": "{path}: region: 'a b' is not lower-case letters",
    "queues.q.Foo = 1": "{path}: queues.q: Unknown Attribute Foo.",
    "": "{path}: no user is declared",
    "access = 'off'": "{path}: no user is declared",
    "[users]": "{path}: users: no user is declared",
    "[users.bob]": "{path}: users.bob: the user has no access key",
    user("bob", "polices = []"): "{path}: users.bob.polices is not a key of a user",
    user("bob", keys=key(source="secret_file = 'none'")): (
        "{path}: users.bob.keys[0].secret_file: cannot read the file: No such file or directory"
    ),
    user("bob", "policy_documents = ['[]']"): "{path}: users.bob.policy_documents[0]: ",
}
"""Documents, and how the log line about each of them begins."""


def test_reload_of_a_file_with_a_mistake_keeps_the_users(files: UserFiles) -> None:
    with server(files, user("alice")) as process:
        for number, (document, line) in enumerate(MISTAKES.items(), 1):
            files.path.write_text(document)
            (failure,) = reload(process, number)
            assert failure.startswith(
                f"reload {number} failed, the server continues as before: "
                + line.format(path=files.path)
            )
        files.path.write_text(user("alice"))
        last = len(MISTAKES) + 1
        assert reload(process, last) == [f"reload {last}: {reloaded(files, 1, 1)}"]


def test_reload_counts_the_secrets_that_have_changed(files: UserFiles) -> None:
    with server(files, user("alice") + bob(key("AKTWO", "secret_file = 'third'"))) as process:
        files.write("secret", f"new-{SECRET}")
        files.write("third", f"newer-{SECRET}")
        assert reload(process, 1) == [f"reload 1: {reloaded(files, 2, 3, 2)}"]
        assert reload(process, 2) == [f"reload 2: {reloaded(files, 2, 3)}"]
        # A new key is no changed secret: the digest shows it.
        files.path.write_text(user("alice") + bob(key("AKNEW", "secret_file = 'third'")))
        assert reload(process, 3) == [f"reload 3: {reloaded(files, 2, 3)}"]


def test_users_that_share_a_secret_are_a_warning_at_the_start_and_at_a_reload(
    files: UserFiles,
) -> None:
    warning = (
        "two access keys have the same secret: user=bob access_key_id=AKBOB other_user=alice "
        "other_access_key_id=AKALICE"
    )
    document = user("alice") + user("bob")
    with server(files, document) as process:
        assert messages(process)[1:] == [f"access control is on: {warning}"]
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"reload 1: {warning}" in messages(process), "there is no warning")


def test_reload_reads_secrets_and_files_of_the_environment_again(files: UserFiles) -> None:
    path = files.write("id", "AKPAIR")
    settings = {
        "QUEUESERVER_ACCESS_KEY_ID_FILE": str(path),
        "QUEUESERVER_SECRET_ACCESS_KEY_FILE": str(files.folder / "secret"),
    }
    with server(files, "", settings=settings) as process:
        first = messages(process)[0].rpartition("=")[2]
        files.write("id", "AKOTHER")
        (line,) = reload(process, 1)
        assert line.startswith("reload 1: users=1 keys=1 digest=")
        assert f"digest={first} " not in line
        files.write("secret", "short")
        (failure,) = reload(process, 2)
        assert "as before: QUEUESERVER_SECRET_ACCESS_KEY_FILE: the secret has" in failure


def test_reload_names_the_settings_that_need_a_restart(files: UserFiles) -> None:
    with server(files, user("alice")) as process:
        files.path.write_text(
            f"access = 'log'\nregion = 'eu-west-1'\n{user('alice')}{bob()}[queues.q]\n"
        )
        assert reload(process, 1) == [
            "reload 1: settings need a restart: region, access, queues",
            f"reload 1: {reloaded(files, 2, 2)}",
        ]


def test_reload_while_access_control_is_off_changes_nothing(files: UserFiles) -> None:
    off = "access control is off, so no users are in use"
    with server(files, "") as process:
        assert reload(process, 1) == [f"reload 1: {off}"]
        files.path.write_text(user("alice"))
        assert reload(process, 2) == [
            "reload 2: settings need a restart: access",
            f"reload 2: {off}",
        ]
        assert exchange(process.url, "GET", "/?Action=ListQueues").status == 200
        assert process.stop()[:2] == (0, "")


def test_server_without_a_configuration_file_continues_after_sighup(tmp_path: Path) -> None:
    with ServerProcess("--database", "sqlite://", directory=tmp_path) as process:
        assert reload(process, 1) == ["reload 1: access control is off, so no users are in use"]
        assert process.stop()[:2] == (0, "")


def test_sighup_loads_the_certificate(files: UserFiles) -> None:
    certificate = write_files(files.folder / "tls")
    with server(files, user("alice"), *certificate.flags) as process:
        write_files(files.folder / "tls")
        reload(process, 1)
        loaded = "loaded the TLS certificate again"
        wait_until(lambda: loaded in process.errors(), "the certificate is not loaded")
        assert exchange(process.url, "GET", "/health").status == 200


def test_many_signals_end_with_the_last_content_of_the_file(files: UserFiles) -> None:
    with server(files, user("alice")) as process:
        for number in range(20):
            # The rename leaves no time at which the file is incomplete.
            files.write("next", user(f"alice{number}")).rename(files.path)
            process.send_signal(signal.SIGHUP)
        last = reloaded(files, 1, 1)
        wait_until(lambda: last in "".join(messages(process)[-1:]), "the last content is not used")


# SIGHUP before and after


def test_sighup_during_the_start_is_followed_by_a_reload(files: UserFiles) -> None:
    files.path.unlink(missing_ok=True)
    os.mkfifo(files.path)
    with (files.folder / "errors").open("w+") as errors:
        process = subprocess.Popen(
            command("--port", "0", "--database", "sqlite://", "--config", str(files.path)),
            cwd=files.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            try:
                # This waits until the server has opened its end.
                with files.path.open("w") as pipe:
                    process.send_signal(signal.SIGHUP)
                    pipe.write(user("alice"))
                    files.path.unlink()
                    files.path.write_text(user("alice") + user("bob"))
                assert process.stdout is not None
                assert process.stdout.readline().endswith("access on, 1 user\n")
                path = files.folder / "errors"
                wait_until(lambda: "users=2" in path.read_text(), "the server does not reload")
                process.send_signal(signal.SIGTERM)
                assert process.wait() == 0
            finally:
                process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sighup_does_not_end_a_process_that_imports_its_modules(tmp_path: Path) -> None:
    def is_blocked() -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("SigBlk:"))
        return bool(int(line.split()[1], 16) & 1 << (signal.SIGHUP - 1))

    process = subprocess.Popen(
        command("--port", "0", "--database", "sqlite://"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            wait_until(is_blocked, "the process does not block SIGHUP")
            process.send_signal(signal.SIGHUP)
            assert process.stdout is not None
            assert process.stdout.readline().startswith("queueserver listening on ")
        finally:
            process.kill()


def test_sighup_during_the_stop_does_not_change_the_exit_status(files: UserFiles) -> None:
    with server(files, user("alice")) as process:
        process.send_signal(signal.SIGTERM)
        for _ in range(100):
            process.send_signal(signal.SIGHUP)
        assert process.stop()[:2] == (0, "")


@pytest.mark.parametrize("arguments", [["check"], ["keys", "new"]])
def test_other_commands_do_not_ignore_sighup(arguments: list[str], tmp_path: Path) -> None:
    code = (
        # Whatever started the tests may ignore the signal, and children inherit that.
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "from queueserver import cli; from queueserver.entry_point import main; "
        "cli._COMMANDS[sys.argv[1]] = lambda _: os.kill(os.getpid(), signal.SIGHUP); main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGHUP
