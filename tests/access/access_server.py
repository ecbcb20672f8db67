"""Servers with access on: their users come from a TOML file, and each user has boto3 clients.

A server runs in this process with a clock that the test moves, or as the `queueserver` command.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from queueserver import config
from queueserver.clock import real_seconds
from queueserver.config import Config
from storage.clock import Clock
from tests.access.declared_users import KeyPair, User, write_config
from tests.api.live_server import LiveServer
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients, Sqs
from tests.waiting import wait_until


class AccessServer:
    """A server and the users that its file declares.

    Attributes:
        server: the running server.
    """

    def __init__(
        self,
        server: LiveServer | ServerProcess,
        directory: Path,
        settings: Mapping[str, object],
        clients: Clients,
    ) -> None:
        self.server = server
        self._directory = directory
        self._settings = settings
        self._clients = clients
        self._reloads = 0

    @property
    def live(self) -> LiveServer:
        """The server, which runs in this process."""
        assert isinstance(self.server, LiveServer)
        return self.server

    @property
    def url(self) -> str:
        """The URL that the server listens on."""
        return self.server.url

    def client(self, user: User, protocol: str = "json", region: str = "us-east-1") -> Sqs:
        """Return the client that signs with a user's first key pair."""
        return self.client_with(user.key_pairs[0], protocol, region)

    def client_with(self, pair: KeyPair, protocol: str = "json", region: str = "us-east-1") -> Sqs:
        """Return the client that signs with a key pair, which the server need not know."""
        return self._clients.get(protocol, self.url, pair.access_key_id, region, pair.secret)

    def anonymous(self, protocol: str = "json") -> Sqs:
        """Return the client that does not sign."""
        return self._clients.anonymous(protocol, self.url)

    def reload(self, *users: User) -> None:
        """Replace the users of the file, and wait until the server uses the new ones."""
        path = write_config(self._directory, users, self._settings)
        self._reloads += 1
        if isinstance(self.server, LiveServer):
            self.server.reload(_load(path), self._reloads)
        else:
            line, errors = f"reload {self._reloads}: users=", self.server.errors
            self.server.send_signal(signal.SIGHUP)
            wait_until(lambda: line in errors(), "the server does not reload")


@contextlib.contextmanager
def access_server(
    directory: Path,
    clients: Clients,
    clock: Clock,
    *users: User,
    settings: Mapping[str, object] = MappingProxyType({}),
    now: Callable[[], float] = real_seconds,
) -> Iterator[AccessServer]:
    """Run a server in this process, on a SQLite file unless the settings name a database.

    `now` returns the time by which signatures are checked.
    """
    given = {"database": f"sqlite:///{directory / 'queueserver.db'}", **settings}
    server = LiveServer(_load(write_config(directory, users, given)), clock, now)
    with contextlib.closing(server):
        yield AccessServer(server, directory, given, clients)
        clients.close_those_of(server.url)


@contextlib.contextmanager
def access_process(
    directory: Path, clients: Clients, *users: User, **settings: object
) -> Iterator[AccessServer]:
    """Run the `queueserver` command, on a SQLite file unless `database` is given."""
    path = write_config(directory, users, settings)
    with ServerProcess("--config", str(path), directory=directory) as server:
        yield AccessServer(server, directory, settings, clients)
        clients.close_those_of(server.url)


def _load(path: Path) -> Config:
    return config.load({"config": str(path), "port": "0"}, {}, time.time())


StartAccessServer: TypeAlias = Callable[..., AccessServer]
"""Starts a server with the given users and settings."""
