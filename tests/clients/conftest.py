"""Other people's software against the command itself, which serves a SQLite file.

A client's folder holds what to install and a scenario: a script that the client's own interpreter
runs with the server's URL as its first argument, and that prints as JSON what the client saw. The
tests beside it hold these facts to what SQS's users rely on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess
from tests.clients.scenarios import Facts, Play, command, facts


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Give a server that stops as it should when the client has gone, and never complains."""
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess("--database", "sqlite:///queueserver.db", directory=directory) as server:
        yield server
        assert server.stop() == (0, "", "")


@pytest.fixture(scope="session")
def environments(request: pytest.FixtureRequest) -> Path:
    """Give the directory that keeps the clients' environments from run to run."""
    cache = request.config.cache
    assert cache is not None
    return Path(cache.mkdir("clients"))


@pytest.fixture(scope="module")
def play(
    server: ServerProcess, environments: Path, tmp_path_factory: pytest.TempPathFactory
) -> Play:
    def play(client: str, *arguments: str, era: str = "") -> Facts:
        directory = tmp_path_factory.mktemp("scenario")
        return facts([*command(environments, client, era), server.url, *arguments], directory)

    return play
