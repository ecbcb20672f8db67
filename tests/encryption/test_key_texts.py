"""The text form of keys is the same in a file, in the variable and in what a command prints."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from queueserver.config import load
from storage.encryption.keyring import KeyId, Keyring
from tests.encryption.key_configuration import (
    COMMAND,
    FILE,
    NEW,
    OLD,
    VARIABLE,
    encoded,
    error,
    key_id,
    line_of,
    write,
)

NAMES = "a name has 1 to 128 letters, digits and characters of ._/- and does not begin with "
NAMES += "alias/ or arn:"
PASSPHRASE = "a passphrase is not a key, `queueserver keys new --encryption` makes one"
NOT_BASE64 = "the key is not base64 (44 letters, digits and characters of +/ with = at the end); "
NOT_BASE64 += PASSPHRASE
NO_KEY = "there is no key, `queueserver keys new --encryption` makes one"


def bytes_of(length: int) -> str:
    """Return bytes that are not text, as base64."""
    return base64.b64encode(bytes(length)).decode()


def keyring_of(flags: dict[str, str], environment: dict[str, str] | None = None) -> list[KeyId]:
    """Return the IDs of the configured keys."""
    keyring = load(flags, environment or {}).keyring
    assert isinstance(keyring, Keyring)
    return list(keyring.ids)


TEXTS = [
    pytest.param(OLD, [key_id("main", 1)], id="one key"),
    pytest.param(f"{OLD}\n", [key_id("main", 1)], id="newline at the end"),
    pytest.param(f"{OLD}\r\n", [key_id("main", 1)], id="Windows's line end"),
    pytest.param(
        f"{NEW}\n{OLD}\n", [key_id("main", 2), key_id("main", 1)], id="lines, one name twice"
    ),
    pytest.param(
        f"{NEW},{line_of('b', 3)}, {line_of('c', 4)}",
        [key_id("main", 2), key_id("b", 3), key_id("c", 4)],
        id="commas",
    ),
    pytest.param(
        f"# new\n{NEW}\n\n  # old, since 2025\n  {OLD}\n\n",
        [key_id("main", 2), key_id("main", 1)],
        id="comments and blank lines",
    ),
    pytest.param(
        f"{OLD}\n{line_of('b', 1)}",
        [key_id("main", 1), key_id("b", 1)],
        id="one key with two names",
    ),
    pytest.param(line_of("a1._/-Z", 1), [key_id("a1._/-Z", 1)], id="characters of a name"),
    pytest.param(line_of("n" * 128, 1), [key_id("n" * 128, 1)], id="long name"),
    pytest.param(line_of("aws/sqs", 1), [key_id("aws/sqs", 1)], id="name of AWS's key"),
]


@pytest.mark.parametrize(("text", "ids"), TEXTS)
def test_keys_are_read_in_their_order_from_each_source(
    text: str, ids: list[KeyId], tmp_path: Path
) -> None:
    path = str(write(tmp_path / "keys", text))
    assert keyring_of({"encryption_key_file": path}) == ids
    assert keyring_of({"encryption_key_command": f"cat {path}"}) == ids
    assert keyring_of({}, {VARIABLE: text}) == ids


MISTAKES = [
    pytest.param(f"\ufeff{OLD}", "the text begins with a byte order mark: save it without one"),
    pytest.param("# nothing else", NO_KEY),
    pytest.param("\n \n", NO_KEY),
    pytest.param("PASSPHRASE", f"key 1: it is not NAME:BASE64; {PASSPHRASE}"),
    pytest.param("PASSPHRASE of many words!", f"key 1: it is not NAME:BASE64; {PASSPHRASE}"),
    pytest.param(bytes_of(16), f"key 1: it is not NAME:BASE64; {PASSPHRASE}"),
    pytest.param(
        encoded(1), "key 1: the name is missing, write NAME:KEY, for example main:KEY", id="no name"
    ),
    pytest.param(f":{encoded(1)}", "key 1: the name before the colon is missing", id="empty name"),
    pytest.param(f"{encoded(1)}:main", f"key 1: {NAMES}", id="exchanged"),
    pytest.param("my PASSPHRASE: secret", f"key 1: {NAMES}"),
    pytest.param(line_of("n" * 129, 1), f"key 1: {NAMES}", id="name too long"),
    pytest.param(line_of("a b", 1), f"key 1: {NAMES}", id="space in a name"),
    pytest.param(line_of("é", 1), f"key 1: {NAMES}", id="not ASCII"),
    pytest.param(line_of("alias/main", 1), f"key 1: {NAMES}", id="alias"),
    pytest.param(line_of("arn:aws:kms:x:1:key/2", 1), f"key 1: {NAMES}", id="ARN"),
    pytest.param("main:", "key 1: the key after the colon is missing"),
    pytest.param("main:PASSPHRASE-of-mine", f"key 1: {NOT_BASE64}"),
    pytest.param(OLD.rstrip("="), f"key 1: {NOT_BASE64}", id="no padding"),
    pytest.param(f"{OLD}=", f"key 1: {NOT_BASE64}", id="more padding"),
    pytest.param(f"{OLD} # the key", f"key 1: {NOT_BASE64}", id="comment behind a key"),
    pytest.param(f"main:{encoded(1)[:10]} {encoded(1)[10:]}", f"key 1: {NOT_BASE64}", id="space"),
    pytest.param(
        f"main:{base64.urlsafe_b64encode(bytes([255]) * 32).decode()}",
        f"key 1: {NOT_BASE64}",
        id="the other alphabet",
    ),
    pytest.param(f"main:{'é' * 44}", f"key 1: {NOT_BASE64}"),
    pytest.param("main:QUFB", "key 1: the key has 3 bytes, 32 are needed"),
    pytest.param(f"main:{bytes_of(31)}", "key 1: the key has 31 bytes, 32 are needed"),
    pytest.param(f"main:{bytes_of(33)}", "key 1: the key has 33 bytes, 32 are needed"),
    pytest.param(f"main:{'0a' * 32}", "key 1: the key is hexadecimal, base64 is needed"),
    pytest.param(
        f"main:{base64.b64encode(b'this PASSPHRASE has 32 letters!!').decode()}",
        f"key 1: the key is base64 of text; {PASSPHRASE}",
        id="passphrase in base64",
    ),
    pytest.param(f"{OLD},", "key 2: there is nothing before or after a comma", id="comma at end"),
    pytest.param(f",{OLD}", "key 1: there is nothing before or after a comma", id="comma first"),
    pytest.param(
        f"{OLD},,{NEW}", "key 2: there is nothing before or after a comma", id="two commas"
    ),
    pytest.param(
        f"{OLD},{NEW},{OLD}", "key 3: the key is the same as key 1, remove one of them", id="again"
    ),
    pytest.param(
        f"# two keys\n{NEW},{OLD}\n\n{NEW}\n",
        "key 3 in line 4: the key is the same as key 1 in line 2, remove one of them",
        id="again in another line",
    ),
    pytest.param(
        f"# two keys\n{OLD}\n\nmain:QUFB\n",
        "key 2 in line 4: the key has 3 bytes, 32 are needed",
        id="line of the mistake",
    ),
]


@pytest.mark.parametrize(("text", "reason"), MISTAKES)
def test_mistake_has_the_same_line_for_each_source(text: str, reason: str, tmp_path: Path) -> None:
    path = str(write(tmp_path / "keys", text))
    assert error({"encryption_key_file": path}) == f"{FILE}: {reason}"
    assert error({"encryption_key_command": f"cat {path}"}) == f"{COMMAND}: {reason}"
    assert error({}, {VARIABLE: text}) == f"{VARIABLE}: {reason}"


def test_empty_variable_is_not_taken_for_an_unset_one() -> None:
    assert error({}, {VARIABLE: ""}) == f"{VARIABLE}: it is empty: give it a value or remove it"


FILE_MISTAKES = [
    pytest.param("", 0o600, NO_KEY, id="empty"),
    pytest.param(b"\xff", 0o600, "the file is not UTF-8", id="not UTF-8"),
    pytest.param("#" * 65_537, 0o600, "the file has more than 65536 bytes", id="long"),
    pytest.param(
        OLD,
        0o640,
        "the file has mode 0640, which gives its group or others access: change it to 0600 or "
        "0400, or set --loose-secret-files",
        id="not private",
    ),
]


@pytest.mark.parametrize(("content", "mode", "reason"), FILE_MISTAKES)
def test_file_that_cannot_be_used_is_rejected(
    content: str | bytes, mode: int, reason: str, tmp_path: Path
) -> None:
    path = str(write(tmp_path / "keys", content, mode))
    assert error({"encryption_key_file": path}) == f"{FILE}: {reason}"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda _: None, "cannot read the file: No such file or directory", id="none"),
        pytest.param(Path.mkdir, "cannot read the file: Is a directory", id="folder"),
        pytest.param(os.mkfifo, "not a regular file", id="named pipe"),
    ],
)
def test_path_that_is_no_file_is_rejected(
    make: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    make(path)
    assert error({"encryption_key_file": str(path)}) == f"{FILE}: {reason}"


@pytest.mark.parametrize("mode", [0o600, 0o400], ids=oct)
def test_private_file_is_read(mode: int, tmp_path: Path) -> None:
    path = str(write(tmp_path / "keys", OLD, mode))
    assert keyring_of({"encryption_key_file": path}) == [key_id("main", 1)]


def test_file_that_others_can_read_is_read_if_a_setting_allows_it(tmp_path: Path) -> None:
    path = str(write(tmp_path / "keys", OLD, 0o644))
    flags = {"encryption_key_file": path, "loose_secret_files": "true"}
    assert keyring_of(flags) == [key_id("main", 1)]


@pytest.mark.parametrize("text", [OLD, f"{OLD}\n{NEW}", f"{OLD}\0"], ids=["key", "keys", "null"])
def test_key_in_the_place_of_a_path_is_not_shown(text: str) -> None:
    assert error({"encryption_key_file": text}).startswith(f"{FILE}: ")
    assert error({}, {f"{VARIABLE}_FILE": text}).startswith(f"{VARIABLE}_FILE: ")
