"""Third-party SQS clients against the `queueserver` command on a SQLite file.

The folder of a client has its requirements and a scenario: a script that runs in the client's own
environment. Its first argument is the URL of the server. It prints the facts that it observes as
JSON, and the tests check them. `signer` is a second script, which test_signers.py runs against a
server with users. A client in Java or Go is one program, which has only this scenario.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess
from tests.clients.scenarios import Facts, Play, command, run_scenario


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server; check at the end that it stops with status 0 and has logged nothing."""
    directory = tmp_path_factory.mktemp("server")
    with ServerProcess("--database", "sqlite:///queueserver.db", directory=directory) as server:
        yield server
        assert server.stop() == (0, "", "")


@pytest.fixture(scope="session")
def environments(request: pytest.FixtureRequest) -> Path:
    """Return the directory with the environments of the clients, which later runs reuse."""
    cache = request.config.cache
    assert cache is not None
    return Path(cache.mkdir("clients"))


@pytest.fixture(scope="module")
def play(
    server: ServerProcess, environments: Path, tmp_path_factory: pytest.TempPathFactory
) -> Play:
    """Return a function that runs the scenario of a client and returns its facts."""

    def play(client: str, *arguments: str, release: str = "") -> Facts:
        directory = tmp_path_factory.mktemp("scenario")
        return run_scenario(
            [*command(environments, client, release), server.url, *arguments], directory
        )

    return play
