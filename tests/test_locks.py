"""What the image is made of: exact versions with their hashes, within the ranges of the project."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LOCKS = {
    "run.txt": [Requirement(text) for text in PROJECT["project"]["dependencies"]],
    "build.txt": [Requirement(text) for text in PROJECT["build-system"]["requires"]],
}
MACHINES = ("x86_64", "aarch64")


def locked(name: str) -> dict[str, str]:
    """Give the versions of a lock, and see that each has hashes and holds everywhere."""
    found = {}
    entries = re.split(r"\n(?=\S)", (ROOT / "locks" / name).read_text())
    for entry in entries:
        pin = re.match(r"([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}\b", entry)
        assert pin, entry[:80]
        found[pin[1]] = pin[2]
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_what_is_locked_is_within_the_ranges_of_the_project(name: str) -> None:
    versions = locked(name)
    for requirement in LOCKS[name]:
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked"


@pytest.mark.parametrize("machine", MACHINES)
def test_all_that_is_needed_is_locked(machine: str) -> None:
    versions = locked("run.txt")
    image = {"platform_machine": machine, "python_version": "3.13", "python_full_version": "3.13.0"}
    image |= {"sys_platform": "linux", "platform_system": "Linux"}
    met: set[str] = set()
    wanted = list(LOCKS["run.txt"])
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{requirement} is not locked"
        if name in met:
            continue
        met.add(name)
        for text in requires(name) or ():
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(
                needed.marker.evaluate({**image, "extra": extra}) for extra in extras
            ):
                wanted.append(needed)
    assert met == set(versions)


def test_the_image_is_made_of_nothing_that_is_not_locked() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    steps = re.findall(r"pip (?:install|wheel) [^&\n]*", text)
    assert {name for step in steps for name in re.findall(r"locks/(\S+)", step)} == set(LOCKS)
    for step in steps:
        assert "--require-hashes" in step or ("--no-deps" in step and "/wheels" in step), step
