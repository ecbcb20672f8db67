"""SIGTERM and SIGINT: before the server starts, while it runs, and after its stop.

While the modules are imported, the signals are blocked: the system keeps a signal until the command
knows how to end.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def block() -> None:
    """Keep the signals pending until `unblock`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def unblock() -> None:
    """Deliver the pending signals, and from now on each one when it comes."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def handle(function: Callable[[], object]) -> None:
    """Call a function on a signal.

    An event loop's own handlers end with the loop, and then a signal would end the process.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: function())


def ignore() -> None:
    """Discard the signals until the process ends, on whichever thread they arrive."""
    sys.unraisablehook = _report_except_race
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _report_except_race(unraisable: sys.UnraisableHookArgs) -> None:
    """Report an exception, except the one for a signal that comes while its handler is removed.

    Python would print a traceback, although the signal is discarded as it should be.
    """
    error = unraisable.exc_value
    if not (isinstance(error, OSError) and str(error).endswith("ignored due to race condition")):
        sys.__unraisablehook__(unraisable)


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """Exit with status 0 on a signal, until `handle` or `ignore` is called."""
    previous = {number: signal.signal(number, _exit) for number in SIGNALS}
    try:
        unblock()
        yield
    finally:
        for number, handler in previous.items():
            if signal.getsignal(number) is _exit:
                signal.signal(number, handler)


def _exit(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
