"""The process's memory: what the collector need not look through, what the process need not keep.

Refuses to know what is held in it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc

_ROUND_SECONDS = 60.0


def spare_collector() -> None:
    """Let the garbage collector pass over what lives as long as the process, and come less often.

    Nearly all that a request makes is freed as soon as it is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def give_back() -> None:
    """Return to the system the pages that a burst of requests took and nothing uses any more.

    The C library keeps them otherwise, as long as anything above them is in use. It takes about
    0.1 ms for each MiB that is returned, and a millisecond when there is none; another thread that
    needs a large piece of memory meanwhile waits for it. Nothing happens where the C library knows
    no such thing (musl, macOS).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def keep_giving_back() -> None:
    """Give back once a minute, until it is cancelled."""
    while True:
        await asyncio.sleep(_ROUND_SECONDS)
        await asyncio.to_thread(give_back)
