"""How much is tried: `QUEUESERVER_FUZZ=long python -m pytest tests/fuzz` tries far more."""

from __future__ import annotations

import os
from datetime import timedelta

from hypothesis import HealthCheck, settings

# Whatever is sent, the answer is there within this time.
_DEADLINE = timedelta(seconds=2)
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]

settings.register_profile(
    "short",
    max_examples=150,
    deadline=_DEADLINE,
    derandomize=True,
    database=None,
    suppress_health_check=_SLOW,
)
settings.register_profile(
    "long",
    max_examples=10_000,
    deadline=_DEADLINE,
    database=None,
    print_blob=True,
    suppress_health_check=_SLOW,
)
settings.load_profile(os.environ.get("QUEUESERVER_FUZZ", "short"))
