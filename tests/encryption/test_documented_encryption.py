"""The page about encryption: its tables, texts, examples and numbers are those of the code."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from queueserver.config import load
from queueserver.encryption import key_command, queue_encryption
from queueserver.encryption import new_key as new_key_lines
from queueserver.encryption.key_ids import key_name, not_found_text
from queueserver.encryption.key_texts import NAME_RULE, parse_keys
from queueserver.encryption.modes import EncryptionMode
from queueserver.encryption.queue_encryption import QueueEncryption
from queueserver.rules import limits
from queueserver.rules.attributes import parse_stored
from queueserver.settings import SETTINGS
from queueserver.start_errors import ConfigError
from storage.encryption import aead, data_keys, unused_data_keys
from storage.encryption.keyring import Keyring
from tests.api.server_process import ServerProcess, environment
from tests.api.sqs_clients import Clients, json_client, open_clients
from tests.encryption.contents_at_rest import IS_ENCRYPTED, STAYS_CLEAR
from tests.encryption.documented_commands import (
    BLOCKS,
    KEY_FILE,
    PAGE,
    DocumentedCommands,
    shown,
    step,
    wait_for_line,
)
from tests.encryption.encrypted_client import MAIN, OTHER
from tests.encryption.key_commands import new_key
from tests.encryption.key_configuration import write
from tests.encryption.stored_rows import stored_rows
from tests.encryption.test_queue_encryption import DEFAULT, KMS, NAME, NO_SSE
from tests.markdown import code_blocks


def table(header: str) -> list[list[str]]:
    """Return the cells of the only table whose first row begins so, without that row."""
    _, found, rest = PAGE.partition(f"\n| {header}")
    assert found
    assert f"\n| {header}" not in rest
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code_of(cell: str) -> str:
    """Return the first code span of a cell."""
    return cell.split("`")[1]


# Tables


def test_table_lists_all_that_stays_in_clear() -> None:
    assert [name for name, _ in table("stays in clear")] == list(STAYS_CLEAR)


def test_table_of_what_is_encrypted_covers_the_encrypted_columns() -> None:
    stored = dict(table("contents | in the database"))
    assert set(IS_ENCRYPTED) == {
        "bodies.body", "bodies.envelope", "deduplications.key", "data_keys.wrapped"
    }  # fmt: skip
    together = [contents for contents, how in stored.items() if "with the body" in how]
    assert len(together) == 4
    assert stored["bodies"] == "encrypted"
    assert stored["deduplication IDs, of clients and of contents"].startswith("keyed digests")


def test_table_of_modes_is_that_of_the_code() -> None:
    keyring = Keyring([MAIN, OTHER])
    shown_modes = {}
    for mode, *cells in table("`--encryption` |"):
        name = code_of(mode)
        encryption = QueueEncryption(EncryptionMode(name), keyring)
        shown_modes[name] = cells
        for attributes, cell in zip((DEFAULT, NO_SSE, KMS), cells, strict=True):
            rule, error = encryption.of(NAME, parse_stored(attributes))
            if error is not None:
                assert cell == "rejected"
            elif rule is None:
                assert cell == "in clear"
            else:
                assert cell == ("first key" if rule.named_key is None else "named key")
    assert list(shown_modes) == [mode.value for mode in EncryptionMode]


def test_table_of_key_ids_is_that_of_the_code() -> None:
    rows = table("`KmsMasterKeyId` | key |")
    assert len(rows) == 6
    for key_id, key in rows:
        name = key_name(code_of(key_id))
        assert key == ("the first key" if name is None else f"the one named `{name}`")


def test_table_of_error_texts_is_that_of_the_code() -> None:
    rows = table("`KmsMasterKeyId` | text |")
    assert len(rows) == 4
    for key_id, text in rows:
        assert not_found_text(code_of(key_id), NAME.region, NAME.account) == text.strip("`")


def test_table_of_sources_names_their_settings() -> None:
    names = re.findall(r"`([^`]+)`", " ".join(source for source, _ in table("source | for |")))
    settings = [each for each in SETTINGS if each.name.startswith("encryption_key")]
    flags = {name for each in settings for name in (each.flag, each.variable)}
    assert set(names) == {*flags, "QUEUESERVER_ENCRYPTION_KEY"}


def test_error_of_required_mode_is_shown() -> None:
    assert shown("accepts only messages") == f"{queue_encryption._NOT_ENCRYPTED}\n"


# Numbers


HOUR_MS = 3_600_000
MANAGED_MS = queue_encryption._MANAGED_REUSE_MS
GRACE_MS = unused_data_keys._GRACE_MS
RECORD = data_keys.DataKey(1, bytes(32)).encrypt(1, b"", "body", b"envelope")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("queues without `KmsMasterKeyId`, this is after {} hours", [MANAGED_MS // HOUR_MS]),
        (
            "frees each one {} hours after it was made at the earliest",
            [(MANAGED_MS + GRACE_MS) // HOUR_MS],
        ),
        (
            "`KmsDataKeyReusePeriodSeconds` ({} to {:,}, by default {})",
            [
                limits.MINIMUM_KMS_REUSE_SECONDS,
                limits.MAXIMUM_KMS_REUSE_SECONDS,
                parse_stored({}).kms_data_key_reuse_period_seconds,
            ],
        ),
        ("for at most {:g} seconds", [key_command.TIMEOUT_SECONDS]),
        ("after 2^{:g} messages", [math.log2(data_keys._MESSAGES_OF_A_KEY)]),
        ("record is {} bytes longer than its content", [len(RECORD) - len("bodyenvelope")]),
        ("a random nonce of {} bits", [8 * aead._NONCE_BYTES]),
        ("with {} random bytes as base64", [aead.KEY_BYTES]),
    ],
)
def test_numbers_of_the_page_are_those_of_the_code(text: str, values: list[float]) -> None:
    assert text.format(*values) in " ".join(PAGE.split())


def test_unused_data_key_is_freed_after_an_hour() -> None:
    assert "an hour after the end of `KmsDataKeyReusePeriodSeconds`" in " ".join(PAGE.split())
    assert GRACE_MS == HOUR_MS


def test_each_key_of_the_page_has_one_fingerprint() -> None:
    named = set(re.findall(r"'(key-\d+)' \(fingerprint ([0-9a-f]{16})\)", PAGE))
    assert len(named) == len(dict(named)) == 2


# Examples


def test_text_of_keys_can_be_read() -> None:
    (example,) = (text for _, text in BLOCKS if text.startswith("# The new key"))
    assert [key.id.name for key in parse_keys(example)] == ["key-2027", "key-2026"]
    assert "1 to 128 letters, digits and characters of ._/-" in NAME_RULE
    assert "128 letters, digits and characters of `._/-`" in " ".join(PAGE.split())


def test_new_key_is_printed_as_a_line_and_as_the_variable() -> None:
    assert "prints a new key as a line of a file and as this variable" in " ".join(PAGE.split())
    lines = new_key_lines.make(None, None).splitlines()
    (variable,) = (line for line in lines if line.startswith("QUEUESERVER_ENCRYPTION_KEY="))
    assert variable.partition("=")[2] in lines


@pytest.mark.parametrize("program", ["vault", "aws"])
def test_command_that_prints_keys_is_run_as_documented(program: str, tmp_path: Path) -> None:
    commands = DocumentedCommands(tmp_path)
    lines = step(f'"{program} ').command.splitlines()
    (line,) = (line for line in lines if f'"{program} ' in line)
    _, flag, given = shlex.split(line)
    commands.add_program(program, f'echo "$0 $@" > arguments; echo {new_key("stored")}')
    with commands.start(flag, given) as server:
        wait_for_line(server, "encryption is on: keys: 'stored'")
    arguments = (tmp_path / "arguments").read_text()
    assert arguments.partition(" ")[2].split() == given.split()[1:]


def test_compose_file_names_settings_and_the_file_of_its_secret() -> None:
    (compose,) = code_blocks(PAGE, "yaml")
    ((variable, name),) = re.findall(r"(QUEUESERVER_\w+): /run/secrets/(\w+)", compose)
    assert variable in {setting.variable for setting in SETTINGS}
    assert compose.count(name) == 3
    assert f"\nsecrets:\n  {name}:\n    file: ./keys\n" in compose


@pytest.fixture(scope="module")
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    with open_clients(request.config) as clients:
        yield clients


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server with one key."""
    write(tmp_path / "keys", new_key("key-2026"))
    with ServerProcess(*KEY_FILE, directory=tmp_path) as server:
        yield server


