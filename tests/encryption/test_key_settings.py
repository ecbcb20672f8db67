"""The settings of the encryption: the mode that follows from the keys, and what a reload reads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from queueserver.cli import parse
from queueserver.config import changed_settings, load, load_encryption
from queueserver.encryption.modes import EncryptionMode
from tests.encryption.key_configuration import (
    COMMAND,
    FILE,
    NEW,
    OLD,
    VARIABLE,
    check_no_secrets,
    error,
    key_id,
    write,
)

SOURCES = f"{FILE}, {COMMAND} or {VARIABLE}"
KEYS = {VARIABLE: OLD}


@pytest.mark.parametrize(
    ("flags", "environment", "mode"),
    [
        pytest.param({}, {}, EncryptionMode.OFF, id="no keys"),
        pytest.param({}, KEYS, EncryptionMode.ON, id="keys"),
        pytest.param({"encryption": "on"}, KEYS, EncryptionMode.ON, id="on"),
        pytest.param({"encryption": "ALWAYS"}, KEYS, EncryptionMode.ALWAYS, id="always"),
        pytest.param({"encryption": "required"}, KEYS, EncryptionMode.REQUIRED, id="required"),
        pytest.param({"encryption": "off"}, KEYS, EncryptionMode.OFF, id="off with keys"),
        pytest.param({"encryption": "off"}, {}, EncryptionMode.OFF, id="off without keys"),
    ],
)
def test_encryption_is_on_as_soon_as_there_are_keys(
    flags: dict[str, str], environment: dict[str, str], mode: EncryptionMode
) -> None:
    config = load(flags, environment)
    assert config.encryption is mode
    assert (config.keyring is not None) == bool(environment)


@pytest.mark.parametrize("mode", ["on", "always", "required", "ON"])
def test_mode_that_needs_keys_is_rejected_without(mode: str, tmp_path: Path) -> None:
    rule = f"{mode!r} needs a key: set {SOURCES}"
    assert error({"encryption": mode}) == f"--encryption: {rule}"
    assert error({}, {"QUEUESERVER_ENCRYPTION": mode}) == f"QUEUESERVER_ENCRYPTION: {rule}"
    file = write(tmp_path / "queueserver.toml", f"encryption = '{mode}'")
    assert error({"config": str(file)}) == f"{file}: encryption: {rule}"


@pytest.mark.parametrize("text", [OLD, "PASSPHRASE"])
def test_key_in_the_place_of_the_mode_is_not_shown(text: str) -> None:
    rule = "the value is not on, always, required or off"
    assert error({"encryption": text}) == f"--encryption: {rule}"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        pytest.param(
            f"encryption-key = '{OLD}'", "encryption-key is not a setting", id="no setting"
        ),
        pytest.param(
            f"encryption-key-file = ['{OLD}']",
            "encryption-key-file must be a string, an integer or a boolean",
            id="array",
        ),
        pytest.param(
            f"[encryption]\nkey = '{OLD}'",
            "encryption must be a string, an integer or a boolean",
            id="table",
        ),
        pytest.param(f"encryption-key-file = {OLD}", "Invalid value", id="no quotation marks"),
    ],
)
def test_key_in_the_configuration_file_is_not_shown(
    document: str, words: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "queueserver.toml", document)
    assert words in error({"config": str(file)})


@pytest.mark.parametrize(
    ("flags", "environment", "names"),
    [
        pytest.param({"encryption_key_file": "a"}, KEYS, [VARIABLE, FILE], id="variable, file"),
        pytest.param(
            {"encryption_key_command": "a"}, KEYS, [VARIABLE, COMMAND], id="variable, command"
        ),
        pytest.param(
            {"encryption_key_file": "a"},
            {f"{VARIABLE}_COMMAND": "b"},
            [FILE, f"{VARIABLE}_COMMAND"],
            id="file, command",
        ),
        pytest.param(
            {"encryption_key_file": "a", "encryption_key_command": "b"},
            {VARIABLE: ""},
            [VARIABLE, FILE, COMMAND],
            id="all",
        ),
    ],
)
def test_two_sources_of_keys_are_rejected(
    flags: dict[str, str], environment: dict[str, str], names: list[str]
) -> None:
    line = f"{' and '.join(names)} are set, only one of them may be"
    assert error(flags, environment) == line


def test_source_in_the_file_and_in_a_variable_are_rejected(tmp_path: Path) -> None:
    file = write(tmp_path / "queueserver.toml", "encryption-key-file = 'keys'")
    assert error({"config": str(file)}, KEYS) == (
        f"{VARIABLE} and {file}: encryption-key-file are set, only one of them may be"
    )


@pytest.mark.parametrize(
    "name",
    [
        "QUEUESERVER_ENCRYPTION_KEYS",
        "QUEUESERVER_ENCRYPTION_KEY_PATH",
        "QUEUESERVER_ENCRYPTION_KEYFILE",
        "QUEUESERVER_ENCRYPTION_MODE",
        "QUEUESERVER_ENCRYPTION_PASSWORD",
        "QUEUESERVER_ENCRYPT",
        "QUEUESERVER_KEY",
        "QUEUESERVER_KEY_FILE",
        "QUEUESERVER_KEYS",
        "QUEUESERVER_KEYRING",
        "QUEUESERVER_MASTER_KEY",
        "QUEUESERVER_KMS_SECRET_KEY",
    ],
)
def test_similar_variable_that_nothing_reads_is_rejected(name: str) -> None:
    assert error({}, {name: OLD}) == (
        f"{name} is not a variable of the server; those of encryption are "
        f"QUEUESERVER_ENCRYPTION, {VARIABLE}, {VARIABLE}_COMMAND, {VARIABLE}_FILE"
    )


def test_variable_that_a_user_names_is_not_a_typing_error(tmp_path: Path) -> None:
    keys = "[{ id = 'AKALICE', secret_env = 'QUEUESERVER_KEY_ALICE' }]"
    file = write(tmp_path / "queueserver.toml", f"[users.alice]\nkeys = {keys}")
    environment = {"QUEUESERVER_KEY_ALICE": "the-secret-of-this-test"}
    assert len(load({"config": str(file)}, environment).users) == 1


def test_missing_package_is_reported_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    assert error({}, KEYS) == (
        f"{VARIABLE}: encryption needs the package cryptography: pip install cryptography"
    )
    assert load({}, {}).keyring is None


def test_keys_are_not_shown_by_the_configuration_nor_by_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, OLD)
    config = load({}, {VARIABLE: OLD})
    assert config.keyring is not None
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = "".join(capsys.readouterr().out.split())
    assert VARIABLE in shown
    check_no_secrets(f"{config!r} {config} {config.keyring!r} {config.keyring.first!r} {shown}")


def test_database_and_keys_are_read_without_the_files_of_users(tmp_path: Path) -> None:
    file = write(
        tmp_path / "queueserver.toml",
        "database = 'sqlite://'\nencryption = 'always'\n"
        "[users.alice]\nkeys = [{ id = 'AKALICE', secret_file = '/nowhere/secret' }]\n",
    )
    database, keyring = load_encryption({"config": str(file)}, KEYS)
    assert (database, keyring) == ("sqlite://", load({}, KEYS).keyring)
    assert load_encryption({"config": str(file)}, {}) == ("sqlite://", None)


# Reload


@pytest.mark.parametrize("source", ["encryption_key_file", "encryption_key_command"])
def test_changed_file_is_read_again_and_needs_no_restart(source: str, tmp_path: Path) -> None:
    path = write(tmp_path / "keys", OLD)
    flags = {source: str(path) if source.endswith("file") else f"cat {path}"}
    before = load(flags, {})
    assert load(flags, {}) == before
    write(path, f"{NEW}\n{OLD}\n")
    after = load(flags, {})
    assert before.keyring is not None
    assert before.keyring.ids == [key_id("main", 1)]
    assert after.keyring is not None
    assert after.keyring.ids == [key_id("main", 2), key_id("main", 1)]
    assert changed_settings(before, after) == []


def test_keys_that_come_from_another_source_need_no_restart(tmp_path: Path) -> None:
    path = str(write(tmp_path / "keys", NEW))
    for flags in ({"encryption_key_file": path}, {"encryption_key_command": f"cat {path}"}):
        assert changed_settings(load({}, KEYS), load(flags, {})) == []


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        pytest.param({"encryption": "always"}, KEYS, id="another mode"),
        pytest.param({}, {}, id="no keys"),
    ],
)
def test_changed_mode_needs_a_restart(flags: dict[str, str], environment: dict[str, str]) -> None:
    assert changed_settings(load({}, KEYS), load(flags, environment)) == ["encryption"]
