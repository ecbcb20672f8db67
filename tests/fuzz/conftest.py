"""The number of random inputs: 150 per test, or 10,000 if QUEUESERVER_FUZZ is `long`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SUPPRESSED = [
    HealthCheck.too_slow,
    HealthCheck.function_scoped_fixture,
    HealthCheck.data_too_large,
]

settings.register_profile(
    "short",
    max_examples=150,
    # Hypothesis would measure wall time; `time_limit` measures processor time.
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=_SUPPRESSED,
)
settings.register_profile(
    "long",
    max_examples=10_000,
    # Hypothesis would measure wall time; `time_limit` measures processor time.
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=_SUPPRESSED,
)
settings.load_profile(os.environ.get("QUEUESERVER_FUZZ", "short"))
