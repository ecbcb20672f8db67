"""SIGHUP: read the users again.

Until the server has started, the signal is blocked: the system keeps it pending, so a server that
starts slowly reads what has changed since. Threads that start meanwhile block it for good; the main
thread handles it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable


def block() -> None:
    """Keep the signal pending until `unblock` or `handle`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


def unblock() -> None:
    """Deliver a pending signal, and from now on each one when it comes."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])


def handle(function: Callable[[], object]) -> None:
    """Call a function on each signal, and for one that is pending."""
    signal.signal(signal.SIGHUP, lambda *_: function())
    unblock()


def ignore() -> None:
    """Discard the signal until the process ends."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
