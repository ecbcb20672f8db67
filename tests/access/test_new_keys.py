"""`queueserver keys new`: the lines that it prints work when they are pasted."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from botocore.session import Session

from queueserver.access import new_keys
from queueserver.access.users import Users
from queueserver.cli import main
from queueserver.config import load
from tests.access.user_files import SECRET, UserFiles
from tests.api.server_process import command, environment


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        command("keys", *arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def new_key(folder: Path, *arguments: str) -> dict[str, str]:
    """Make a key; return the sections of the output by their comments."""
    ended = run(folder, "new", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    return sections_of(ended.stdout)


def sections_of(output: str) -> dict[str, str]:
    """Return the sections of an output by their comments."""
    return dict(re.findall(r"^# (.+)\n((?:[^#\n].*\n)+)", output, re.MULTILINE))


def credentials(
    folder: Path, section: str, profile: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Return the key that botocore reads from a credentials file with this section."""
    path = folder / "credentials"
    path.write_text(section)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    found = Session(profile=profile).get_credentials()
    assert found is not None
    return found.access_key, found.secret_key


def variables(section: str) -> dict[str, str]:
    """Return the variables that a shell would set."""
    pairs = (word.partition("=") for word in shlex.split(section))
    return {name: value for name, _, value in pairs}


def access_key_id_of(sections: dict[str, str]) -> str:
    """Return the ID of the key in the section for the client."""
    (access_key_id,) = re.findall("aws_access_key_id = (.+)", sections[CLIENT])
    return str(access_key_id)


def key_of(users: Users, access_key_id: str) -> tuple[str, str]:
    """Return the name of the user of an access key, and the secret."""
    access_key = users.find(access_key_id)
    assert access_key is not None
    return access_key.user.name, access_key.secret.decode()


CLIENT = "For the client: in ~/.aws/credentials; if the profile exists, replace its two lines"
REGION = "For the client: in ~/.aws/config, for a new profile; write the server's region"
VARIABLES = "For the server: environment variables"
VARIABLE = "For the server: an environment variable"
FILE = "For the server: in the file of --config; if the user exists, add the {...} to its keys"


def test_pair_for_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = new_key(tmp_path)
    access_key_id, secret = credentials(tmp_path, sections[CLIENT], "default", monkeypatch)
    assert re.fullmatch(r"AKQS[A-Z2-7]{16}", access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9]{40}", secret)
    users = load({}, variables(sections[VARIABLES])).users
    assert key_of(users, access_key_id) == ("admin", secret)


@pytest.mark.parametrize(
    ("arguments", "profile"),
    [
        pytest.param([], "default", id="pair"),
        pytest.param(["--user", "a@b.example"], "a@b.example", id="user"),
    ],
)
def test_profile_has_the_default_region(
    arguments: list[str], profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    path.write_text(new_key(tmp_path, *arguments)[REGION])
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    for name in ("AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    assert Session(profile=profile).get_config_variable("region") == load({}, {}).region


def test_pair_with_the_secret_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = new_key(tmp_path, "--secret-file", "admin.secret")
    access_key_id, secret = credentials(tmp_path, sections[CLIENT], "default", monkeypatch)
    path = tmp_path / "admin.secret"
    assert path.read_text() == f"{secret}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in sections[VARIABLES]
    users = load({}, variables(sections[VARIABLES])).users
    assert key_of(users, access_key_id) == ("admin", secret)


def test_key_of_a_user(files: UserFiles) -> None:
    sections = new_key(files.folder, "--user", "orders-worker")
    assert list(sections) == [CLIENT, REGION, FILE, VARIABLE]
    access_key_id = access_key_id_of(sections)
    assert list(variables(sections[VARIABLE])) == [f"SECRET_{access_key_id}"]
    users = files.load(sections[FILE], variables(sections[VARIABLE])).users
    assert key_of(users, access_key_id)[0] == "orders-worker"


@pytest.mark.parametrize("rights", ['policies = ["send:orders", "receive:orders"]', "admin = true"])
def test_rights_of_a_user_can_replace_those_of_the_pasted_lines(
    rights: str, files: UserFiles
) -> None:
    sections = sections_of(new_keys.make("shop", None, "us-east-1"))
    header, policies, keys = sections[FILE].splitlines()
    assert policies.startswith("policies = []  # ")
    for word in ('"send:orders", "receive:orders"', "admin = true"):
        assert word in policies
    document = "\n".join([header, rights, keys])
    users = files.load(document, variables(sections[VARIABLE])).users
    access_key = users.find(access_key_id_of(sections))
    assert access_key is not None
    assert access_key.user.is_admin == (rights == "admin = true")
    assert len(access_key.user.policies) == rights.count(":")


def test_second_key_of_a_user_is_added_to_its_keys(files: UserFiles) -> None:
    first, second = (sections_of(new_keys.make("shop", None, "us-east-1")) for _ in range(2))
    (table,) = re.findall(r"\{.*\}", second[FILE])
    document = first[FILE].replace("}]", f"}}, {table}]")
    settings = {**variables(first[VARIABLE]), **variables(second[VARIABLE])}
    users = files.load(document, settings).users
    secrets = [key_of(users, access_key_id_of(each))[1] for each in (first, second)]
    assert (len(users), users.warnings, len(set(secrets))) == (1, (), 2)


@pytest.mark.parametrize("name", ["orders-worker", "a@b.example", "9=+,.@_-", "x" * 64])
@pytest.mark.parametrize("file", [None, "a secret"])
def test_lines_work_for_every_name_of_a_user(
    name: str, file: str | None, files: UserFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = None if file is None else files.folder / file
    sections = sections_of(new_keys.make(name, path, "us-east-1"))
    access_key_id, secret = credentials(files.folder, sections[CLIENT], name, monkeypatch)
    assert secret not in sections[FILE]
    users = files.load(sections[FILE], variables(sections.get(VARIABLE, ""))).users
    assert key_of(users, access_key_id) == (name, secret)


def test_two_keys_differ() -> None:
    first, second = (sections_of(new_keys.make(None, None, "us-east-1"))[CLIENT] for _ in range(2))
    for one, other in zip(first.splitlines()[1:], second.splitlines()[1:], strict=True):
        assert one != other


# Mistakes


@pytest.mark.parametrize("is_link", [False, True])
def test_file_that_exists_is_not_changed(is_link: bool, files: UserFiles) -> None:
    if is_link:
        (files.folder / "file").symlink_to("target")
    else:
        files.write("file", SECRET)
    ended = run(files.folder, "new", "--secret-file", "file")
    path = files.folder / "file"
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"queueserver: error: --secret-file: cannot create '{path}': File exists\n"
    )
    assert is_link or path.read_text() == SECRET
    assert not (files.folder / "target").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param([], "the following arguments are required: new", id="no action"),
        pytest.param(["old"], "argument new: invalid choice: 'old'", id="unknown action"),
        pytest.param(["new", "--users", "a"], "unrecognized arguments: --users a", id="flag"),
        pytest.param(
            ["new", "--user", "root"], "--user: a user name has 1 to 64 letters", id="user name"
        ),
        pytest.param(
            ["new", "--secret-file", "none/secret"],
            "--secret-file: cannot create '{folder}/none/secret': No such file or directory",
            id="folder that is missing",
        ),
    ],
)
def test_mistake_is_reported_in_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    ended = run(tmp_path, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"queueserver: error: {line.format(folder=tmp_path)}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["new", "--help"]])
def test_help_names_the_flags(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--secret-file PATH" in shown
    assert "--user NAME" in shown
