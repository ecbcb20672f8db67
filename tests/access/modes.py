"""Access control that is off, for tests of other things."""

from __future__ import annotations

from queueserver.access.authorizer import Authorizer
from queueserver.access.modes import AccessMode
from queueserver.clock import real_seconds

ACCESS_OFF = Authorizer(AccessMode.OFF, real_seconds)
