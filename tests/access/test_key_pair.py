"""The key pair of the environment, and the mode that follows from it."""

from __future__ import annotations

import pytest

from queueserver.access.modes import AccessMode
from queueserver.config import load
from queueserver.start_errors import ConfigError
from tests.access.user_files import KEY_PAIR, SECRET, UserFiles, key, user

ID, VALUE = "QUEUESERVER_ACCESS_KEY_ID", "QUEUESERVER_SECRET_ACCESS_KEY"
ID_FILE, VALUE_FILE = f"{ID}_FILE", f"{VALUE}_FILE"
ID_RULE = (
    "an access key ID has 3 to 128 letters, digits, hyphens and underscores, and is not a "
    "12-digit account ID"
)
SECRET_RULE = "a secret has 16 to 256 printable ASCII characters, and no spaces"


@pytest.mark.parametrize("id_in_file", [False, True])
@pytest.mark.parametrize("secret_in_file", [False, True])
def test_pair_makes_one_administrator_and_turns_access_control_on(
    id_in_file: bool, secret_in_file: bool, files: UserFiles
) -> None:
    id_file = files.write("id", "AKPAIR\n", 0o644)
    environment = {
        **({ID_FILE: str(id_file)} if id_in_file else {ID: "AKPAIR"}),
        **({VALUE_FILE: str(files.folder / "secret")} if secret_in_file else {VALUE: SECRET}),
    }
    config = load({"account": "123456789012"}, environment)
    access_key = config.users.find("AKPAIR")
    assert access_key is not None
    assert (config.access, len(config.users), config.users.key_count) == (AccessMode.ON, 1, 1)
    assert access_key.secret == SECRET.encode()
    assert access_key.user.arn == "arn:aws:iam::123456789012:user/admin"
    assert access_key.user.is_admin
    assert access_key.user.policies == ()


def test_pair_adds_to_the_users_of_the_file(files: UserFiles) -> None:
    users = files.load(user("alice"), KEY_PAIR).users
    assert (len(users), users.key_count) == (2, 2)


MISTAKES = [
    pytest.param({ID: "AKA"}, f"{ID} is set, so {VALUE} or {VALUE_FILE} must be, too", id="id"),
    pytest.param(
        {VALUE_FILE: "secret"}, f"{VALUE_FILE} is set, so {ID} or {ID_FILE} must be, too", id="file"
    ),
    pytest.param(
        {ID: "AKA", ID_FILE: "id", VALUE: SECRET},
        f"{ID} and {ID_FILE} are both set, only one may be",
        id="id twice",
    ),
    pytest.param(
        {ID: "AKA", VALUE: SECRET, VALUE_FILE: "secret"},
        f"{VALUE} and {VALUE_FILE} are both set, only one may be",
        id="secret twice",
    ),
    pytest.param(
        {ID: "", VALUE: ""}, f"{ID} is empty: give it a value or remove it", id="both empty"
    ),
    pytest.param(
        {ID: "AKA", VALUE: ""}, f"{VALUE} is empty: give it a value or remove it", id="empty secret"
    ),
    pytest.param(
        {ID: "AKA", VALUE_FILE: ""},
        f"{VALUE_FILE} is empty: give it a value or remove it",
        id="empty name of a file",
    ),
    pytest.param({ID: f"{SECRET}/", VALUE: "AKA"}, f"{ID}: {ID_RULE}", id="exchanged halves"),
    pytest.param({ID: "123456789012", VALUE: SECRET}, f"{ID}: {ID_RULE}", id="account as id"),
    pytest.param({ID: "AKA", VALUE: "short"}, f"{VALUE}: {SECRET_RULE}", id="short secret"),
    pytest.param(
        {ID: "AKA", VALUE: f"{SECRET}\n"}, f"{VALUE}: {SECRET_RULE}", id="newline in a variable"
    ),
    pytest.param({ID: "AKA", VALUE: f"{SECRET}\udcff"}, f"{VALUE}: {SECRET_RULE}", id="not UTF-8"),
    pytest.param(
        {ID: "AKA", VALUE_FILE: "/nowhere"},
        f"{VALUE_FILE}: cannot read the file: No such file or directory",
        id="file of the secret is missing",
    ),
    pytest.param(
        {ID_FILE: "/nowhere", VALUE: SECRET},
        f"{ID_FILE}: cannot read the file: No such file or directory",
        id="file of the id is missing",
    ),
    *[
        pytest.param(
            {name: SECRET},
            f"{name} is not a variable of the server; the key pair is {ID} and {VALUE}",
            id=name,
        )
        for name in (
            "QUEUESERVER_ACCESS_KEY",
            "QUEUESERVER_SECRET_KEY",
            "QUEUESERVER_SECRET_ACESS_KEY",
            "QUEUESERVER_ACCESS_KEY_FILE",
            "QUEUESERVER_ACCESS_CONTROL",
            "QUEUESERVER_ACCESS_MODE",
            "QUEUESERVER_SECRET",
            "QUEUESERVER_USERS",
            "QUEUESERVER_USER",
        )
    ],
]


