"""The headers that clients repeat in many requests: what they mean is cached.

Host, User-Agent and the scope of the signature are the same in all requests of a client.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from protocol.actions import Action
from protocol.codecs.choice import codec_for
from protocol.wire import Codec, WireRequest
from queueserver.identity.callers import Caller, CallerHeaders, Callers
from queueserver.identity.proxies import Peer

_CACHED_MEANINGS = 1_000
_CACHED_BYTES = 1_000
"""Number and length of the sets of headers whose meaning is cached: at most 3 KB each."""


class UsualHeaders(msgspec.Struct, frozen=True):
    """The meaning of a POST's headers.

    `content_type` and `target` are the headers Content-Type and X-Amz-Target. `action` is the
    action that they name, or None.
    """

    codec: Codec
    caller: Caller
    content_type: str
    target: str
    action: Action | None


class UsualHeadersCache:
    """Finds the meaning of the headers of a POST, by their names in lower case."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._found: dict[tuple[Peer, tuple[bytes, ...]], UsualHeaders] = {}

    def find(self, headers: Mapping[bytes, bytes], peer: Peer) -> UsualHeaders:
        """Return the meaning of the headers on a connection with this peer."""
        get = headers.get
        authorization = get(b"authorization", b"")
        # The scope comes first; the signature always differs.
        scope = authorization.partition(b",")[0]
        key = (
            get(b"host", b""),
            get(b"x-forwarded-host", b""),
            get(b"x-forwarded-proto", b""),
            scope,
            get(b"user-agent", b""),
            get(b"content-type", b""),
            get(b"x-amz-target", b""),
        )
        found = self._found.get((peer, key))
        if found is None:
            found = self._read(key, peer)
            if not found.caller.sender.access_key_id and scope != authorization:
                return self._read((*key[:3], authorization, *key[4:]), peer)
            if sum(map(len, key)) <= _CACHED_BYTES:
                if len(self._found) >= _CACHED_MEANINGS:
                    self._found.clear()
                self._found[peer, key] = found
        return found

    def _read(self, key: tuple[bytes, ...], peer: Peer) -> UsualHeaders:
        *caller_headers, content_type, target = (text_of(value) for value in key)
        request = WireRequest("POST", "", content_type=content_type, target=target)
        caller = self._callers.caller(CallerHeaders(*caller_headers), "", peer)
        codec = codec_for(request)
        action = codec.action_in_headers(request)
        return UsualHeaders(codec, caller, content_type, target, action)


def text_of(value: bytes) -> str:
    """Return the value of a header as aiohttp decodes it."""
    return value.decode(errors="surrogateescape")
