"""Contents: the bodies and envelopes of messages, as the rest of the process reads them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from storage.encryption.data_keys import DataKey
from storage.errors import DatabaseDamaged, MasterKeyMissing
from storage.messages.rows import MessageContent, MessageState
from storage.queue_settings import LockedQueue
from storage.transaction import Transaction

log = logging.getLogger(__name__)

Found: TypeAlias = tuple[MessageState, MessageContent]
"""A message's state, and its content."""


class ClearContent(NamedTuple):
    """A content that was decrypted."""

    message_id: bytes
    body: str
    envelope: bytes
    data_key: int | None
    sent_id: bytes


class Readable(NamedTuple):
    """The messages of one receive whose contents are in clear.

    Attributes:
        found: the messages that can be returned.
        unreadable: those that cannot.
        error: why the first of these cannot: `MasterKeyMissing` or `DatabaseDamaged`.
    """

    found: Sequence[Found]
    unreadable: Sequence[MessageState] = ()
    error: Exception | None = None


def decrypt(transaction: Transaction, queue: LockedQueue, found: Sequence[Found]) -> Readable:
    """Return the contents, in clear, of the messages that one receive has found in a queue.

    A message of a FIFO queue whose content cannot be decrypted blocks its group: those behind it
    are unreadable too.
    """
    for _, content in found:
        if content.data_key is not None or not content.body:
            break
    else:
        return Readable(found)
    ids = {content.data_key for _, content in found if content.data_key is not None}
    keys = transaction.data_keys.for_decryption(transaction.connection, ids)
    readable: list[Found] = []
    unreadable: list[MessageState] = []
    blocked: set[str] = set()
    first_error: Exception | None = None
    for state, content in found:
        if state.group_id in blocked:
            unreadable.append(state)
            continue
        try:
            readable.append((state, _in_clear(keys, state, content)))
        except (DatabaseDamaged, MasterKeyMissing) as error:
            # Its traceback has this frame with the contents, until the garbage collector finds it.
            error.__traceback__ = error.__cause__ = error.__context__ = None
            first_error = first_error or error
            unreadable.append(state)
            if state.group_id is not None:
                blocked.add(state.group_id)
            _log_unreadable(queue, content, error)
    return Readable(readable, unreadable, first_error)


def _in_clear(
    keys: dict[int, DataKey | Exception], state: MessageState, content: MessageContent
) -> MessageContent:
    """Return a content in clear.

    Raises:
        DatabaseDamaged: it was changed, or its data key was.
        MasterKeyMissing: the keyring does not have the master key of its data key.
    """
    if content.data_key is None:
        if not content.body:
            # No client can send an empty body (AWS: at least one character).
            raise DatabaseDamaged("the reference of an encrypted content to its data key is lost")
        return content
    key = keys[content.data_key]
    if isinstance(key, Exception):
        raise key
    body, envelope = key.decrypt(state.body_id, content.sent_id, content.envelope)
    return ClearContent(content.message_id, body, envelope, content.data_key, content.sent_id)


def _log_unreadable(queue: LockedQueue, content: MessageContent, error: Exception) -> None:
    log.error(
        "a message cannot be decrypted, not returning it and not counting the receive; find all "
        "such messages with `queueserver check`: queue=%s message_id=%s reason=%s",
        queue.name.name,
        _message_id_text(content.message_id),
        error,
    )


def _message_id_text(message_id: bytes) -> str:
    # A damaged id has any length.
    return str(uuid.UUID(bytes=message_id)) if len(message_id) == 16 else message_id.hex()
