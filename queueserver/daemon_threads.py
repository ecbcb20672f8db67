"""Threads that end with the process: it waits for none of them, whatever they do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start(function: Callable[[], T], name: str) -> Future[T]:
    """Call a function in a new thread; return the future of what it returns or raises.

    The future cannot be cancelled. A signal interrupts the thread that waits for it, and not the
    function.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name=name, daemon=True).start()
    return future
