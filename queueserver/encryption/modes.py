"""The mode of encryption at rest."""

from __future__ import annotations

import enum


class EncryptionMode(enum.Enum):
    """Which messages are encrypted when they are sent; the values are those of `--encryption`.

    In every mode, the keys decrypt all messages that were encrypted before.
    """

    ON = "on"
    """Messages to queues with SqsManagedSseEnabled (AWS's default) or a KmsMasterKeyId."""
    ALWAYS = "always"
    """Messages to all queues."""
    REQUIRED = "required"
    """The same messages as `ON`; sends to other queues are rejected."""
    OFF = "off"
    """No messages."""
