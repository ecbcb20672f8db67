"""Access control that is off, for tests of other things."""

from __future__ import annotations

from queueserver.access.modes import AccessMode

from queueserver.access.authorizer import Authorizer

ACCESS_OFF = Authorizer(AccessMode.OFF)
