"""The mode of encryption at rest."""

from __future__ import annotations

import enum


class EncryptionMode(enum.Enum):
    """Which messages are encrypted when they are sent; the values are those of `--encryption`.

    In every mode, the keys decrypt all messages that were encrypted before.
    """

    ON = "on"
    """Those of queues with SqsManagedSseEnabled (AWS's default) or a KmsMasterKeyId."""
    ALWAYS = "always"
    """Those of all queues."""
    REQUIRED = "required"
    """As `ON`; a send to any other queue is rejected."""
    OFF = "off"
    """None."""
