"""Users of the configuration file: their properties, and the error for each mistake."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from queueserver.access.modes import AccessMode
from queueserver.access.users import AccessKey
from queueserver.policies.principals import PrincipalKind
from tests.access.user_files import NOW, SECRET, UserFiles, key, user

NAME_RULE = (
    "a user name has 1 to 64 letters, digits and characters of +=,.@_-, and is not root, "
    "anonymous, . or .. or the name of an AWS service"
)
ID_RULE = (
    "an access key ID has 3 to 128 letters, digits, hyphens and underscores, and is not a "
    "12-digit account ID"
)
EXPIRY_RULE = "must be a date and time with an offset, such as 2026-12-31T00:00:00Z"
POLICY_RULE = (
    "is neither a managed policy (AmazonSQSFullAccess, AmazonSQSReadOnlyAccess, "
    "AWSLambdaSQSQueueExecutionRole) nor one of send, receive, admin, alone or with a queue name "
    "such as send:orders"
)
USER_SETTINGS = (
    "is not a key of a user (account, admin, service, tags, keys, policies, policy_documents, "
    "policy_files)"
)
KEY_SETTINGS = "is not a key of an access key (id, secret_file, secret_env, expires)"

EXPIRED = ", expires = 2020-01-01T00:00:00Z"
LATER = ", expires = 2030-01-01T00:00:00+01:00"


def found(files: UserFiles, document: str, access_key_id: str = "AKALICE") -> AccessKey:
    """Return an access key of a configuration file."""
    access_key = files.load(document).users.find(access_key_id)
    assert access_key is not None
    return access_key


def test_user_has_the_servers_account_unless_it_declares_one(files: UserFiles) -> None:
    document = (
        "account = '123456789012'\n" + user("alice") + user("bob", "account = '999999999999'")
    )
    alice, bob = found(files, document).user, found(files, document, "AKBOB").user
    assert (alice.name, alice.account) == ("alice", "123456789012")
    assert alice.arn == "arn:aws:iam::123456789012:user/alice"
    assert bob.arn == "arn:aws:iam::999999999999:user/bob"
    assert alice.access_key_ids == ("AKALICE",)


def test_unique_id_depends_on_account_and_name_alone(files: UserFiles) -> None:
    first = found(files, user("alice")).user
    changed = found(files, user("alice", "admin = true", "tags = { team = 'a' }")).user
    elsewhere = found(files, user("alice", "account = '999999999999'")).user
    assert first.unique_id == changed.unique_id != elsewhere.unique_id
    assert len(first.unique_id) == 21
    assert first.unique_id.startswith("AIDA")


def test_principal_has_the_properties_of_the_user(files: UserFiles) -> None:
    document = user("alice", "admin = true", "tags = { team = 'shop', cost-center = 7 }")
    principal = found(files, document).user.principal
    assert (principal.kind, principal.is_admin, principal.service) == (PrincipalKind.USER, True, "")
    assert dict(principal.tags) == {"team": "shop", "cost-center": "7"}


def test_user_with_a_service_is_that_service(files: UserFiles) -> None:
    principal = found(files, user("alice", "service = 'sns.amazonaws.com'")).user.principal
    assert (principal.kind, principal.service) == (PrincipalKind.SERVICE, "sns.amazonaws.com")
    assert not principal.is_admin


@pytest.mark.parametrize(
    "name", ["a", "A+=,.@_-9", "n" * 64, "Alice@example.com", "rooty", "...", "000000000000"]
)
def test_name_of_a_user_is_one_that_iam_allows(name: str, files: UserFiles) -> None:
    users = files.load(f"[users.'{name}']\nkeys = [{key('AKALICE')}]").users
    access_key = users.find("AKALICE")
    assert access_key is not None
    assert access_key.user.name == name


@pytest.mark.parametrize("name", ["abc", "A" * 128, "a_b-c", "00000000000", "0000000000000"])
def test_id_of_an_access_key_can_be_chosen(name: str, files: UserFiles) -> None:
    assert found(files, user("alice", keys=key(name)), name).secret == SECRET.encode()


def test_names_of_settings_can_have_hyphens(files: UserFiles) -> None:
    document = user("alice", "policy-files = []", keys="{ id = 'AKALICE', secret-file = 'secret' }")
    assert found(files, document).secret == SECRET.encode()


def test_secret_is_read_from_a_variable(files: UserFiles) -> None:
    document = user("alice", keys=key("AKALICE", "secret_env = 'ALICE'"))
    access_key = files.load(document, {"ALICE": SECRET}).users.find("AKALICE")
    assert access_key is not None
    assert access_key.secret == SECRET.encode()


def test_absolute_path_of_a_secret_is_not_relative_to_the_file(files: UserFiles) -> None:
    path = files.folder / "secret"
    document = user("alice", keys=key("AKALICE", f"secret_file = '{path}'"))
    assert found(files, document).secret == SECRET.encode()


# Expiry


def test_access_key_expires_at_its_time(files: UserFiles) -> None:
    access_key = found(files, user("alice", keys=key("AKALICE", more=LATER)))
    assert access_key.expires == datetime(2029, 12, 31, 23, tzinfo=UTC)
    expiry = access_key.expires.timestamp()
    assert [access_key.is_expired(expiry + late) for late in (-0.001, 0, 1)] == [False, True, True]


def test_access_key_without_expiry_never_expires(files: UserFiles) -> None:
    assert not found(files, user("alice")).is_expired(1e12)


def test_expired_key_is_not_counted_as_active(files: UserFiles) -> None:
    keys = [
        key("AKA", more=EXPIRED),
        key("AKB", "secret_file = 'second'"),
        key("AKC", "secret_file = 'third'", LATER),
    ]
    users = files.load(user("alice", keys=", ".join(keys))).users
    assert (len(users), users.key_count, users.warnings) == (1, 3, ())
    expired = users.find("AKA")
    assert expired is not None
    assert expired.is_expired(NOW)


def test_user_whose_keys_have_all_expired_is_a_warning(files: UserFiles) -> None:
    config = files.load(user("alice", keys=key(more=EXPIRED)))
    assert config.access is AccessMode.ON
    assert config.users.warnings == ("all access keys of a user have expired: user=alice",)


def test_two_keys_with_one_secret_are_a_warning(files: UserFiles) -> None:
    keys = ", ".join([key("AKB"), key("AKC", "secret_file = 'second'")])
    users = files.load(user("alice") + user("bob", keys=keys)).users
    assert list(users.warnings) == [
        (
            "two access keys have the same secret: user=bob access_key_id=AKB other_user=alice "
            "other_access_key_id=AKALICE"
        )
    ]


# The set


def test_unknown_id_finds_no_key(files: UserFiles) -> None:
    users = files.load(user("alice")).users
    assert users.find("") is users.find("AKBOB") is users.find("akalice") is None


def test_digest_depends_on_names_ids_and_policies(files: UserFiles) -> None:
    documents = [
        user("alice"),
        user("bob", keys=key("AKALICE")),
        user("alice", keys=key("AKBOB")),
        user("alice", "admin = true"),
        user("alice", "service = 'sns.amazonaws.com'"),
        user("alice", "account = '999999999999'"),
        user("alice", "tags = { a = 'b' }"),
        user("alice", "policies = ['send:orders']"),
        user("alice", "policies = ['send:order']"),
        user("alice", keys=key("AKALICE", more=LATER)),
        user("alice") + user("bob"),
    ]
    digests = [files.load(document).users.digest for document in documents]
    assert len(set(digests)) == len(documents)
    assert all(len(digest) == 16 for digest in digests)


def test_digest_does_not_depend_on_order_secrets_or_paths(files: UserFiles) -> None:
    policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
    for name in ("one.json", "two.json"):
        files.write(name, policy)
    files.write("other", "another secret of this test".replace(" ", "-"))
    first = user("alice", "policy_files = ['one.json']") + user("bob")
    keys = key("AKALICE", "secret_file = 'other'")
    second = user("bob") + user("alice", "policy_files = ['two.json']", keys=keys)
    assert files.load(first).users.digest == files.load(second).users.digest
    assert files.load(first).users != files.load(second).users


def test_no_representation_shows_a_secret(files: UserFiles) -> None:
    config = files.load(user("alice"))
    access_key = config.users.find("AKALICE")
    assert access_key is not None
    for shown in (config, config.users, access_key, access_key.user):
        assert SECRET not in f"{shown!r} {shown}"
    assert "***" in repr(access_key)


# Mistakes

DECLARED_KEY = "keys = [{ id = 'AKALICE', secret_file = 'secret' }]"

MISTAKES = [
    pytest.param("users = 1", "users must be a table", id="users is not a table"),
    pytest.param(
        "[users]", "users: no user is declared, remove the table or declare one", id="no user"
    ),
    pytest.param("users.alice = 1", "users.alice must be a table", id="user is not a table"),
    pytest.param(
        "[users.alice]", "users.alice: the user has no access key", id="user without access keys"
    ),
    pytest.param(
        user("alice", keys=""), "users.alice: the user has no access key", id="empty list of keys"
    ),
    pytest.param(user("alice", "admn = true"), f"users.alice.admn {USER_SETTINGS}", id="typo"),
    pytest.param(
        user("alice") + user("jane.doe", keys=key("AKTWO")),
        f'users.jane.doe {USER_SETTINGS}; a name with a dot needs quotes: [users."jane.doe"]',
        id="name with a dot and without quotes",
    ),
    pytest.param(
        user("alice", "policy_files = []", "policy-files = []"),
        "users.alice.policy_files is set twice",
        id="same setting twice",
    ),
    *[
        pytest.param(
            f"[users.'{name}']\n{DECLARED_KEY}", f"users.{name}: {NAME_RULE}", id=f"user {name!r}"
        )
        for name in ("*", "a*", "a/b", "a b", "ä", "n" * 65, "", "root", "Root", ".", "..")
    ],
    *[
        pytest.param(
            f"[users.'{name}']\n{DECLARED_KEY}", f"users.{name}: {NAME_RULE}", id=f"user {name!r}"
        )
        for name in ("anonymous", "sns.amazonaws.com", "SNS.amazonaws.com", "a:b", "${aws:x}")
    ],
    pytest.param(
        '[users."a\\n"]\n' + DECLARED_KEY.replace("'", '"'),
        "users.a\\n: " + NAME_RULE,
        id="name that ends with a newline",
    ),
    pytest.param(
        user("alice") + user("Alice", keys=key("AKTWO")),
        "users.Alice: user Alice is declared already, by {path}: users.alice",
        id="names that differ in case",
    ),
    pytest.param(
        user("alice", "admin = 'yes'"), "users.alice.admin must be true or false", id="admin"
    ),
    pytest.param(
        user("alice", "account = '12345678901'"),
        "users.alice.account: '12345678901' is not 12 digits",
        id="account of 11 digits",
    ),
    pytest.param(
        user("alice", "account = '1234567890123'"),
        "users.alice.account: '1234567890123' is not 12 digits",
        id="account of 13 digits",
    ),
    pytest.param(
        user("alice", "account = '١٢٣٤٥٦٧٨٩٠١٢'"),
        "users.alice.account: '١٢٣٤٥٦٧٨٩٠١٢' is not 12 digits",
        id="account of foreign digits",
    ),
    pytest.param(
        user("alice", "service = 'sns'"),
        "users.alice.service: 'sns' is not a service such as sns.amazonaws.com",
        id="service",
    ),
    pytest.param(
        user("alice", "service = ['sns.amazonaws.com']"),
        "users.alice.service must be a string",
        id="several services",
    ),
    pytest.param(
        user("alice", "admin = true", "service = 'sns.amazonaws.com'"),
        "users.alice: a user with a service cannot be an admin",
        id="admin with a service",
    ),
    pytest.param(user("alice", "tags = []"), "users.alice.tags must be a table", id="tags"),
    pytest.param(
        user("alice", "tags.team = 1.5"),
        "users.alice.tags.team must be a string, an integer or a boolean",
        id="tag is a float",
    ),
    pytest.param(
        user("alice", f"tags.team = '{'a' * 257}'"),
        "users.alice.tags.team: a key has 1 to 128 characters, a value at most 256",
        id="long value of a tag",
    ),
    pytest.param(
        user("alice", f"tags.{'a' * 129} = 'b'"),
        f"users.alice.tags.{'a' * 129}: a key has 1 to 128 characters, a value at most 256",
        id="long key of a tag",
    ),
    pytest.param(
        user("alice", *[f"tags.t{number} = 1" for number in range(51)]),
        "users.alice.tags: 51 tags are declared, at most 50 may be",
        id="too many tags",
    ),
    # Access keys
    pytest.param("users.alice.keys = 'AK'", "users.alice.keys must be an array", id="keys"),
    pytest.param(user("alice", keys="'AK'"), "users.alice.keys[0] must be a table", id="key"),
    pytest.param(
        user("alice", keys=f"{{ secret = '{SECRET}' }}"),
        f"users.alice.keys[0].secret {KEY_SETTINGS}",
        id="secret in the file",
    ),
    pytest.param(
        user("alice", keys="{ secret_file = 'secret' }"),
        "users.alice.keys[0]: id is missing",
        id="no id",
    ),
    pytest.param(
        user("alice", keys="{ id = 12, secret_file = 'secret' }"),
        "users.alice.keys[0].id must be a string",
        id="id is a number",
    ),
    *[
        pytest.param(
            user("alice", keys=key(name)), f"users.alice.keys[0].id: {ID_RULE}", id=f"id {name!r}"
        )
        for name in ("", "ab", "a" * 129, "123456789012", "a/b", "a,b", "a=b", "a b", "ä" * 3)
    ],
    pytest.param(
        user("alice", keys=key(f"{SECRET}/+")),
        f"users.alice.keys[0].id: {ID_RULE}",
        id="secret in the place of the id",
    ),
    pytest.param(
        user("alice", keys=f'{key("AKA")}, {{ id = "AKB\\n", secret_file = "secret" }}'),
        f"users.alice.keys[1].id: {ID_RULE}",
        id="id that ends with a newline",
    ),
    pytest.param(
        user("alice", keys="{ id = 'AKA' }"),
        "users.alice.keys[0]: secret_file or secret_env is missing",
        id="no secret",
    ),
    pytest.param(
        user("alice", keys=key("AKA", "secret_file = 'secret', secret_env = 'ALICE'")),
        "users.alice.keys[0]: only one of secret_file and secret_env may be given",
        id="two secrets",
    ),
    pytest.param(
        user("alice", keys=key("AKA", "secret_env = 'ALICE'")),
        "users.alice.keys[0].secret_env: the environment has no variable with this name",
        id="variable that is not set",
    ),
    pytest.param(
        user("alice", keys=key("AKA", f"secret_env = '{SECRET}'")),
        "users.alice.keys[0].secret_env: the environment has no variable with this name",
        id="secret in the place of the variable",
    ),
    pytest.param(
        user("alice", keys=key("AKA", f"secret_file = '{SECRET}'")),
        "users.alice.keys[0].secret_file: cannot read the file: No such file or directory",
        id="secret in the place of the file",
    ),
    pytest.param(
        user("alice", keys=key("AKA", "secret_file = ['secret']")),
        "users.alice.keys[0].secret_file must be a string",
        id="list of files",
    ),
    *[
        pytest.param(
            user("alice", keys=key("AKA", more=f", expires = {value}")),
            f"users.alice.keys[0].expires {EXPIRY_RULE}",
            id=f"expiry {value}",
        )
        for value in (
            "2030-01-01",
            "2030-01-01T00:00:00",
            "'2030-01-01T00:00:00Z'",
            "1",
            "00:00:00",
        )
    ],
    pytest.param(
        user("alice", keys=", ".join([key("AKA"), key("AKB"), key("AKC")])),
        "users.alice.keys: 3 keys are active, at most 2 may be",
        id="three active keys",
    ),
    pytest.param(
        user("alice", keys=key("AKA")) + user("bob", keys=f"{key('AKB')}, {key('AKA')}"),
        "users.bob.keys[1].id: user alice has an access key with this ID",
        id="id of another user",
    ),
    pytest.param(
        user("alice", keys=f"{key('AKA')}, {key('AKA')}"),
        "users.alice.keys[1].id: user alice has an access key with this ID",
        id="id twice",
    ),
    # Policies
    pytest.param(
        user("alice", "policies = 'send:orders'"),
        'users.alice.policies must be an array, such as ["send:orders"]',
        id="policies is a string",
    ),
    pytest.param(
        user("alice", "policies = [{}]"), "users.alice.policies[0] must be a string", id="policy"
    ),
    *[
        pytest.param(
            user("alice", f"policies = ['send', '{name}']"),
            f"users.alice.policies[1]: '{name}' {POLICY_RULE}",
            id=f"policy {name!r}",
        )
        for name in ("", "AmazonSQSFullAcces", "amazonsqsfullaccess", "recieve:orders", "send:")
    ],
    *[
        pytest.param(
            user("alice", f"policies = ['{name}']"),
            f"users.alice.policies[0]: '{name}' {POLICY_RULE}",
            id=f"policy {name!r}",
        )
        for name in ("Send:orders", "send:a b", "send:a:b", "send:${aws:username}", ":orders", "*")
    ],
    pytest.param(
        user("alice", "policy_documents = [1]"),
        "users.alice.policy_documents[0] must be a table",
        id="document is a number",
    ),
    pytest.param(
        user("alice", "policy_documents = [{ Version = 2012-10-17 }]"),
        "users.alice.policy_documents[0]: write dates and times as strings, JSON has none",
        id="date in a document",
    ),
    pytest.param(
        user("alice", "policy_files = ['none.json']"),
        "users.alice.policy_files[0]: {folder}/none.json: cannot read the file: "
        "No such file or directory",
        id="file that is missing",
    ),
    pytest.param(
        user("alice", "policy_files = ['']"),
        "users.alice.policy_files[0]: {folder}: cannot read the file: Is a directory",
        id="file is a folder",
    ),
]


@pytest.mark.parametrize(("document", "line"), MISTAKES)
def test_mistake_is_reported_in_one_line(document: str, line: str, files: UserFiles) -> None:
    expected = line.replace("{path}", str(files.path)).replace("{folder}", str(files.folder))
    assert files.error(document) == expected


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        pytest.param("users.jane@example.com", '[users."jane@example.com"]', id="user"),
        pytest.param("users.a=b", '[users."a=b"]', id="equals sign"),
        pytest.param("queues.orders+", '[queues."orders+"]', id="queue"),
    ],
)
def test_name_without_the_quotes_that_toml_needs_is_shown_with_them(
    header: str, hint: str, files: UserFiles
) -> None:
    line = files.error(f"{user('alice')}\n[{header}]\n{DECLARED_KEY}")
    assert line.startswith(f"--config: cannot read '{files.path}': ")
    assert line.endswith(f"; this name needs quotes: {hint}")


def test_another_mistake_of_a_file_gives_no_hint_at_quotes(files: UserFiles) -> None:
    line = files.error(f"region =\n[users.'jane@example.com']\n{user('alice')}{DECLARED_KEY}")
    assert line.startswith(f"--config: cannot read '{files.path}': ")
    assert "quotes" not in line
