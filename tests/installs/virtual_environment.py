"""Virtual environments of users, made by venv and filled by pip without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

TIMEOUT_SECONDS = 120


def run(*command: str | Path, directory: Path, settings: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed; return its output."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "QUEUESERVER"))
    }
    ended = subprocess.run(
        command,
        cwd=directory,
        env={**kept, **(settings or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
    return ended.stdout


class VirtualEnvironment:
    """A virtual environment that finds all that the running one has after its own packages.

    The running environment's .pth files have no effect in it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        run(sys.executable, "-m", "venv", "--without-pip", directory, directory=directory.parent)
        base = {"base": str(directory), "platbase": str(directory)}
        self.site_packages = Path(sysconfig.get_path("purelib", "venv", base))
        running = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
        # .pth files are read in the order of their names: an editable install's may need it.
        (self.site_packages / "00_dependencies.pth").write_text("\n".join(running))

    def program(self, name: str) -> Path:
        """Return the path of a program: `python`, or the script of an installed package."""
        return self._directory / "bin" / name

    def install(self, *what: str | Path) -> None:
        """Install wheels or source folders with pip, without their dependencies."""
        pip = (sys.executable, "-m", "pip", "--python", self.program("python"), "install")
        alone = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")
        run(*pip, *alone, *what, directory=self._directory)
