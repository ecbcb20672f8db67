"""Playing a client's scenario: a script of its own, in its own surroundings, that prints facts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from tests.clients.environments import node_environment, python_environment

SCENARIO_SECONDS = 120

Facts: TypeAlias = dict[str, Any]

Play: TypeAlias = Callable[..., Facts]
"""Plays the scenario of the client with this name, and gives what it saw."""

_CLIENTS = Path(__file__).parent


def command(environments: Path, name: str, era: str = "") -> list[str]:
    """Give what runs the scenario of a client, once its environment is there.

    A client whose older releases matter too has requirements for each such era.
    """
    client = _CLIENTS / name
    requirements, package = client / f"{era}requirements.txt", client / "package.json"
    if package.exists():
        node, directory = node_environment(environments, package)
        # A module's own place is where Node.js looks for what it imports.
        scenario = directory / "scenario.mjs"
        scenario.write_bytes((client / scenario.name).read_bytes())
        return [node, str(scenario)]
    interpreter: Path | str = sys.executable
    if requirements.exists():
        interpreter = python_environment(environments, requirements)
    return [str(interpreter), str(client / "scenario.py")]


def facts(command: list[str], directory: Path) -> Facts:
    """Run a scenario; nothing that it starts outlives it."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=_settings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            printed, errors = process.communicate(timeout=SCENARIO_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):  # as it should be
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    saw: Facts = json.loads(printed)
    return saw


def _settings() -> dict[str, str]:
    """Give the surroundings of a client that is set up by the environment, and by nothing else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTHON")) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
