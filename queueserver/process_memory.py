"""The process's memory: garbage collection, free memory, and core dumps."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource

_INTERVAL_SECONDS = 60.0


def tune_garbage_collector() -> None:
    """Exclude what exists now from garbage collection, and collect less often.

    Call it once, after the start: what exists then lives as long as the process. Reference counting
    frees nearly everything that a request creates.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def disable_core_dumps() -> None:
    """Set the process's limit of core dumps to 0: a core dump would contain the encryption keys."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def return_memory() -> None:
    """Return the pages that no object uses any more to the system, after a burst of requests.

    glibc keeps a free page while anything above it is in use. Returning takes about 0.1 ms for each
    MiB, and 1 ms if there is none; other threads that allocate a large block wait for it. Does
    nothing where the C library lacks `malloc_trim` (musl, macOS).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def return_memory_regularly() -> None:
    """Return memory once a minute, in a thread, until the task is cancelled."""
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        await asyncio.to_thread(return_memory)
