"""SDKs and programs that sign requests, against a server with users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server_process import ServerProcess
from tests.clients.signers import SIGNERS, Signer, SignerRuns, running_access_server


@pytest.fixture(scope="module")
def access_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_access_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def runs(
    access_server: ServerProcess,
    environments: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[SignerRuns]:
    """Start the scenarios of all signers whose tests are selected."""
    directory = tmp_path_factory.mktemp("scenarios")
    selected = {
        signer.name
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
        if isinstance(signer := item.callspec.params["signer"], Signer)
    }
    with contextlib.closing(SignerRuns(access_server.url, environments, directory)) as runs:
        for signer in SIGNERS:
            if signer.name in selected:
                runs.start(signer)
        yield runs


@pytest.mark.parametrize("signer", SIGNERS, ids=[signer.name for signer in SIGNERS])
def test_admin_creates_and_uses_a_queue(runs: SignerRuns, signer: Signer) -> None:
    assert runs.facts(signer)["queue"] == signer.queue


@pytest.mark.parametrize(
    "signer",
    [pytest.param(signer, id=signer.name) for signer in SIGNERS if signer.sends],
)
def test_user_with_the_permission_sends(runs: SignerRuns, signer: Signer) -> None:
    assert runs.facts(signer)["sent"] is True


@pytest.mark.parametrize(
    ("signer", "case"),
    [
        pytest.param(signer, case, id=f"{signer.name}: {case}")
        for signer in SIGNERS
        for case in signer.errors
    ],
)
def test_rejected_request_raises_the_error_of_the_sdk(
    runs: SignerRuns, signer: Signer, case: str
) -> None:
    assert runs.facts(signer)[case] == signer.errors[case]
