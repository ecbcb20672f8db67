"""The settings: their sources, the order of the sources, and the errors for invalid values."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from queueserver.access.modes import AccessMode
from queueserver.access.users import Users
from queueserver.config import Config, changed_settings, load, load_database
from queueserver.declared_queues import DeclaredQueue
from queueserver.encryption.modes import EncryptionMode
from queueserver.settings import SETTINGS
from queueserver.start_errors import ConfigError
from storage.errors import mask_password

DEFAULTS = Config(
    in_flight_limit=120_000,
    connection_limit=16_000,
    pending_limit=10_000,
    buffer_mib=128,
    request_timeout=20,
    idle_timeout=300,
    pool_size=5,
    poll_seconds=None,
    host=("127.0.0.1",),
    port=(9324,),
    database="sqlite:///queueserver.db",
    account="000000000000",
    region="us-east-1",
    public_url=None,
    allowed_hosts=(),
    cors_origins=(),
    tls_cert=None,
    tls_key=None,
    tls_client_ca=None,
    tls_port=(),
    trusted_proxies=(),
    cooldowns=False,
    log_level="info",
    log_format="text",
    queues={},
    access=AccessMode.OFF,
    encryption=EncryptionMode.OFF,
    encryption_key_file=None,
    encryption_key_command=None,
    loose_secret_files=False,
    users=Users(),
    keyring=None,
)

KEY_PAIR = {
    "QUEUESERVER_ACCESS_KEY_ID": "AKEXAMPLE",
    "QUEUESERVER_SECRET_ACCESS_KEY": "secret-of-this-test",
}
"""The variables of an administrator: with users, access control can be on."""

VALUES: dict[str, tuple[str, object]] = {
    "host": ("::1,example", ("::1", "example")),
    "port": ("0, 80", (0, 80)),
    "database": ("postgresql://u:p@db:5432/q", "postgresql://u:p@db:5432/q"),
    "account": ("123456789012", "123456789012"),
    "connection_limit": ("5", 5),
    "pending_limit": ("1", 1),
    "buffer_mib": ("16", 16),
    "request_timeout": ("3600", 3_600),
    "idle_timeout": ("1", 1),
    "region": ("eu-central-1", "eu-central-1"),
    "public_url": ("https://sqs.example.com/base/", "https://sqs.example.com/base"),
    "allowed_hosts": ("Queue.example.com, .example.org", ("queue.example.com", ".example.org")),
    "cors_origins": (
        "https://App.example:443,http://localhost:5173, tauri://localhost",
        ("https://app.example", "http://localhost:5173", "tauri://localhost"),
    ),
    "tls_cert": ("/etc/tls.crt", "/etc/tls.crt"),
    "tls_key": ("/etc/tls.key", "/etc/tls.key"),
    "tls_client_ca": ("ca.pem", "ca.pem"),
    "tls_port": ("9325, 0", (9325, 0)),
    "trusted_proxies": (
        "10.0.0.0/8, 192.0.2.1,FD00::/8,::ffff:10.1.0.0/112",
        ("10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "10.1.0.0/16"),
    ),
    "cooldowns": ("true", True),
    "in_flight_limit": ("20", 20),
    "pool_size": ("20", 20),
    "poll_seconds": ("0.5", 0.5),
    "access": ("LOG", AccessMode.LOG),
    "encryption": ("Always", EncryptionMode.ALWAYS),
    "encryption_key_file": ("keys", "keys"),
    "encryption_key_command": ("cat keys", "cat keys"),
    "loose_secret_files": ("yes", True),
    "log_level": ("DEBUG", "debug"),
    "log_format": ("json", "json"),
}

KEYS = f"main:{base64.b64encode(bytes(range(32))).decode()}\n"

NEEDED = {"encryption": {"QUEUESERVER_ENCRYPTION_KEY": KEYS}}
"""The variables that a setting of `VALUES` needs besides `KEY_PAIR`."""

EVERY_SETTING = pytest.mark.parametrize("name", VALUES)


def variable(name: str) -> str:
    return f"QUEUESERVER_{name.upper()}"


def error(flags: dict[str, str], environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags, environment or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "queueserver.toml"


@pytest.fixture(autouse=True)
def _keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file that the settings of the encryption name."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_text(KEYS)


def test_every_setting_is_covered_by_these_tests() -> None:
    assert {setting.name for setting in SETTINGS} == {*VALUES, "config"}
    assert {*Config.__struct_fields__} == {*VALUES, "queues", "users", "keyring", "path"}


def test_settings_that_are_not_given_have_their_defaults() -> None:
    assert load({}, {}) == DEFAULTS


def test_empty_variable_counts_as_unset() -> None:
    assert load({}, {variable(name): "" for name in [*VALUES, "config"]}) == DEFAULTS


@EVERY_SETTING
def test_flag_overrides_variable_and_file(name: str, file: Path) -> None:
    text, value = VALUES[name]
    file.write_text(f"{name} = 'file'\n")
    environment = {variable(name): "variable", **KEY_PAIR, **NEEDED.get(name, {})}
    config = load({name: text, "config": str(file)}, environment)
    assert getattr(config, name) == value


@EVERY_SETTING
def test_variable_overrides_file(name: str, file: Path) -> None:
    text, value = VALUES[name]
    file.write_text(f"{name} = 'file'\n")
    environment = {variable(name): text, variable("config"): str(file), **KEY_PAIR}
    environment |= NEEDED.get(name, {})
    config = load({}, environment)
    assert getattr(config, name) == value


@EVERY_SETTING
@pytest.mark.parametrize("dashes", [False, True], ids=["underscores", "dashes"])
def test_file_overrides_default(name: str, dashes: bool, file: Path) -> None:
    text, value = VALUES[name]
    key = name.replace("_", "-") if dashes else name
    file.write_text(f'{key} = "{text}"\n')
    config = load({"config": str(file)}, {**KEY_PAIR, **NEEDED.get(name, {})})
    assert getattr(config, name) == value
    assert getattr(DEFAULTS, name) != value


def test_file_can_have_numbers_and_booleans(file: Path) -> None:
    file.write_text("port = 80\ncooldowns = true\naccount = 123456789012\n")
    config = load({"config": str(file)}, {})
    assert (config.port, config.cooldowns, config.account) == ((80,), True, "123456789012")


@pytest.mark.parametrize(
    ("document", "ports"),
    [
        pytest.param("port = [80, 81]", (80, 81), id="numbers"),
        pytest.param("port = ['80', '81,82']", (80, 81, 82), id="strings"),
        pytest.param("port = [80, 81, 80]", (80, 81), id="number that is repeated"),
    ],
)
def test_file_can_have_an_array_of_ports(document: str, ports: tuple[int, ...], file: Path) -> None:
    file.write_text(document)
    assert load({"config": str(file)}, {}).port == ports


def test_empty_array_of_ports_is_rejected(file: Path) -> None:
    file.write_text("port = []")
    assert error({"config": str(file)}).startswith(f"{file}: port: '' is not a number from 0")


def test_file_can_have_lists_as_arrays(file: Path) -> None:
    file.write_text(
        "allowed-hosts = []\ncors-origins = ['https://app.example', 'http://[::1]:80', 'http://a:1']\n"
    )
    config = load({"config": str(file)}, {})
    assert config.allowed_hosts == ()
    assert config.cors_origins == ("https://app.example", "http://[::1]", "http://a:1")


def test_config_flag_overrides_config_variable(file: Path) -> None:
    file.write_text("port = 80\n")
    config = load({"config": str(file)}, {variable("config"): "/nowhere"})
    assert config.port == (80,)


BAD = [
    *[("host", text) for text in ("", "a b", "a/b", "é", "a,", ",a", "a,,b", "a ,b")],
    *[("in_flight_limit", text) for text in ("", "x", "0", "-1", "1000000001", "9" * 5_000)],
    *[("pool_size", text) for text in ("", "x", "1", "101", "2.5")],
    *[("poll_seconds", text) for text in ("", "x", "0", "0.049", "20.1", "-1", "1e1", "nan")],
    *[("port", text) for text in ("", "x", "-1", "65536", "80.0", " 80", "٨٠", "9" * 5_000)],
    *[("port", text) for text in ("80,", "80,x", "80 81", "80,,81", "[80]")],
    *[("database", text) for text in ("", "queue.db", "mysql://h/d", "sqlite://queue.db")],
    *[("database", text) for text in ("sqlite:///", "postgresql://", "postgres://h/d")],
    *[("account", text) for text in ("", "12345678901", "1234567890123", "12345678901x")],
    *[("region", text) for text in ("", "US-EAST-1", "us east", "-us", "us--east", "a" * 64)],
    *[("public_url", text) for text in ("", "sqs.example.com", "ftp://h", "http://", "http:///x")],
    *[("public_url", text) for text in ("http://h?q", "http://h#f", "http://u:p@h", "http://h:x")],
    *[("public_url", text) for text in ("http://h\n", "http://h h", "http://[::1")],
    *[("allowed_hosts", text) for text in ("", "a,,b", "a,", ".", "..a", "a:80", "http://a", "*")],
    *[
        ("allowed_hosts", text)
        for text in ("*.example.com", "a b", "bücher.example", "a.", "[::1]")
    ],
    *[
        ("cors_origins", text)
        for text in ("", "*", "null", "app.example", "https://", "https://:1")
    ],
    *[
        ("cors_origins", text)
        for text in ("https://a/", "https://a/b", "https://a?b", "https://a#b")
    ],
    *[
        ("cors_origins", text)
        for text in ("https://a,", "https://a:0", "https://a:65536", "file://")
    ],
    *[
        ("cors_origins", text)
        for text in ("https://*.a", "https://é", "https://u@a", "https://a b")
    ],
    *[("tls_cert", text) for text in ("", "a\nb")],
    *[("tls_key", text) for text in ("", "a\nb")],
    *[("tls_client_ca", text) for text in ("", "a\nb")],
    *[("tls_port", text) for text in ("", "x", "65536", "80,")],
    *[("trusted_proxies", text) for text in ("", "*", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8")],
    *[("trusted_proxies", text) for text in ("10.0.0.0/٨", "fe80::1%eth0", "proxy", "010.0.0.1")],
    *[("trusted_proxies", text) for text in ("10.0.0.1,", "10.0.0.1:80", "[::1]", "::ffff:0:1/96")],
    *[("cooldowns", text) for text in ("", "maybe", "2", "true ")],
    *[("access", text) for text in ("", "true", "soft", "on,", " on", "disabled")],
    *[("encryption", text) for text in ("", "true", "sse", "on ", f"main:{KEYS}")],
    ("encryption_key_file", ""),
    ("encryption_key_command", ""),
    *[("loose_secret_files", text) for text in ("", "0600", "all")],
    *[("log_level", text) for text in ("", "verbose", "critical")],
    *[("log_format", text) for text in ("", "xml", "jsonl")],
]


@pytest.mark.parametrize(
    ("name", "text"), [pytest.param(*row, id=f"{row[0]} {row[1][:20]!r}") for row in BAD]
)
def test_error_for_an_invalid_value_names_its_source_and_the_allowed_values(
    name: str, text: str, file: Path
) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    shown = "the value" if setting.hides_text else repr(mask_password(text))
    flag = "--" + name.replace("_", "-")
    assert error({name: text}) == f"{flag}: {shown} is not {setting.allowed}"
    if text:
        message = error({}, {variable(name): text})
        assert message == f"{variable(name)}: {shown} is not {setting.allowed}"
        quoted = text.replace("\n", "\\n")
        file.write_text(f'{name} = "{quoted}"\n')
        message = error({"config": str(file)})
        assert message == f"{file}: {name}: {shown} is not {setting.allowed}"


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:////data/q.db", "sqlite:///a b.db"])
def test_sqlite_database_is_a_path_or_in_memory(text: str) -> None:
    assert load({"database": text}, {}).database == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, True) for text in ("true", "Yes", "1", "ON")],
        *[(text, False) for text in ("false", "No", "0", "off")],
    ],
)
def test_switch_accepts_the_usual_words(text: str, value: bool) -> None:
    assert load({"cooldowns": text}, {}).cooldowns is value


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param(
            "prot = 80", "prot is not a setting (see `queueserver --help`)", id="unknown setting"
        ),
        pytest.param(
            'config = "x"',
            "config is not a setting (see `queueserver --help`)",
            id="config inside the file",
        ),
        pytest.param(
            "user.alice.admin = true",
            "user is not a setting (did you mean [users.alice]?)",
            id="misspelled table of users",
        ),
        pytest.param(
            "[user.'jane.doe']",
            'user is not a setting (did you mean [users."jane.doe"]?)',
            id="misspelled table of a user whose name needs quotes",
        ),
        pytest.param(
            "[queue.orders]",
            "queue is not a setting (did you mean [queues.orders]?)",
            id="misspelled table of queues",
        ),
        pytest.param(
            "user = 1", "user is not a setting (see `queueserver --help`)", id="user is a number"
        ),
        pytest.param(
            "[user]", "user is not a setting (see `queueserver --help`)", id="user without a name"
        ),
        pytest.param(
            "access.mode = 'on'",
            "access must be a string, an integer or a boolean",
            id="access is a table",
        ),
        pytest.param("port = 80.5", "port must be a string, an integer or a boolean", id="float"),
        pytest.param(
            "cors-origins = [1.5]",
            "cors-origins[0] must be a string, an integer or a boolean",
            id="list of floats",
        ),
        pytest.param(
            "buffer_mib = [80]", "buffer_mib must be a string, an integer or a boolean", id="array"
        ),
        pytest.param(
            "port = [80, 8.1]",
            "port[1] must be a string, an integer or a boolean",
            id="array with a float",
        ),
        pytest.param(
            'log-level="info"\nlog_level="info"', "log_level is set twice", id="setting twice"
        ),
        pytest.param("queues = 1", "queues must be a table", id="queues is not a table"),
        pytest.param("queues.q = 1", "queues.q must be a table", id="queue is not a table"),
        pytest.param(
            "queues.q.tags = 1", "queues.q.tags must be a table", id="tags is not a table"
        ),
        pytest.param(
            "queues.q.DelaySeconds = 1.5",
            "queues.q.DelaySeconds must be a string, an integer or a boolean",
            id="attribute is a float",
        ),
        pytest.param(
            "[queues.jobs.fifo]",
            "queues.jobs.fifo must be a string, an integer or a boolean; a name with a dot needs "
            'quotes: [queues."jobs.fifo"]',
            id="queue with a dot and without quotes",
        ),
        pytest.param(
            "queues.q.tags.team = []",
            "queues.q.tags.team must be a string, an integer or a boolean",
            id="tag is a list",
        ),
        pytest.param(
            "queues.q.Foo = 1", "queues.q: Unknown Attribute Foo.", id="unknown attribute"
        ),
        pytest.param(
            "queues.q.Policy = '{}'",
            "queues.q: Invalid value for the parameter Policy. Reason: the policy has no Statement",
            id="policy",
        ),
        pytest.param(
            "queues.q.DelaySeconds = 901",
            "queues.q: Invalid value for the parameter DelaySeconds.",
            id="invalid value of an attribute",
        ),
        pytest.param(
            'queues."a b" = {}',
            "queues.a b: Can only include alphanumeric characters, hyphens, or underscores. "
            "1 to 80 in length",
            id="invalid name of a queue",
        ),
        pytest.param(
            "queues.q.FifoQueue = true",
            "queues.q: The name of a FIFO queue can only include alphanumeric characters, "
            "hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length",
            id="invalid name of a FIFO queue",
        ),
        pytest.param(
            'queues.q.tags."aws:x" = 1',
            "queues.q: Tag keys that begin with aws: are reserved.",
            id="reserved tag key",
        ),
        pytest.param(
            "[queues.q.tags]\n" + "".join(f"t{n} = 1\n" for n in range(51)),
            "queues.q: Too many tags added for queue q.",
            id="too many tags",
        ),
    ],
)
def test_error_for_an_invalid_file_names_the_setting(document: str, words: str, file: Path) -> None:
    file.write_text(document)
    assert error({"config": str(file)}) == f"{file}: {words}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file or directory", id="missing"),
        pytest.param(b"port = ", "Invalid value", id="not TOML"),
        pytest.param(b"# \xff", "codec can't decode", id="not UTF-8"),
        pytest.param(b"port = " + b"[" * 100_000, "nested too deeply", id="nested too deeply"),
    ],
)
def test_error_for_an_unreadable_file_names_the_file_and_the_reason(
    content: bytes | None, reason: str, file: Path
) -> None:
    if content is not None:
        file.write_bytes(content)
    message = error({}, {variable("config"): str(file)})
    assert message.startswith(f"QUEUESERVER_CONFIG: cannot read '{file}': ")
    assert reason in message


def test_file_declares_queues_with_attributes_and_tags(file: Path) -> None:
    file.write_text(
        "[queues.orders]\n"
        "VisibilityTimeout = 60\n"
        "DelaySeconds = '5'\n"
        "SqsManagedSseEnabled = true\n"
        "[queues.orders.tags]\n"
        "team = 'shop'\n"
        "[queues.plain]\n"
        "[queues.'ordered.fifo']\n"
        "FifoQueue = true\n"
    )
    assert load({"config": str(file)}, {}).queues == {
        "orders": DeclaredQueue(
            {"VisibilityTimeout": "60", "DelaySeconds": "5", "SqsManagedSseEnabled": "true"},
            {"team": "shop"},
        ),
        "plain": DeclaredQueue({}, {}),
        "ordered.fifo": DeclaredQueue({"FifoQueue": "true"}, {}),
    }


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///queueserver.db", "sqlite:///queueserver.db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("postgresql://host:5432/name", "postgresql://host:5432/name"),
        ("postgresql://user@host:5432/name", "postgresql://user@host:5432/name"),
        ("postgresql://user:secret@host:5432/name", "postgresql://user:***@host:5432/name"),
        ("postgresql://user:s:e/c?r@e#t@host/name", "postgresql://user:***@host/name"),
        ("postgresql://user:se\ncret@host/name", "postgresql://user:***@host/name"),
        ("postgresql://:secret@host/name", "postgresql://:***@host/name"),
        (
            "postgresql://h/n?user=u&password=s&ssl=on",
            "postgresql://h/n?user=u&password=***&ssl=on",
        ),
        ("mysql://user:secret@host/name", "mysql://user:***@host/name"),
    ],
)
def test_password_in_a_database_url_is_masked(url: str, masked: str) -> None:
    assert mask_password(url) == masked


def test_error_for_a_rejected_database_does_not_contain_its_password() -> None:
    assert "secret" not in error({"database": "mysql://user:secret@host/name"})


def test_database_is_read_without_the_files_of_users(file: Path) -> None:
    file.write_text(
        "database = 'sqlite://'\n"
        "[users.alice]\nkeys = [{ id = 'AKALICE', secret_file = '/nowhere/secret' }]\n"
    )
    assert load_database({"config": str(file)}, {}) == "sqlite://"
    assert "secret_file: cannot read the file" in error({"config": str(file)})


def test_changed_settings_are_named_and_users_are_not() -> None:
    changed = load({"port": "1", "access": "off"}, KEY_PAIR)
    assert changed_settings(load({}, {}), changed) == ["port"]
    assert changed_settings(load({}, {}), load({}, KEY_PAIR)) == ["access"]
