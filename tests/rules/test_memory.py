"""Memory that nothing uses goes back to the system."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
from pathlib import Path
from queueserver.memory import give_back

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

burst = [bytes(10_000) for _ in range(5_000)]
full = resident_pages()
del burst[:-1]
before = resident_pages()
give_back()
print(full, before, resident_pages())
"""


def test_what_a_burst_took_is_given_back() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    full, before, after = map(int, ran.stdout.split())
    assert before > full * 0.9, "the C library gives it back by itself"
    assert after < before / 2
