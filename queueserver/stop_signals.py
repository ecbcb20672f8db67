"""SIGTERM and SIGINT while no event loop runs: before the server starts, and after its stop.

While the modules are imported, the signals are blocked: the system keeps a signal until the command
knows how to end.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def block() -> None:
    """Keep the signals pending until `unblock`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def unblock() -> None:
    """Deliver the signals, those that are pending first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """Exit with status 0 on a signal, unless an event loop handles it."""
    previous = {number: signal.signal(number, _exit) for number in SIGNALS}
    try:
        unblock()
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _exit(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
