"""Secrets: their form, the files that have them, and that they are never shown."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import msgspec
import pytest

from queueserver.access.secrets import Secret, parse_secret
from tests.access.user_files import SECRET, UserFiles, key, user

SIZE = len(SECRET)
LOOSE = (
    "the file has mode {mode}, which gives its group or others access: change it to 0600 or 0400, "
    "or set --loose-secret-files"
)
DOCUMENT = user("alice", keys=key("AKALICE", "secret_file = 'file'"))
PLACE = "users.alice.keys[0].secret_file"


def secret_of(files: UserFiles, document: str = DOCUMENT) -> bytes:
    """Return the secret of the key AKALICE."""
    access_key = files.load(document).users.find("AKALICE")
    assert access_key is not None
    return access_key.secret


def contains(what: str, place: int, length: int) -> str:
    """Return the error for a secret with a character that is not allowed."""
    return f"the secret contains {what}, at position {place} of {length}"


@pytest.mark.parametrize("text", ["a" * 16, "a" * 256, "".join(map(chr, range(0x21, 0x7F)))])
def test_secret_has_printable_characters(text: str) -> None:
    assert parse_secret(text).reveal() == text.encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("", "the secret is empty", id="empty"),
        pytest.param("\n", "the secret is empty", id="newline alone"),
        pytest.param(
            f"{SECRET}\n\n", contains("a line break", SIZE + 1, SIZE + 1), id="two newlines"
        ),
        pytest.param(f" {SECRET}", contains("a space", 1, SIZE + 1), id="space before"),
        pytest.param(f"{SECRET} \n", contains("a space", SIZE + 1, SIZE + 1), id="space after"),
        pytest.param(f"{SECRET}\t", contains("a tab", SIZE + 1, SIZE + 1), id="tab"),
        pytest.param(
            f"{SECRET}\n{SECRET}", contains("a line break", SIZE + 1, 2 * SIZE + 1), id="two lines"
        ),
        pytest.param(
            f"{SECRET}\r", contains("a line break", SIZE + 1, SIZE + 1), id="carriage return alone"
        ),
        pytest.param(
            f"{SECRET}\0", contains("a control character", SIZE + 1, SIZE + 1), id="null character"
        ),
        pytest.param(
            f"{SECRET}é",
            contains("a character that is not ASCII", SIZE + 1, SIZE + 1),
            id="character beyond ASCII",
        ),
        pytest.param(
            f"\ufeff{SECRET}",
            "the secret begins with a byte order mark: save it without one",
            id="byte order mark",
        ),
        pytest.param("a", "the secret has 1 character, 16 to 256 are needed", id="one character"),
        pytest.param(
            "a" * 15, "the secret has 15 characters, 16 to 256 are needed", id="too short"
        ),
        pytest.param(
            "a" * 257, "the secret has 257 characters, 16 to 256 are needed", id="too long"
        ),
        pytest.param("a" * 4_097, "the file has more than 4096 bytes", id="another file"),
        pytest.param(SECRET.encode() + b"\xff", "the file is not UTF-8", id="not text"),
    ],
)
def test_content_of_a_file_that_is_no_secret_is_rejected(
    content: str | bytes, reason: str, files: UserFiles
) -> None:
    files.write("file", content)
    assert files.error(DOCUMENT) == f"{PLACE}: {reason}"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_final_newline_of_a_file_is_not_a_part_of_the_secret(ending: str, files: UserFiles) -> None:
    files.write("file", SECRET + ending)
    assert secret_of(files) == SECRET.encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(f"{SECRET} ", contains("a space", SIZE + 1, SIZE + 1), id="space"),
        pytest.param(f"{SECRET}\n", contains("a line break", SIZE + 1, SIZE + 1), id="newline"),
        pytest.param("short", "the secret has 5 characters, 16 to 256 are needed", id="short"),
    ],
)
def test_variable_that_is_no_secret_is_rejected(value: str, reason: str, files: UserFiles) -> None:
    document = user("alice", keys=key("AKALICE", "secret_env = 'ALICE'"))
    line = files.error(document, {"ALICE": value})
    assert line == f"users.alice.keys[0].secret_env: {reason}"


# Files


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700], ids=oct)
def test_private_file_is_read(mode: int, files: UserFiles) -> None:
    files.write("file", SECRET, mode)
    assert secret_of(files) == SECRET.encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666], ids=oct)
def test_file_that_others_can_access_is_rejected_unless_a_setting_allows_it(
    mode: int, files: UserFiles
) -> None:
    files.write("file", SECRET, mode)
    assert files.error(DOCUMENT) == f"{PLACE}: {LOOSE.format(mode=f'{mode:04o}')}"
    assert secret_of(files, f"loose_secret_files = true\n{DOCUMENT}") == SECRET.encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_file_without_permission_is_rejected(files: UserFiles) -> None:
    files.write("file", SECRET, 0o000)
    assert files.error(DOCUMENT) == f"{PLACE}: cannot read the file: Permission denied"


def test_named_pipe_does_not_block_the_start(files: UserFiles) -> None:
    os.mkfifo(files.folder / "file", 0o600)
    assert files.error(DOCUMENT) == f"{PLACE}: not a regular file"


def test_symbolic_link_is_followed_to_its_present_target(files: UserFiles) -> None:
    """Swap a link as Kubernetes does when a mounted secret changes."""
    link, folders = files.folder / "file", [files.folder / name for name in ("one", "two")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        files.write(f"{folder.name}/secret", f"{SECRET}-{number}")
    (files.folder / "data").symlink_to("one")
    link.symlink_to("data/secret")
    assert secret_of(files) == f"{SECRET}-0".encode()
    (files.folder / "next").symlink_to("two")
    (files.folder / "next").rename(files.folder / "data")
    assert secret_of(files) == f"{SECRET}-1".encode()


def test_mode_of_a_linked_file_is_that_of_its_target(files: UserFiles) -> None:
    files.write("target", SECRET, 0o644)
    (files.folder / "file").symlink_to("target")
    assert files.error(DOCUMENT) == f"{PLACE}: {LOOSE.format(mode='0644')}"


def test_path_with_a_null_character_is_rejected(files: UserFiles) -> None:
    document = '[users.alice]\nkeys = [{ id = "AKALICE", secret_file = "a\\u0000b" }]'
    assert files.error(document) == f"{PLACE}: embedded null byte"


def test_relative_path_is_relative_to_the_configuration_file(
    files: UserFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("file", SECRET)
    (files.folder / "elsewhere").mkdir()
    monkeypatch.chdir(files.folder / "elsewhere")
    assert secret_of(files) == SECRET.encode()


# Representations


def test_secret_is_shown_as_stars() -> None:
    secret = Secret(SECRET.encode())
    assert f"{secret} {secret!r} {[secret]} %s" % secret == "*** *** [***] ***"


def test_secret_cannot_be_serialized() -> None:
    secret = Secret(SECRET.encode())
    for serialize in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError) as caught:
            serialize(secret)
        assert SECRET not in str(caught.value)


def test_equal_secrets_are_equal() -> None:
    one, same, other = Secret(b"a" * 16), Secret(b"a" * 16), Secret(b"b" * 16)
    assert one == same != other
    assert len({one, same, other}) == 2
    assert one != b"a" * 16


def test_file_is_closed_also_after_an_error(files: UserFiles) -> None:
    (files.folder / "file").mkdir()
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        files.error(DOCUMENT)
    assert len(list(Path("/dev/fd").iterdir())) == before
