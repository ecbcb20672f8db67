"""The dispatcher: each action has one method with the right types, and its request runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from protocol.actions import ACTIONS, ListQueues, ListQueuesResult, PurgeQueue
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher

CONTEXT = RequestContext("000000000000", "us-east-1", "http://localhost")

Method = Callable[[object, RequestContext, msgspec.Struct], Awaitable[msgspec.Struct | None]]


def method(takes: object, returns: object) -> Method:
    """Make a method with these annotations that returns the request it is given."""

    async def echo(
        _: object, context: RequestContext, request: msgspec.Struct
    ) -> msgspec.Struct | None:
        assert context is CONTEXT
        return request

    echo.__annotations__ = {"context": RequestContext, "request": takes, "return": returns}
    return echo


METHODS = {action.method: method(action.request, action.result) for action in ACTIONS.values()}


def with_methods(methods: dict[str, Method]) -> object:
    return type("Actions", (), dict(methods))()


async def test_request_runs_the_action_of_its_type() -> None:
    dispatcher = Dispatcher(with_methods(METHODS))
    for request in (ListQueues(), PurgeQueue(queue_url="q")):
        assert await dispatcher.dispatch(CONTEXT, request) is request


async def test_several_objects_can_provide_the_methods() -> None:
    one = {"list_queues": METHODS["list_queues"]}
    others = {name: made for name, made in METHODS.items() if name not in one}
    dispatcher = Dispatcher(with_methods(one), with_methods(others))
    request = ListQueues()
    assert await dispatcher.dispatch(CONTEXT, request) is request


def error(*actions: object) -> str:
    with pytest.raises(TypeError) as caught:
        Dispatcher(*actions)
    return str(caught.value)


def test_action_without_a_method_is_an_error() -> None:
    without = {name: made for name, made in METHODS.items() if name != "purge_queue"}
    assert error(with_methods(without)).endswith("without action: purge_queue")


def test_public_method_that_is_not_an_action_is_an_error() -> None:
    more = {**METHODS, "purge_all": METHODS["purge_queue"]}
    assert error(with_methods(more)).endswith("without action: purge_all")


def test_action_with_two_methods_is_an_error() -> None:
    twice = with_methods({"purge_queue": METHODS["purge_queue"]})
    assert error(with_methods(METHODS), twice) == "two objects have a method purge_queue"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(method(PurgeQueue, ListQueuesResult), id="other request"),
        pytest.param(method(ListQueues, None), id="no result"),
        pytest.param(method(ListQueues, ListQueues), id="other result"),
    ],
)
def test_method_whose_types_differ_from_its_actions_is_an_error(wrong: Method) -> None:
    message = error(with_methods({**METHODS, "list_queues": wrong}))
    assert message == "list_queues does not take or return what ListQueues does"
