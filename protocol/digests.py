"""MD5 digests of bodies and attributes, with which clients detect damage in transit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from protocol.actions import MessageAttributeValue

_TEXT = b"\x01"
_BINARY = b"\x02"


def md5_of_body(body: bytes) -> str:
    """Return the MD5 of a body, which is in UTF-8, in lower-case hexadecimal."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, MessageAttributeValue]) -> str:
    """Return the MD5 of message attributes or message system attributes, in hexadecimal.

    AWS (developer guide, "Calculating the MD5 message digest for message attributes"): attributes
    in order of name; each of name, data type and value is preceded by its length in four bytes,
    the value also by one byte for its type. Numbers are digested as the text that was sent, binary
    values as raw bytes.
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