def test_example_of_a_queue_with_a_named_key_works_when_it_is_pasted(
    server: ServerProcess, clients: Clients
) -> None:
    (example,) = code_blocks(PAGE, "python")
    pasted = example.replace("http://127.0.0.1:9324", server.url)
    settings = {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    subprocess.run(
        [sys.executable, "-c", pasted], check=True, timeout=60, env=environment(**settings)
    )
    sqs = json_client(clients, server.url)
    with pytest.raises(sqs.exceptions.KmsNotFound) as caught:
        sqs.send_message(QueueUrl="payments", MessageBody="x")
    assert caught.value.response["Error"]["Code"] == "KMS.NotFoundException"
    text = not_found_text("alias/payments", NAME.region, NAME.account)
    assert text in str(caught.value)
    assert text in PAGE


# Failures


def test_damaged_message_has_the_documented_error_and_line(
    server: ServerProcess, clients: Clients, tmp_path: Path
) -> None:
    sqs = json_client(clients, server.url)
    sqs.create_queue(QueueName="orders")
    sqs.send_message(QueueUrl="orders", MessageBody="x")
    with stored_rows(f"sqlite:///{tmp_path}/queueserver.db") as rows:
        rows.run("UPDATE bodies SET envelope = zeroblob(length(envelope))")
    with pytest.raises(ClientError) as caught:
        sqs.receive_message(QueueUrl="orders")
    error = caught.value.response["Error"]["Code"]
    assert [row for row in table("what happens") if row[1].startswith(f"`{error}` (500)")]
    wait_for_line(server, shown("an encrypted content was changed"))


def test_other_key_of_the_same_name_is_rejected_as_documented(
    server: ServerProcess, tmp_path: Path
) -> None:
    assert server.stop()[0] == 0
    write(tmp_path / "keys", new_key("key-2026"))
    error = DocumentedCommands(tmp_path).error(*KEY_FILE)
    assert error == shown("and the key of this name that is configured")


@pytest.mark.parametrize("mode", EncryptionMode)
def test_modes_that_need_a_key_are_those_of_the_page(mode: EncryptionMode) -> None:
    (sentence,) = re.findall(r"\n(.*) need a key: else the server does not start", PAGE)
    if f"`{mode.value}`" in sentence:
        with pytest.raises(ConfigError, match="needs a key"):
            load({"encryption": mode.value}, {})
    else:
        assert load({"encryption": mode.value}, {}).encryption is mode is EncryptionMode.OFF
