"""Contents: the bodies and envelopes of messages, as the rest of the process reads them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from storage.encryption.data_keys import DataKey
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.messages.rows import MessageContent, MessageState, message_id_text
from storage.queue_settings import LockedQueue
from storage.transaction import Transaction

log = logging.getLogger(__name__)

_NO_KEY = 0
"""The id of no data key."""

Found: TypeAlias = tuple[MessageState, MessageContent]
"""A message's state, and its content."""


class ClearContent(NamedTuple):
    """A content that was decrypted."""

    message_id: bytes
    body: str
    envelope: bytes
    data_key: int | None
    sent_id: bytes


class Unreadable(NamedTuple):
    """A message whose content cannot be returned.

    `error` is `MasterKeyMissing` or `DatabaseDamaged`, or None for a message behind such a one.
    """

    state: MessageState
    error: Exception | None


def decrypt(
    transaction: Transaction,
    queue: LockedQueue,
    found: Sequence[Found],
    unreadable: list[Unreadable],
) -> Sequence[Found]:
    """Return the messages that one receive has found in a queue, with their contents in clear.

    Adds the messages whose contents cannot be decrypted to `unreadable`. Such a message of a FIFO
    queue blocks its group: those behind it are unreadable too.
    """
    for _, content in found:
        if content.data_key is not None or not content.body:
            break
    else:
        return found
    try:
        return _decrypt_all(transaction.data_keys.known, found)
    except (KeyError, DatabaseDamaged):
        return _decrypt_readable(transaction, queue, found, unreadable)


def _decrypt_readable(
    transaction: Transaction,
    queue: LockedQueue,
    found: Sequence[Found],
    unreadable: list[Unreadable],
) -> Sequence[Found]:
    """Do the work of `decrypt` if a message is unreadable or in clear, or a data key is unknown."""
    ids = {content.data_key for _, content in found if content.data_key is not None}
    keys = transaction.data_keys.for_decryption(transaction.connection, ids)
    readable: list[Found] = []
    blocked: set[str] = set()
    for state, content in found:
        if blocked and state.group_id in blocked:
            unreadable.append(Unreadable(state, None))
            continue
        try:
            readable.append(_readable(keys, state, content))
        except (DatabaseDamaged, MasterKeyMissing) as error:
            # Its traceback has this frame with the contents, until the garbage collector finds it.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            unreadable.append(Unreadable(state, error))
            if state.group_id is not None:
                blocked.add(state.group_id)
            _log_unreadable(queue, content, error)
    return readable


# `Any`: type checkers do not know `tuple.__new__`. The class itself takes three times as long.
_clear_content: Callable[[tuple[Any, ...]], ClearContent] = partial(tuple.__new__, ClearContent)


def _decrypt_all(keys: Mapping[int, DataKey], found: Sequence[Found]) -> list[Found]:
    """Return messages, all of which are encrypted, with their contents in clear.

    Raises:
        KeyError: a message is not encrypted, or its data key is unknown.
        DatabaseDamaged: a content was changed.
    """
    readable: list[Found] = []
    for state, content in found:
        data_key = content.data_key or _NO_KEY
        sent_id = content.sent_id
        body, envelope = keys[data_key].decrypt(state.body_id, sent_id, content.envelope)
        clear = _clear_content((content.message_id, body, envelope, data_key, sent_id))
        readable.append((state, clear))
    return readable


def _readable(
    keys: Mapping[int, DataKey | Exception], state: MessageState, content: MessageContent
) -> Found:
    """Return a message with its content in clear.

    Raises:
        DatabaseDamaged: it was changed, or its data key was.
        MasterKeyMissing: the keyring does not have the master key of its data key.
    """
    if content.data_key is None:
        if not content.body:
            # No client can send an empty body (AWS: at least one character).
            raise DatabaseDamaged("the reference of an encrypted content to its data key is lost")
        return state, content
    key = keys[content.data_key]
    if not isinstance(key, DataKey):
        raise key
    (readable,) = _decrypt_all({content.data_key: key}, [(state, content)])
    return readable


def _log_unreadable(queue: LockedQueue, content: MessageContent, error: Exception) -> None:
    log.error(
        "a message cannot be decrypted, not returning it and not counting the receive; find all "
        "such messages with `queueserver check`: queue=%s message_id=%s reason=%s",
        queue.name.name,
        message_id_text(content.message_id),
        error,
    )
