"""The lock files of the image: exact versions with hashes, within the ranges of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LOCKS = {
    "run.txt": [
        *(Requirement(text) for text in PROJECT["project"]["dependencies"]),
        *(Requirement(text) for text in PROJECT["project"]["optional-dependencies"]["encryption"]),
    ],
    "build.txt": [Requirement(text) for text in PROJECT["build-system"]["requires"]],
}
ARCHITECTURES = ("x86_64", "aarch64")


def image_of(architecture: str) -> dict[str, str]:
    """Return the environment of the image, for the markers of requirements."""
    return {
        "implementation_name": "cpython",
        "platform_machine": architecture,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": "3.13.0",
        "python_version": "3.13",
        "sys_platform": "linux",
    }


def locked_versions(name: str) -> dict[str, str]:
    """Return the versions in a lock file; each must have hashes and apply to every image."""
    versions = {}
    entries = re.split(r"\n(?=\S)", (ROOT / "locks" / name).read_text())
    for entry in entries:
        pin = re.match(r"([\w.-]+)==(\S+)(?: ; (.+))? \\\n    --hash=sha256:[0-9a-f]{64}\b", entry)
        assert pin, entry[:80]
        marker = Marker(pin[3] or "sys_platform == 'linux'")
        assert all(marker.evaluate(image_of(each)) for each in ARCHITECTURES), entry[:80]
        versions[pin[1]] = pin[2]
    return versions


@pytest.mark.parametrize("name", LOCKS)
def test_locked_versions_are_within_the_ranges_of_the_project(name: str) -> None:
    versions = locked_versions(name)
    for requirement in LOCKS[name]:
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_dependencies_and_no_other_packages_are_locked(architecture: str) -> None:
    versions = locked_versions("run.txt")
    image = image_of(architecture)
    visited: set[str] = set()
    pending = list(LOCKS["run.txt"])
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{requirement} is not locked"
        if name in visited:
            continue
        visited.add(name)
        for text in requires(name) or ():
            needed = Requirement(text)
            extras = requirement.extras or {""}
            if needed.marker is None or any(
                needed.marker.evaluate({**image, "extra": extra}) for extra in extras
            ):
                pending.append(needed)
    assert visited == set(versions)


def test_image_installs_only_locked_packages() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    steps = re.findall(r"pip (?:install|wheel) [^&\n]*", text)
    assert {name for step in steps for name in re.findall(r"locks/(\S+)", step)} == set(LOCKS)
    for step in steps:
        assert "--require-hashes" in step or ("--no-deps" in step and "/wheels" in step), step
