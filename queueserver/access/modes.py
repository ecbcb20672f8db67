"""The mode of access control."""

from __future__ import annotations

import enum


class AccessMode(enum.Enum):
    """Whether requests are authenticated and authorized; the values are those of `--access`."""

    OFF = "off"
    """Every request is allowed, and no signature is verified."""
    LOG = "log"
    """Every request is allowed; a request that `ON` would reject is logged."""
    ON = "on"
    """A request needs a valid signature of a user, or a queue policy for anonymous callers."""
