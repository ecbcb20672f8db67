"""Memory that nothing uses goes back to the system."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio
from pathlib import Path
from queueserver import process_memory

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

async def wait_until_given_back(pages):
    giving_back = asyncio.create_task(process_memory.return_memory_regularly())
    while resident_pages() > pages:
        await asyncio.sleep(0)
    giving_back.cancel()

burst = [bytes(10_000) for _ in range(5_000)]
full = resident_pages()
del burst[:-1]
assert resident_pages() > full * 0.9, "the C library gives it back by itself"
process_memory._INTERVAL_SECONDS = 0
asyncio.run(wait_until_given_back(full / 2))
"""


def test_what_a_burst_took_is_given_back() -> None:
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True, timeout=60)
