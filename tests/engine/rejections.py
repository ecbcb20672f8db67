"""Databases that the server must reject when it opens them."""

from __future__ import annotations

import pytest

from storage.database import Database
from storage.errors import DatabaseUnusable
from tests.clock import ManualClock
from tests.engine.recorder import recording_settings


async def rejection(url: str) -> str:
    """Open a database that the server must reject; return the reason, which is one line."""
    with pytest.raises(DatabaseUnusable) as rejected:
        await Database.open(url, ManualClock(), engine_settings=recording_settings())
    text = str(rejected.value)
    assert text
    assert "\n" not in text
    return text
