"""The encryption of queues: which queues encrypt their messages, and with which master key."""

from __future__ import annotations

import logging
from typing import NamedTuple

from queueserver.encryption.key_ids import key_name, not_found_text
from queueserver.encryption.modes import EncryptionMode
from queueserver.rules.attributes import Attributes
from storage.encryption.data_keys import DataKeyRule
from storage.encryption.keyring import Keyring
from storage.queue_settings import QueueName

log = logging.getLogger(__name__)

_MANAGED_REUSE_MS = 24 * 3600 * 1000
"""Time for which a data key encrypts in a queue without KmsMasterKeyId. AWS documents none."""

_NOT_ENCRYPTED = (
    "The queue has neither SqsManagedSseEnabled nor a KmsMasterKeyId, and this server accepts only "
    "messages that it encrypts."
)


class SendEncryption(NamedTuple):
    """The encryption of new messages of a queue, or the error that rejects them.

    Attributes:
        rule: the rule for their data keys, or None to leave them in clear.
        error: the text of KmsNotFound with which sends fail, or None.
    """

    rule: DataKeyRule | None = None
    error: str | None = None


IN_CLEAR = SendEncryption()


class QueueEncryption:
    """Decides for each queue how its messages are encrypted."""

    def __init__(self, mode: EncryptionMode, keyring: Keyring | None) -> None:
        self._mode = mode
        self._keyring = keyring
        self._has_logged = False

    def of(
        self, name: QueueName, attributes: Attributes, *, is_asked_for: bool = False
    ) -> SendEncryption:
        """Return the encryption of new messages of a queue with these attributes.

        `is_asked_for` says that a client has set one of the attributes of encryption.

        AWS: a queue has SSE with a key of KMS, SSE with a key that SQS manages, or none. SQS looks
        up a KmsMasterKeyId when a message is sent, not when the attribute is set.
        """
        if self._mode is EncryptionMode.OFF or self._keyring is None:
            if is_asked_for:
                self._log_once(name, attributes)
            return IN_CLEAR
        key_id = attributes.kms_master_key_id
        if key_id is not None:
            named = key_name(key_id)
            if self._keyring.named(named) is None:
                return SendEncryption(error=not_found_text(key_id, name.region, name.account))
            reuse_ms = attributes.kms_data_key_reuse_period_seconds * 1000
            return SendEncryption(DataKeyRule(named, reuse_ms))
        if attributes.sqs_managed_sse_enabled or self._mode is EncryptionMode.ALWAYS:
            return SendEncryption(DataKeyRule(None, _MANAGED_REUSE_MS))
        is_required = self._mode is EncryptionMode.REQUIRED
        return SendEncryption(error=_NOT_ENCRYPTED) if is_required else IN_CLEAR

    def _log_once(self, name: QueueName, attributes: Attributes) -> None:
        """Log the first queue for which encryption was asked in vain."""
        asks = attributes.kms_master_key_id is not None or attributes.sqs_managed_sse_enabled
        if self._has_logged or not asks:
            return
        self._has_logged = True
        log.info(
            "encryption is off: messages are stored in clear, also in queues for which "
            "SqsManagedSseEnabled or KmsMasterKeyId was set; to turn it on, see "
            "--encryption-key-file: first queue=%s",
            name.name,
        )


NO_ENCRYPTION = QueueEncryption(EncryptionMode.OFF, None)
"""Leaves the messages of every queue in clear."""
