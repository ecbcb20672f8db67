"""`queueserver keys new --encryption`: the lines that it prints work when they are pasted."""

from __future__ import annotations

import re
import shlex
import stat
from pathlib import Path

import pytest

from queueserver.cli import main
from queueserver.config import load
from tests.encryption.key_configuration import OLD, write

FILE_LINE = "For the server: a line of the file of --encryption-key-file, which has mode 0600"
VARIABLE_LINE = "Instead of a file: an environment variable"
NEW_FILE = "For the server: an environment variable; the new file has mode 0600"


class Folder:
    """A folder in which the command is run."""

    def __init__(self, path: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self._capture = capture

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run `queueserver keys new`; return its status and what it has printed."""
        status = main(["keys", "new", *arguments])
        output, errors = self._capture.readouterr()
        return status, output, errors

    def new_key(self, *arguments: str) -> tuple[str, dict[str, str]]:
        """Make a key; return the output, and its sections by their comments."""
        status, output, errors = self.run("--encryption", *arguments)
        assert (status, errors) == (0, "")
        return output, dict(re.findall(r"^# (.+)\n((?:[^#\n].*\n)+)", output, re.MULTILINE))


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Folder:
    """Return an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capfd)


def assigned(section: str) -> dict[str, str]:
    """Return the variable that a shell would set."""
    (word,) = shlex.split(section)
    name, _, value = word.partition("=")
    return {name: value}


@pytest.mark.parametrize(
    ("arguments", "name"), [([], "main"), (["--name", "shop/2026-12"], "shop/2026-12")]
)
def test_new_key_works_when_its_lines_are_pasted(
    arguments: list[str], name: str, folder: Folder
) -> None:
    output, sections = folder.new_key(*arguments)
    path = write(folder.path / "keys", sections[FILE_LINE])
    by_file = load({"encryption_key_file": str(path)}, {}).keyring
    by_variable = load({}, assigned(sections[VARIABLE_LINE])).keyring
    assert by_file is not None
    assert by_file == by_variable
    assert by_file.first.id.name == name
    for words in ("not beside the backups", "put the new key above the old ones"):
        assert words in output


def test_new_key_can_be_written_to_a_new_file(folder: Folder) -> None:
    output, sections = folder.new_key("--key-file", "the keys")
    path = folder.path / "the keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().rstrip("\n").partition(":")[2] not in output
    assert list(sections) == [NEW_FILE]
    keyring = load({}, assigned(sections[NEW_FILE])).keyring
    assert keyring is not None
    assert keyring.first.id.name == "main"


def test_new_keys_can_be_added_above_older_ones(folder: Folder) -> None:
    old, new = (folder.new_key()[1][FILE_LINE] for _ in range(2))
    path = write(folder.path / "keys", new + old)
    keyring = load({"encryption_key_file": str(path)}, {}).keyring
    assert keyring is not None
    assert [name for name, _ in keyring.ids] == ["main", "main"]
    assert keyring.first == keyring.named("main")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(["--encryption", "--user", "a"], "--user is for an access key only"),
        pytest.param(
            ["--encryption", "--secret-file", "a"], "--secret-file is for an access key only"
        ),
        pytest.param(["--name", "a"], "--name is for a key of --encryption only"),
        pytest.param(["--key-file", "a"], "--key-file is for a key of --encryption only"),
        pytest.param(
            ["--encryption", "--key-file", "there"],
            "--key-file: cannot create '{folder}/there': File exists",
        ),
        pytest.param(
            ["--encryption", "--key-file", "none/keys"],
            "--key-file: cannot create '{folder}/none/keys': No such file or directory",
        ),
        *[
            pytest.param(
                ["--encryption", "--name", name],
                "--name: a name has 1 to 128 letters, digits and characters of ._/- and does not "
                "begin with alias/ or arn:",
            )
            for name in ("", "a b", "alias/a", "arn:a")
        ],
    ],
)
def test_mistake_makes_no_key(arguments: list[str], line: str, folder: Folder) -> None:
    write(folder.path / "there", OLD)
    assert folder.run(*arguments) == (
        2,
        "",
        f"queueserver: error: {line.format(folder=folder.path)}\n",
    )
    assert [path.name for path in folder.path.iterdir()] == ["there"]
    assert (folder.path / "there").read_text() == OLD
