"""The command that prints the keys, for example one that reads them from a vault."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import IO, cast

from queueserver import daemon_threads

TIMEOUT_SECONDS = 10.0

_KILL_SECONDS = 1.0
"""Time for a killed command to end; only a disk that does not answer keeps it longer."""

MAXIMUM_BYTES = 65_536
"""The longest output of a command and the longest file of keys; no keyring is as long."""


_running: set[subprocess.Popen[bytes]] = set()

_starting = threading.Lock()
"""Locked while a command is started, so that `_kill_all` finds it among those that run."""


def read_output(command: str, environment: Mapping[str, str]) -> str:
    """Run a command without a shell and without input; return what it prints to stdout.

    Its error output is discarded: it may quote keys. A command that is not ready in time is killed,
    with the processes that it has started, and so is one that runs when this process ends.

    Raises:
        ValueError: the command cannot be started, fails, is too slow, or prints too much or what is
            not UTF-8. The error contains neither the command nor what it prints.
    """
    try:
        run = partial(_output_of, _split(command), environment)
        # In the main thread, a signal could raise an exception before the process is known.
        output = daemon_threads.start(run, "key command").result()
    except OSError as error:
        raise ValueError(f"cannot start the command: {error.strerror or 'system error'}") from None
    try:
        return output.decode()
    except UnicodeDecodeError:
        raise ValueError("the output of the command is not UTF-8") from None


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:  # a quotation mark or a backslash without its end
        raise ValueError(f"cannot split the command into words: {error}") from None
    if not words or not words[0]:
        raise ValueError("the command has no words")
    return words


def _output_of(words: list[str], environment: Mapping[str, str]) -> bytes:
    deadline = perf_counter() + TIMEOUT_SECONDS
    with _starting:
        process = subprocess.Popen(  # noqa: S603 - the command is the operator's
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A process group of its own, which can be killed.
            start_new_session=True,
        )
        _running.add(process)
    try:
        with cast("IO[bytes]", process.stdout) as pipe:
            output = _read(pipe, deadline)
        status = process.wait(max(deadline - perf_counter(), 0))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise ValueError(f"the command was killed after {TIMEOUT_SECONDS:g} s") from None
    finally:
        _kill(process)
        _running.discard(process)
    if status:
        ended = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise ValueError(
            f"the command ended with {ended}; run it by hand, its error output is not shown here"
        )
    return output


@atexit.register
def _kill_all() -> None:
    """Kill the commands that run at the end of this process, and keep others from starting."""
    _starting.acquire()
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the group of a process, unless the process has ended and was waited for.

    Another group may have its number then.
    """
    if process.returncode is not None:
        return
    # The system denies it if the command runs as another user, for example by sudo. The thread that
    # waits for the process may notice its end at the same time.
    with contextlib.suppress(PermissionError, ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_KILL_SECONDS)


def _read(pipe: IO[bytes], deadline: float) -> bytes:
    """Read a pipe to its end, which may be open in any number of processes.

    Raises:
        TimeoutError: the end has not come by the deadline.
        ValueError: too much was read.
    """
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    content = b""
    while len(content) <= MAXIMUM_BYTES:
        if not poll.poll(max(deadline - perf_counter(), 0) * 1_000):
            raise TimeoutError
        chunk = os.read(pipe.fileno(), MAXIMUM_BYTES)
        if not chunk:
            return content
        content += chunk
    raise ValueError(f"the command printed more than {MAXIMUM_BYTES} bytes")
