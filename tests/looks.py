"""Looking again and again whether something has come about."""

from __future__ import annotations

import time
from collections.abc import Iterator

PATIENCE_SECONDS = 30
"""How long a test waits for what must come about: only a failure ever takes so long."""


def looks() -> Iterator[None]:
    """Give a turn to look, as often as there is time for; where disks are slow, looking is not."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        yield
