"""The process returns unused memory to the system."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio
from pathlib import Path
from queueserver import process_memory

def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])

async def wait_until_returned(pages):
    returning = asyncio.create_task(process_memory.return_memory_regularly())
    while resident_pages() > pages:
        await asyncio.sleep(0)
    returning.cancel()

burst = [bytes(10_000) for _ in range(5_000)]
full = resident_pages()
del burst[:-1]
assert resident_pages() > full * 0.9, "the C library returns the memory by itself"
process_memory._INTERVAL_SECONDS = 0
asyncio.run(wait_until_returned(full / 2))
"""


def test_memory_of_a_burst_is_returned_to_the_system() -> None:
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True, timeout=60)
