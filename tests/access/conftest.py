"""Fixtures that run servers with access on; each test declares the users of its server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.access_server import (
    AccessServer,
    StartAccessServer,
    access_process,
    access_server,
)
from tests.access.declared_users import User
from tests.access.user_files import UserFiles
from tests.api.live_server import AlarmCountingClock
from tests.api.sqs_clients import Clients, open_clients


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    with open_clients(request.config) as clients:
        yield clients


@pytest.fixture
def clock() -> AlarmCountingClock:
    """Return the clock of the servers in this process; signatures are checked by the real time."""
    return AlarmCountingClock()


@pytest.fixture
def start(
    clients: Clients, clock: AlarmCountingClock, tmp_path: Path
) -> Iterator[StartAccessServer]:
    """Return a function that starts a server in this process, with the given users and settings."""
    with contextlib.ExitStack() as stack:

        def start(*users: User, **settings: object) -> AccessServer:
            server = access_server(tmp_path, clients, clock, *users, settings=settings)
            return stack.enter_context(server)

        yield start


@pytest.fixture
def start_process(clients: Clients, tmp_path: Path) -> Iterator[StartAccessServer]:
    """Return a function that starts the command, with the given users and settings."""
    with contextlib.ExitStack() as stack:

        def start(*users: User, **settings: object) -> AccessServer:
            return stack.enter_context(access_process(tmp_path, clients, *users, **settings))

        yield start


@pytest.fixture
def files(tmp_path: Path) -> UserFiles:
    """Return a folder for configuration files with users."""
    return UserFiles(tmp_path)
