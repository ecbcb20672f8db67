"""The dispatcher: every action runs through here, for clients and for the server itself."""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

import msgspec

from protocol.actions import ACTIONS, Action
from queueserver.actions.direct import DirectActions, Done, Pending
from queueserver.context import RequestContext

Method: TypeAlias = Callable[[RequestContext, msgspec.Struct], Awaitable[msgspec.Struct | None]]
"""The method of an action. It takes only that action's request: `_check_annotations` checks it."""


class Dispatcher:
    """Runs actions by the type of their request.

    Each public method of the given objects is the action of its name in snake case. `direct` are
    the actions that can run without a task.

    Raises:
        TypeError: an action has no method, two objects have its method, a public method has no
            action, or a method does not take the action's request and return its result.
    """

    def __init__(self, *actions: object, direct: DirectActions | None = None) -> None:
        self._direct = direct
        methods: dict[str, Method] = {}
        for name, method in _public_methods(actions):
            if name in methods:
                raise TypeError(f"two objects have a method {name}")
            methods[name] = method
        mismatches = methods.keys() ^ {action.method for action in ACTIONS.values()}
        if mismatches:
            names = ", ".join(sorted(mismatches))
            raise TypeError(f"actions without method, or methods without action: {names}")
        self._methods: dict[type[msgspec.Struct], Method] = {}
        for action in ACTIONS.values():
            _check_annotations(methods[action.method], action)
            self._methods[action.request] = methods[action.method]

    async def dispatch(
        self, context: RequestContext, request: msgspec.Struct
    ) -> msgspec.Struct | None:
        """Run the action whose request this is; return its result, or None if it has none.

        Raises:
            SQSError: the action rejects the request.
            DatabaseBusy: too many requests wait for the database.
            DatabaseUnavailable: the database does not answer.
            DatabaseDamaged: the rows that the action reads are damaged.
        """
        return await self._methods[type(request)](context, request)

    def can_begin(self, action: Action) -> bool:
        """Return whether some requests of the action can begin without a task."""
        return self._direct is not None and self._direct.can_begin(action)

    def begin(self, context: RequestContext, request: msgspec.Struct, done: Done) -> Pending | None:
        """Begin an action without a task, or return None: then `dispatch` must run it.

        See `DirectActions.begin`.
        """
        return None if self._direct is None else self._direct.begin(context, request, done)


def _public_methods(objects: tuple[object, ...]) -> Iterator[tuple[str, Method]]:
    for one in objects:
        for name in dir(one):
            if not name.startswith("_"):
                yield name, getattr(one, name)


def _check_annotations(method: Method, action: Action) -> None:
    """Check the annotations of a method: it takes an action's request and returns its result.

    A type checker cannot check this, because each of the 23 methods takes a different type.

    Raises:
        TypeError: the annotations are different.
    """
    hints = typing.get_type_hints(method)
    result = hints.pop("return")
    expected = [RequestContext, action.request]
    if list(hints.values()) != expected or result is not (action.result or type(None)):
        raise TypeError(f"{action.method} does not take or return what {action.name} does")
