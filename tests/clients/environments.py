"""Environments of third-party clients, each created once by its own package manager.

An environment is in pytest's cache. Its name contains a hash of the requirements, so changed
requirements create a new one. If the package manager is not installed, the tests of its clients are
skipped with the reason. If it cannot create the environment, they fail.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

INSTALL_SECONDS = 300
NODE_MAJOR = 20
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
PROVIDER_DIRECTORIES = (
    "/opt/*",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
)
"""Directories with providers that Terraform does not search by itself."""

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
    node, npm = _program("node"), _program("npm")
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


def java_command(cache: Path, client: Path) -> list[str]:
    """Return the command that runs the Java class of a client, with the packages of its pom.xml."""
    java, compiler, maven = _program("java"), _program("javac"), _program("mvn")
    package, (source,) = client / "pom.xml", client.glob("*.java")

    def install(directory: Path) -> None:
        copy = [maven, "--quiet", "--batch-mode", "--file", str(package), COPY_DEPENDENCIES]
        _install(*copy, "-DincludeScope=runtime", f"-DoutputDirectory={directory / 'packages'}")
        paths = ["-cp", f"{directory / 'packages'}/*", "-d", str(directory / "classes")]
        _install(compiler, "-encoding", "UTF-8", *paths, str(source))

    directory = _environment(cache, client.name, _content((package, source)), install)
    # Most of a short run is the start: one compiler and one collector are enough.
    flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"]
    return [java, *flags, "-cp", f"{directory / 'classes'}:{directory / 'packages'}/*", source.stem]


def go_program(cache: Path, client: Path) -> Path:
    """Return the path of the program that Go builds from the module of a client."""
    go = _program("go")

    def install(directory: Path) -> None:
        directory.mkdir()
        build = [
            go,
            "build",
            "-buildvcs=false",
            "-mod=readonly",
            "-o",
            str(directory / client.name),
        ]
        _install(*build, ".", directory=client)

    files = [client / "go.mod", client / "go.sum", client / "main.go"]
    return _environment(cache, client.name, _content(files), install) / client.name


def terraform_environment(cache: Path, client: Path) -> tuple[str, Path]:
    """Return the path of Terraform, and a directory with a client's configurations, each ready."""
    terraform = _program("terraform")
    configurations = sorted(client.glob("*/main.tf"))

    def install(directory: Path) -> None:
        for configuration in configurations:
            copy = directory / configuration.parent.name
            copy.mkdir(parents=True)
            shutil.copy(configuration, copy)
            _install(terraform, f"-chdir={copy}", "init", "-input=false", *_provider_flags())

    return terraform, _environment(cache, client.name, _content(configurations), install)


def _provider_flags() -> list[str]:
    """Return the flag that names a directory with the provider for AWS, if there is such a one."""
    for pattern in PROVIDER_DIRECTORIES:
        for provider in sorted(Path("/").glob(f"{pattern.lstrip('/')}/*/hashicorp/aws")):
            return [f"-plugin-dir={provider.parents[2]}"]
    return []


def chromium() -> str:
    """Return the path of Chromium, or of a browser that is built from it."""
    for name in CHROMIUM_NAMES:
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed")


_installing = threading.Lock()


def _environment(cache: Path, name: str, content: str, install: Callable[[Path], None]) -> Path:
    directory = cache / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    complete = directory / "complete"
    with _installing:
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)  # an interrupted run leaves a partial one
            install(directory)
            complete.touch()
    return directory


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def _content(files: Sequence[Path]) -> str:
    return " ".join(file.read_text() for file in files)


def _interpreter(directory: Path) -> Path:
    return directory / "bin" / "python"


def _install(*command: str, directory: Path | None = None) -> None:
    try:
        subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            check=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"not installed within {INSTALL_SECONDS} s: {_brief(command)}")
    except subprocess.CalledProcessError as error:
        lines = [*error.stdout.splitlines(), *error.stderr.splitlines()]
        errors = (line for line in lines if "error" in line.lower())
        reason = next(errors, f"exit status {error.returncode}")
        pytest.fail(f"not installed: {_brief(command)}: {reason}")


def _brief(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command)
