"""Run the scenario of a client: a script in its own environment that prints facts as JSON."""

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

from tests.clients.environments import (
    go_program,
    java_command,
    node_environment,
    python_environment,
)

SCENARIO_SECONDS = 240

Facts: TypeAlias = dict[str, Any]

Play: TypeAlias = Callable[..., Facts]
"""Runs the scenario of the named client, and returns its facts."""

_CLIENTS = Path(__file__).parent


def command(
    environments: Path, name: str, release: str = "", script: str = "scenario"
) -> list[str]:
    """Return the command that runs a script of a client; create its environment if missing.

    A client that is also tested with an older release has requirements for that release. A client
    in Java or Go is one program.
    """
    client = _CLIENTS / name
    requirements, package = client / f"{release}requirements.txt", client / "package.json"
    if package.exists():
        node, directory = node_environment(environments, package)
        for module in client.glob("*.mjs"):
            # Node.js finds imports in the directory of the module.
            (directory / module.name).write_bytes(module.read_bytes())
        return [node, str(directory / f"{script}.mjs")]
    if (client / "pom.xml").exists():
        return java_command(environments, client)
    if (client / "go.mod").exists():
        return [str(go_program(environments, client))]
    if requirements.exists():
        interpreter = python_environment(environments, requirements)
        return [str(interpreter), str(client / f"{script}.py")]
    return [sys.executable, str(client / f"{script}.py")]


def run_scenario(command: list[str], directory: Path) -> Facts:
    """Run a scenario, kill all processes that it has started, and return its facts."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=_environment_variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            printed, errors = process.communicate(timeout=SCENARIO_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):  # all processes have ended
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors
    facts: Facts = json.loads(printed)
    return facts


def _environment_variables() -> dict[str, str]:
    """Return the environment variables of a client, without settings of the developer."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTHON")) and not name.lower().endswith("_proxy")
    }
    return {
        **inherited,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