@pytest.mark.parametrize(("environment", "line"), MISTAKES)
def test_mistake_is_reported_in_one_line(environment: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, environment)
    assert str(caught.value) == line
    assert SECRET not in line


def test_file_of_the_secret_must_be_private(files: UserFiles) -> None:
    path = files.write("open", SECRET, 0o644)
    environment = {ID: "AKA", VALUE_FILE: str(path)}
    with pytest.raises(ConfigError, match=f"{VALUE_FILE}: the file has mode 0644"):
        load({}, environment)
    assert len(load({"loose_secret_files": "true"}, environment).users) == 1


@pytest.mark.parametrize(
    ("document", "line"),
    [
        pytest.param(
            user("admin"),
            f"{ID}: user admin is declared already, by {{path}}: users.admin",
            id="user of the same name",
        ),
        pytest.param(
            user("Admin"),
            f"{ID}: user admin is declared already, by {{path}}: users.Admin",
            id="name that differs in case",
        ),
        pytest.param(
            user("alice", keys=key("AKPAIR")),
            f"{ID}: user alice has an access key with this ID",
            id="same access key id",
        ),
    ],
)
def test_pair_that_conflicts_with_a_declared_user_is_rejected(
    document: str, line: str, files: UserFiles
) -> None:
    assert files.error(document, KEY_PAIR) == line.format(path=files.path)


def test_variable_that_a_user_names_is_not_a_typing_error(files: UserFiles) -> None:
    document = user("alice", keys=key("AKALICE", "secret_env = 'QUEUESERVER_SECRET_ALICE'"))
    assert len(files.load(document, {"QUEUESERVER_SECRET_ALICE": SECRET}).users) == 1


# The mode

ALICE = user("alice")


@pytest.mark.parametrize(
    ("document", "environment", "mode"),
    [
        pytest.param("", {}, AccessMode.OFF, id="no users"),
        pytest.param("access = 'off'", {}, AccessMode.OFF, id="off"),
        pytest.param(ALICE, {}, AccessMode.ON, id="declared user"),
        pytest.param("", KEY_PAIR, AccessMode.ON, id="pair"),
        pytest.param(f"access = 'off'\n{ALICE}", KEY_PAIR, AccessMode.OFF, id="off with users"),
        pytest.param(f"access = 'log'\n{ALICE}", {}, AccessMode.LOG, id="log with users"),
        pytest.param("access = 'on'", KEY_PAIR, AccessMode.ON, id="on with a pair"),
        pytest.param(ALICE, {"QUEUESERVER_ACCESS": "off"}, AccessMode.OFF, id="off by a variable"),
    ],
)
def test_access_control_is_on_as_soon_as_there_are_users(
    document: str, environment: dict[str, str], mode: AccessMode, files: UserFiles
) -> None:
    assert files.load(document, environment).access is mode


@pytest.mark.parametrize("mode", ["on", "log", "ON"])
def test_mode_that_needs_users_is_rejected_without(mode: str, files: UserFiles) -> None:
    rule = f"'{mode}' needs a user: declare users in the file, or set {ID} and {VALUE}"
    assert files.error(f"access = '{mode}'") == f"access: {rule}"
    with pytest.raises(ConfigError) as caught:
        load({"access": mode}, {})
    assert str(caught.value) == f"--access: {rule}"
