"""The encryption of queues: which attributes and modes encrypt, and KMS's errors on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueserver.encryption.key_ids import key_name
from queueserver.encryption.modes import EncryptionMode
from queueserver.encryption.queue_encryption import QueueEncryption, SendEncryption
from queueserver.rules.attributes import parse_stored
from queueserver.start_errors import ConfigError
from storage.encryption.data_keys import DataKeyRule
from storage.encryption.keyring import Keyring
from storage.queue_settings import QueueName
from tests.clock import ManualClock
from tests.encryption.encrypted_client import MAIN, OTHER
from tests.encryption.encrypting_server import KEYS, EncryptingServer, bodies

KEYRING = Keyring([MAIN, OTHER])
NAME = QueueName("000000000000", "us-east-1", "orders")
KEYS_ARN = "arn:aws:kms:us-east-1:000000000000:"
DAY_MS = 86_400_000
OF_SQS = SendEncryption(DataKeyRule(None, DAY_MS))
OF_KMS = SendEncryption(DataKeyRule("other", 300_000))
CLEAR = SendEncryption()
REJECTED = SendEncryption(
    error="The queue has neither SqsManagedSseEnabled nor a KmsMasterKeyId, and this server "
    "accepts only messages that it encrypts."
)
UNKNOWN = SendEncryption(error="Invalid keyId 'unknown'")

DEFAULT: dict[str, str] = {}
MANAGED = {"SqsManagedSseEnabled": "true"}
NO_SSE = {"SqsManagedSseEnabled": "false"}
KMS = {"SqsManagedSseEnabled": "false", "KmsMasterKeyId": "other"}
UNKNOWN_KMS = {"SqsManagedSseEnabled": "false", "KmsMasterKeyId": "unknown"}

MODES = {
    "on": (OF_SQS, OF_SQS, CLEAR, OF_KMS, UNKNOWN),
    "always": (OF_SQS, OF_SQS, OF_SQS, OF_KMS, UNKNOWN),
    "required": (OF_SQS, OF_SQS, REJECTED, OF_KMS, UNKNOWN),
    "off": (CLEAR,) * 5,
}


@pytest.mark.parametrize("mode", MODES)
def test_mode_and_attributes_decide(mode: str) -> None:
    encryption = QueueEncryption(EncryptionMode(mode), KEYRING)
    queues = (DEFAULT, MANAGED, NO_SSE, KMS, UNKNOWN_KMS)
    assert tuple(encryption.of(NAME, parse_stored(queue)) for queue in queues) == MODES[mode]


def test_reuse_period_of_the_queue_is_that_of_its_data_keys() -> None:
    encryption = QueueEncryption(EncryptionMode.ON, KEYRING)
    queue = {**KMS, "KmsDataKeyReusePeriodSeconds": "60"}
    assert encryption.of(NAME, parse_stored(queue)).rule == DataKeyRule("other", 60_000)


@pytest.mark.parametrize(
    ("key_id", "name"),
    [
        ("other", "other"),
        ("alias/other", "other"),
        (f"{KEYS_ARN}key/other", "other"),
        (f"{KEYS_ARN}alias/other", "other"),
        ("arn:aws-cn:kms:cn-north-1:123456789012:key/a/b", "a/b"),
        ("alias/aws/sqs", None),
        (f"{KEYS_ARN}alias/aws/sqs", None),
        ("alias/aws/other", "aws/other"),
        (
            "arn:aws:sqs:us-east-1:000000000000:key/other",
            "arn:aws:sqs:us-east-1:000000000000:key/other",
        ),
    ],
)
def test_key_id_means_a_name_of_the_keyring(key_id: str, name: str | None) -> None:
    assert key_name(key_id) == name


UUID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MULTI_REGION = "mrk-1234abcd12ab34cd56ef1234567890ab"
NOT_FOUND = {
    "unknown": "Invalid keyId 'unknown'",
    UUID: f"Key '{KEYS_ARN}key/{UUID}' does not exist",
    MULTI_REGION: f"Key '{KEYS_ARN}key/{MULTI_REGION}' does not exist",
    "alias/unknown": f"Alias {KEYS_ARN}alias/unknown is not found.",
    f"{KEYS_ARN}key/unknown": f"Key '{KEYS_ARN}key/unknown' does not exist",
    "arn:aws:kms:eu-west-1:1:alias/x": "Alias arn:aws:kms:eu-west-1:1:alias/x is not found.",
}


@pytest.fixture
def server(sqlite: str) -> Iterator[EncryptingServer]:
    """Yield a server with the master keys `first` and `other`."""
    with contextlib.closing(EncryptingServer(sqlite, ManualClock())) as server:
        yield server


@pytest.mark.parametrize("key_id", NOT_FOUND)
@pytest.mark.parametrize(
    ("protocol", "shape"), [("json", "com.amazonaws.sqs#KmsNotFound"), ("query", None)]
)
def test_send_to_a_queue_with_an_unknown_key_fails(
    server: EncryptingServer, key_id: str, protocol: str, shape: str | None
) -> None:
    server.create("q", KmsMasterKeyId=key_id)
    message = {"MessageBody": "x"}
    entries = [{"Id": "a", **message}]
    expected = (400, shape, "KMS.NotFoundException", NOT_FOUND[key_id])
    for _ in range(2):  # the second time without a task
        for error in (
            server.error("SendMessage", protocol, QueueUrl="q", **message),
            server.error("SendMessageBatch", protocol, QueueUrl="q", Entries=entries),
        ):
            assert error == expected
    assert server.receive("q") == []


def test_rules_of_a_message_come_before_the_error_of_its_key(server: EncryptingServer) -> None:
    server.create("q", KmsMasterKeyId="unknown")
    error = server.error("SendMessage", QueueUrl="q", MessageBody="x", DelaySeconds=901)
    assert "DelaySeconds" in error.text


def test_key_that_is_changed_to_a_known_one_is_used_at_once(server: EncryptingServer) -> None:
    server.create("q", KmsMasterKeyId="unknown")
    server.error("SendMessage", QueueUrl="q", MessageBody="x")
    attributes = {"KmsMasterKeyId": "alias/other"}
    server.call("SetQueueAttributes", QueueUrl="q", Attributes=attributes)
    server.send("q", "x")
    assert bodies(server.receive("q")) == ["x"]


def test_reload_with_the_missing_key_lets_sends_succeed_at_once(sqlite: str) -> None:
    keys = {"first": KEYS["first"]}
    with contextlib.closing(EncryptingServer(sqlite, ManualClock(), keys)) as server:
        server.create("q", KmsMasterKeyId="other")
        server.error("SendMessage", QueueUrl="q", MessageBody="x")
        server.reload(KEYS)
        server.send("q", "x")
        assert bodies(server.receive("q")) == ["x"]


def test_reload_without_a_needed_key_is_rejected_and_changes_nothing(
    server: EncryptingServer,
) -> None:
    server.create("q")
    server.send("q", "before")
    with pytest.raises(ConfigError, match=r"'first' .* is not among the configured keys"):
        server.reload({"other": KEYS["other"]})
    server.send("q", "after")
    assert bodies(server.receive("q")) == ["before", "after"]


def test_message_is_not_in_the_file_and_comes_back_whole(
    sqlite: str, server: EncryptingServer
) -> None:
    server.create("q")
    attributes = {"color": {"DataType": "String", "StringValue": "ultramarine"}}
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    body = "attack at dawn \N{HIGH VOLTAGE SIGN}"
    system = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
    sent = server.call(
        "SendMessage",
        QueueUrl="q",
        MessageBody=body,
        MessageAttributes=attributes,
        MessageSystemAttributes=system,
    )
    (message,) = server.receive("q")
    assert (message["Body"], message["MessageAttributes"]) == (body, attributes)
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["AWSTraceHeader"] == trace
    server.close()
    content = Path(sqlite.removeprefix("sqlite:///")).read_bytes()
    for text in ("attack at dawn", "ultramarine", "5759e988", sent["MD5OfMessageBody"]):
        assert text.encode() not in content


def test_queue_without_encryption_is_rejected_if_it_is_required(sqlite: str) -> None:
    mode = EncryptionMode.REQUIRED
    with contextlib.closing(EncryptingServer(sqlite, ManualClock(), mode=mode)) as server:
        server.create("q", SqsManagedSseEnabled="false")
        error = server.error("SendMessage", QueueUrl="q", MessageBody="x")
        assert (error.code, error.text) == ("KMS.NotFoundException", REJECTED.error)
        attributes = {"SqsManagedSseEnabled": "true"}
        server.call("SetQueueAttributes", QueueUrl="q", Attributes=attributes)
        server.send("q", "x")
        assert bodies(server.receive("q")) == ["x"]


def test_message_in_clear_is_readable_after_encryption_is_turned_on_and_off(sqlite: str) -> None:
    clock = ManualClock()
    for mode in (EncryptionMode.OFF, EncryptionMode.ON, EncryptionMode.OFF):
        with contextlib.closing(EncryptingServer(sqlite, clock, mode=mode)) as server:
            server.create("q")
            server.send("q", mode.value)
    with contextlib.closing(EncryptingServer(sqlite, clock)) as server:
        assert bodies(server.receive("q")) == ["off", "on", "off"]
