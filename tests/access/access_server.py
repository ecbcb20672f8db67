"""Servers with access on: their users come from a TOML file, and each user has boto3 clients.

A server runs in this process with a clock that the test moves, or as the `queueserver` command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from queueserver import config
from storage.clock import Clock
from tests.access.declared_users import KeyPair, User, write_config
from tests.api.live_server import LiveServer
from tests.api.server_process import ServerProcess
from tests.api.sqs_clients import Clients, Sqs


class AccessServer:
    """A server and the users that its file declares.

    Attributes:
        server: the running server.
        config_path: the TOML file that it has read.
    """

    def __init__(
        self, server: LiveServer | ServerProcess, config_path: Path, clients: Clients
    ) -> None:
        self.server = server
        self.config_path = config_path
        self._clients = clients

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

    def rewrite(self, *users: User, **settings: object) -> None:
        """Write the file again, with other users, as an operator does before a reload."""
        write_config(self.config_path.parent, users, settings)


@contextlib.contextmanager
def access_server(
    directory: Path, clients: Clients, clock: Clock, *users: User, **settings: object
) -> Iterator[AccessServer]:
    """Run a server in this process, on a SQLite file unless `database` is given."""
    database = f"sqlite:///{directory / 'queueserver.db'}"
    path = write_config(directory, users, {"database": database, **settings})
    server = LiveServer(config.load({"config": str(path), "port": "0"}, {}), clock)
    with contextlib.closing(server):
        yield AccessServer(server, path, clients)


@contextlib.contextmanager
def access_process(
    directory: Path, clients: Clients, *users: User, **settings: object
) -> Iterator[AccessServer]:
    """Run the `queueserver` command, on a SQLite file unless `database` is given."""
    path = write_config(directory, users, settings)
    with ServerProcess("--config", str(path), directory=directory) as server:
        yield AccessServer(server, path, clients)


StartAccessServer: TypeAlias = Callable[..., AccessServer]
"""Starts a server with the given users and settings."""
