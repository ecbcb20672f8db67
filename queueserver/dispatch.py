"""Who calls, and which method answers: the 23 actions are found by their names, once, at start.

Refuses to start with a method that is no action, or an action that two classes claim.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from protocol.actions import ACTIONS
from queueserver.context import RequestContext

Operation: TypeAlias = Callable[[RequestContext, Any], Awaitable[msgspec.Struct | None]]


def bind(*nouns: object) -> dict[str, Operation]:
    """Find the one method for each action's name.

    Raises:
        TypeError: an action has no method, a public method is no action, or two of the nouns have
            the same one.
    """
    methods: dict[str, Operation] = {}
    for noun in nouns:
        for name in dir(noun):
            if name.startswith("_"):
                continue
            if name in methods:
                raise TypeError(f"{name} has two methods, the second in {type(noun).__name__}")
            methods[name] = getattr(noun, name)
    wanted = {action.method: name for name, action in ACTIONS.items()}
    odd = methods.keys() ^ wanted.keys()
    if odd:
        raise TypeError(f"no action, or no method, is called {', '.join(sorted(odd))}")
    return {name: methods[method] for method, name in wanted.items()}
