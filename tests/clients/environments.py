"""Environments of third-party clients, each created once by its own package manager.

An environment is in pytest's cache. Its name contains a hash of the requirements, so changed
requirements create a new one. If it cannot be created, its tests are skipped with the reason.
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
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def python_environment(cache: Path, requirements: Path) -> Path:
    """Return the interpreter of a virtual environment with the packages of a requirements file."""

    def install(directory: Path) -> None:
        _install(sys.executable, "-m", "venv", str(directory))
        pip = [str(_interpreter(directory)), "-m", "pip", "--disable-pip-version-check"]
        _install(*pip, "install", "--quiet", "--retries", "1", "--requirement", str(requirements))

    content = f"{sys.executable} {sys.version} {requirements.read_text()}"
    return _interpreter(_environment(cache, requirements.parent.name, content, install))


def node_environment(cache: Path, package: Path) -> tuple[str, Path]:
    """Return the path of Node.js, and a directory with the dependencies of a package.json."""
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

    content = f"{version.stdout} {package.read_text()}"
    return node, _environment(cache, package.parent.name, content, install)


def chromium() -> str:
    """Return the path of Chromium, or of a browser that is built from it."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed")


def _environment(cache: Path, name: str, content: str, install: Callable[[Path], None]) -> Path:
    directory = cache / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    complete = directory / "complete"
    if not complete.exists():
        shutil.rmtree(directory, ignore_errors=True)  # an interrupted run leaves a partial one
        install(directory)
        complete.touch()
    return directory


def _interpreter(directory: Path) -> Path:
    return directory / "bin" / "python"


def _install(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"not installed within {INSTALL_SECONDS} s: {_brief(command)}")
    except subprocess.CalledProcessError as error:
        errors = (line for line in error.stderr.splitlines() if "error" in line.lower())
        reason = next(errors, f"exit status {error.returncode}")
        pytest.skip(f"not installed: {_brief(command)}: {reason}")


def _brief(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command)
