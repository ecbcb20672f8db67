"""Declared queues: the queues of the configuration file, read and created at the start.

A queue that exists already gets the attributes and tags that the file declares; its messages, and
attributes that the file does not mention, stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from protocol.actions import CreateQueue, SetQueueAttributes, TagQueue
from protocol.errors import QueueNameExists, SQSError
from protocol.names import queue_url
from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.rules import attributes, queue_parameters
from queueserver.start_errors import ConfigError, StartError
from queueserver.toml_values import dotted_name_hint, table_of, text_of
from storage.errors import DatabaseDamaged, DatabaseUnavailable


class DeclaredQueue(msgspec.Struct, frozen=True):
    """A queue that the file declares: its attributes as CreateQueue takes them, and its tags."""

    attributes: dict[str, str]
    tags: dict[str, str]


def read(document: object, path: str) -> dict[str, DeclaredQueue]:
    """Read the table `queues` of a configuration file: a table for each queue, by its name.

    The rules of CreateQueue are checked here, before the server starts.

    Raises:
        ConfigError: the table is malformed, or a name, an attribute or a tag is not allowed.
    """
    queues = table_of(document, f"{path}: queues").items()
    return {name: _read_queue(name, queue, f"{path}: queues.{name}") for name, queue in queues}


def _read_queue(name: str, value: object, where: str) -> DeclaredQueue:
    members = table_of(value, where)
    tags = table_of(members.pop("tags", {}), f"{where}.tags")
    queue = DeclaredQueue(
        {key: _attribute(name, key, member, f"{where}.{key}") for key, member in members.items()},
        {key: text_of(tag, f"{where}.tags.{key}") for key, tag in tags.items()},
    )
    try:
        stored = attributes.parse_requested(queue.attributes, {}, creating=True)
        queue_parameters.check_queue_name(name, is_fifo=attributes.is_fifo(stored))
        if queue.tags:
            queue_parameters.check_tags(queue.tags)
            queue_parameters.check_tag_count(name, len(queue.tags))
    except SQSError as error:
        reason = f" Reason: {error.reason}" if error.reason else ""
        raise ConfigError(f"{where}: {error.message}{reason}") from None
    return queue


def _attribute(name: str, key: str, value: object, where: str) -> str:
    try:
        return text_of(value, where)
    except ConfigError as error:
        hint = dotted_name_hint("queues", name, key) if isinstance(value, dict) else ""
        raise ConfigError(f"{error}{hint}") from None


async def declare(
    queues: Mapping[str, DeclaredQueue], dispatcher: Dispatcher, context: RequestContext
) -> None:
    """Create the queues in the context's account and region, or change those that exist.

    Redrive policies are set last, when every dead-letter queue exists.

    Raises:
        StartError: a queue cannot be created or changed, for instance because its dead-letter queue
            does not exist, or because the database does not answer.
    """
    name = ""
    try:
        for name, queue in queues.items():
            await _declare_queue(dispatcher, context, name, queue)
        for name, queue in queues.items():
            policy = queue.attributes.get("RedrivePolicy")
            if policy is not None:
                await _set_attributes(dispatcher, context, name, {"RedrivePolicy": policy})
    except SQSError as error:
        raise StartError(f"queue {name}: {error.message}") from error
    except (DatabaseUnavailable, DatabaseDamaged) as error:
        raise StartError(f"queue {name}: cannot be created or changed: {error}") from error


async def _declare_queue(
    dispatcher: Dispatcher, context: RequestContext, name: str, queue: DeclaredQueue
) -> None:
    wanted = {key: value for key, value in queue.attributes.items() if key != "RedrivePolicy"}
    try:
        await dispatcher.dispatch(context, CreateQueue(queue_name=name, attributes=wanted))
    except QueueNameExists:
        # A queue's type is settled by its name, and cannot be changed.
        wanted.pop("FifoQueue", None)
        await _set_attributes(dispatcher, context, name, wanted)
    if queue.tags:
        url = queue_url("", context.account, name)
        await dispatcher.dispatch(context, TagQueue(queue_url=url, tags=queue.tags))


async def _set_attributes(
    dispatcher: Dispatcher, context: RequestContext, name: str, wanted: dict[str, str]
) -> None:
    url = queue_url("", context.account, name)
    await dispatcher.dispatch(context, SetQueueAttributes(queue_url=url, attributes=wanted))
