"""Environments for other people's software, each made once with its own package manager.

An environment lies in pytest's cache under a name made of what was asked for, so that asking for
something else makes another one. Where it cannot be made, its tests are skipped and say why.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

INSTALL_SECONDS = 180
NODE_MAJOR = 20


def python_environment(cache: Path, requirements: Path) -> Path:
    """Give the interpreter of a virtual environment that has what the file lists."""

    def install(directory: Path) -> None:
        _install(sys.executable, "-m", "venv", str(directory))
        pip = [str(_interpreter(directory)), "-m", "pip", "--disable-pip-version-check"]
        _install(*pip, "install", "--quiet", "--retries", "1", "--requirement", str(requirements))

    wanted = f"{sys.executable} {sys.version} {requirements.read_text()}"
    return _interpreter(_environment(cache, requirements.parent.name, wanted, install))


def node_environment(cache: Path, package: Path) -> tuple[str, Path]:
    """Give Node.js, and a directory in which it finds what the package.json depends on."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").partition(".")[0]) < NODE_MAJOR:
        pytest.skip(f"Node.js {version.stdout.strip()} is older than {NODE_MAJOR}")

    def install(directory: Path) -> None:
        directory.mkdir()
        shutil.copy(package, directory)
        quiet = ("--no-audit", "--no-fund", "--fetch-retries", "1")
        _install(npm, "install", *quiet, "--prefix", str(directory))

    wanted = f"{version.stdout} {package.read_text()}"
    return node, _environment(cache, package.parent.name, wanted, install)


def _environment(cache: Path, name: str, wanted: str, install: Callable[[Path], None]) -> Path:
    directory = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    made = directory / "made"
    if not made.exists():
        shutil.rmtree(directory, ignore_errors=True)  # what an interrupted run left
        install(directory)
        made.touch()
    return directory


def _interpreter(directory: Path) -> Path:
    return directory / "bin" / "python"


def _install(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"it could not be installed within {INSTALL_SECONDS} s: {_brief(command)}")
    except subprocess.CalledProcessError as error:
        complaints = (line for line in error.stderr.splitlines() if "error" in line.lower())
        reason = next(complaints, f"it ended with status {error.returncode}")
        pytest.skip(f"it could not be installed: {_brief(command)}: {reason}")


def _brief(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command)
