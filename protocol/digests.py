"""The MD5 digests that clients check what they sent and received by.

Refuses to be of use for anything else: MD5 protects against accidents only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from protocol.actions import MessageAttributeValue

_TEXT = b"\x01"
_BINARY = b"\x02"


def md5_of_body(body: str) -> str:
    """Digest a message's body: MD5 of its UTF-8, in lower-case hexadecimal."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, MessageAttributeValue]) -> str:
    """Digest message attributes, or message system attributes, as AWS's developer guide says.

    Every part but the one-byte value type is preceded by its length. The values are digested as
    they were sent: numbers are texts, binary values are raw bytes. List values, which SQS does not
    accept, have no digest.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        binary = value.binary_value
        digest.update(_counted(name.encode()))
        digest.update(_counted((value.data_type or "").encode()))
        if binary is None:
            digest.update(_TEXT + _counted((value.string_value or "").encode()))
        else:
            digest.update(_BINARY + _counted(binary))
    return digest.hexdigest()


def _counted(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part
