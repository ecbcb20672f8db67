"""The wheel among other projects that have packages named `storage` and `protocol` of their own."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.api.raw_http import exchange, json_headers
from tests.api.server_process import ROOT, ServerProcess
from tests.installs.virtual_environment import VirtualEnvironment, run

NAMES = ("protocol", "storage")

SHOW_OWNERS = """
import protocol, storage
from protocol import errors as protocol_errors
from storage import errors as storage_errors
print(protocol.OWNER, storage.OWNER, protocol_errors.OWNER, storage_errors.OWNER)
"""

FIRST_FINDER = """
import sys
from importlib.machinery import PathFinder

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {"protocol", "storage"}:
            return PathFinder.find_spec(name, [FOLDER] if path is None else path)

sys.meta_path.insert(0, Finder)
import protocol.errors, storage.errors
"""

USERS_TEST = """
import json
import re
import subprocess
import sys
import urllib.request

import protocol
import storage


def ask(url, action, **parameters):
    headers = {
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}"
    }
    request = urllib.request.Request(url, json.dumps(parameters).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_own_packages_beside_a_server():
    command = [sys.executable, "-m", "queueserver", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = re.search(r"http://\\S+", server.stdout.readline())[0]
            ask(url, "CreateQueue", QueueName="q")
            ask(url, "SendMessage", QueueUrl="q", MessageBody="hello")
            (message,) = ask(url, "ReceiveMessage", QueueUrl="q")["Messages"]
            assert message["Body"] == "hello"
        finally:
            server.terminate()
    assert server.returncode == 0
    import queueserver
    from storage import errors
    assert protocol.OWNER == storage.OWNER == errors.OWNER == "user"
"""

IMPORT_AS_A_LIBRARY = """
import sys
before = list(sys.path), list(sys.meta_path)
import queueserver, queueserver.entry_point
assert (sys.path, sys.meta_path) == before
assert not {"protocol", "storage"} & set(sys.modules)
"""

SHOW_NAMES = """
import importlib.util
names = "queueserver", "protocol", "storage"
print(*(name for name in names if importlib.util.find_spec(name)))
"""

SHOW_PATH = "import sys; print(*sys.path, sep='\\n')"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def environment(tmp_path: Path) -> VirtualEnvironment:
    """Return an environment that a test may change."""
    return VirtualEnvironment(tmp_path / "environment")


@pytest.fixture(scope="module")
def shared(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> VirtualEnvironment:
    """Return an environment that has the wheel, and stays as it is."""
    environment = VirtualEnvironment(tmp_path_factory.mktemp("shared") / "environment")
    environment.install(wheel)
    return environment


def build(source: Path, directory: Path) -> Path:
    """Build the wheel of a source folder or archive; return its path."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index")
    alone = ("--no-deps", "--no-build-isolation", "--wheel-dir", directory)
    run(*pip, *alone, source, directory=directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def write_packages(folder: Path) -> None:
    """Write a user's packages; ours have modules of the same names."""
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        for module in ("__init__", "errors"):
            (folder / name / f"{module}.py").write_text("OWNER = 'user'\n")


def owners(environment: VirtualEnvironment, directory: Path) -> set[str]:
    """Return the owners of the packages that a user's program imports."""
    return set(run(environment.program("python"), "-c", SHOW_OWNERS, directory=directory).split())


def importable(environment: VirtualEnvironment, directory: Path) -> set[str]:
    """Return the top-level names of this repository that a user's program can import."""
    return set(run(environment.program("python"), "-c", SHOW_NAMES, directory=directory).split())


def serves_both_ways(
    environment: VirtualEnvironment, directory: Path, settings: Mapping[str, str] | None = None
) -> None:
    """Start a server by its script and by its module, and use each."""
    settings = {"PYTHONPATH": "", **(settings or {})}
    serves([environment.program("queueserver")], directory, settings)
    serves([environment.program("python"), "-m", "queueserver"], directory, settings)


def serves(program: Sequence[str | Path], directory: Path, settings: Mapping[str, str]) -> None:
    """Start a server, send it a message, receive the message, stop the server."""
    words = [str(word) for word in program]
    with ServerProcess(directory=directory, settings=settings, program=words) as server:

        def ask(action: str, **parameters: str) -> bytes:
            body = json.dumps(parameters)
            answer = exchange(server.url, headers=json_headers(action), body=body)
            assert answer.status == 200, answer
            return answer.body

        ask("CreateQueue", QueueName="q")
        ask("SendMessage", QueueUrl="q", MessageBody="hello")
        (message,) = json.loads(ask("ReceiveMessage", QueueUrl="q"))["Messages"]
        assert message["Body"] == "hello"
        ask("DeleteQueue", QueueUrl="q")
        assert server.stop() == (0, "", "")


# Contents of the wheel


def test_wheel_has_one_top_level_name(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in contents(wheel)}
    assert tops == {"queueserver", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


def test_wheel_has_every_module_of_the_three_packages(wheel: Path) -> None:
    inside = {"queueserver": "queueserver"}
    inside |= {name: f"queueserver/_packages/{name}" for name in NAMES}
    modules = {
        f"{place}/{path.relative_to(ROOT / name).as_posix()}"
        for name, place in inside.items()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in contents(wheel) if ".dist-info/" not in name} == modules


def test_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    target = ("--target", "sdist", "--directory", tmp_path)
    run(sys.executable, "-m", "hatchling", "build", *target, directory=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    assert build(archive, tmp_path).read_bytes() == wheel.read_bytes()


# Users with packages of the same names


Write = Callable[[VirtualEnvironment, Path], None]
"""Puts the user's packages into an environment; the project's files lie in the folder."""


def installed(environment: VirtualEnvironment, directory: Path) -> None:
    environment.install(setuptools_project(directory, ""))
    assert (environment.site_packages / "storage" / "errors.py").exists()


def editable_by_a_path(environment: VirtualEnvironment, directory: Path) -> None:
    environment.install("--editable", setuptools_project(directory, "src"))
    (path,) = environment.site_packages.glob("__editable__*.pth")
    assert path.read_text().strip() == str(directory / "src")


def editable_by_a_finder(environment: VirtualEnvironment, directory: Path) -> None:
    environment.install("--editable", setuptools_project(directory, ""))
    assert list(environment.site_packages.glob("__editable___*_finder.py"))


def imported_by_a_finder_that_is_first(environment: VirtualEnvironment, directory: Path) -> None:
    write_packages(directory / "lib")
    hook = FIRST_FINDER.replace("FOLDER", repr(str(directory / "lib")))
    (environment.site_packages / "first_finder.py").write_text(hook)
    (environment.site_packages / "first_finder.pth").write_text("import first_finder")


def setuptools_project(directory: Path, folder: str) -> Path:
    """Write a setuptools project whose packages lie in a folder of it; return the project."""
    write_packages(directory / folder)
    lines = ["[build-system]", 'requires = ["setuptools"]']
    lines += ['build-backend = "setuptools.build_meta"', "[project]", 'name = "users-project"']
    lines += ['version = "1"', "[tool.setuptools]", f"packages = {list(NAMES)}"]
    lines += [f'package-dir = {{"" = "{folder}"}}'] if folder else []
    (directory / "pyproject.toml").write_text("\n".join(lines))
    return directory


@pytest.mark.parametrize(
    "write",
    [
        installed,
        editable_by_a_path,
        editable_by_a_finder,
        imported_by_a_finder_that_is_first,
    ],
)
def test_server_and_user_import_their_own_packages_in_one_environment(
    wheel: Path, environment: VirtualEnvironment, tmp_path: Path, write: Write
) -> None:
    write(environment, tmp_path / "project")
    environment.install(wheel)
    serves_both_ways(environment, tmp_path)
    assert owners(environment, tmp_path) == {"user"}


def test_server_imports_its_own_packages_in_a_folder_with_the_same_names(
    shared: VirtualEnvironment, tmp_path: Path
) -> None:
    write_packages(tmp_path)
    # A queue.py is likely where a user tries queues, and would hide the standard library's.
    (tmp_path / "queue.py").write_text("OWNER = 'user'\n")
    serves_both_ways(shared, tmp_path)
    assert owners(shared, tmp_path) == {"user"}


def test_every_command_imports_its_own_packages_before_those_on_the_python_path(
    shared: VirtualEnvironment, wheel: Path, tmp_path: Path
) -> None:
    write_packages(tmp_path / "lib")
    settings = {"PYTHONPATH": str(tmp_path / "lib")}
    serves_both_ways(shared, tmp_path, settings)

    def said(*arguments: str) -> str:
        program = shared.program("queueserver")
        return run(program, *arguments, directory=tmp_path, settings=settings)

    assert said("--version") == f"queueserver {wheel.name.split('-')[1]}\n"
    assert said("backup", "copy.db").startswith("backed up sqlite:///queueserver.db to copy.db")
    assert said("check") == "checked sqlite:///queueserver.db: no damage found\n"


def test_users_test_imports_its_own_packages_beside_a_server(
    shared: VirtualEnvironment, tmp_path: Path
) -> None:
    write_packages(tmp_path)
    (tmp_path / "test_user.py").write_text(USERS_TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    run(shared.program("python"), "-m", "pytest", directory=tmp_path)


def test_importing_queueserver_changes_nothing_else(
    shared: VirtualEnvironment, tmp_path: Path
) -> None:
    run(shared.program("python"), "-c", IMPORT_AS_A_LIBRARY, directory=tmp_path)
    assert importable(shared, tmp_path) == {"queueserver"}


def test_editable_install_exposes_only_queueserver(
    environment: VirtualEnvironment, tmp_path: Path
) -> None:
    environment.install("--editable", ROOT)
    assert not (environment.site_packages / "queueserver").exists()
    assert importable(environment, tmp_path) == {"queueserver"}
    searched = run(environment.program("python"), "-c", SHOW_PATH, directory=tmp_path)
    assert str(ROOT) not in searched.splitlines()
    editable_by_a_finder(environment, tmp_path / "project")
    serves_both_ways(environment, tmp_path)
    assert owners(environment, tmp_path) == {"user"}
