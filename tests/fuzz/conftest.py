"""How much is tried: `QUEUESERVER_FUZZ=long python -m pytest tests/fuzz` tries far more."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]

settings.register_profile(
    "short",
    max_examples=150,
    # By the clock on the wall: a test looks itself at what time the processor takes.
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=_SLOW,
)
settings.register_profile(
    "long",
    max_examples=10_000,
    # By the clock on the wall: a test looks itself at what time the processor takes.
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=_SLOW,
)
settings.load_profile(os.environ.get("QUEUESERVER_FUZZ", "short"))
