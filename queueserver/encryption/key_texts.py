"""The text form of master keys: `NAME:BASE64`, separated by line breaks or commas.

No error contains a part of the text: a name may be the key, or a passphrase, in the wrong place.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence

from storage.encryption.aead import KEY_BYTES
from storage.encryption.keyring import KeyId, MasterKey

NEW_KEY_COMMAND = "queueserver keys new --encryption"

NAME_RULE = (
    "a name has 1 to 128 letters, digits and characters of ._/- and does not begin with alias/ "
    "or arn:"
)
_NAME = re.compile(r"(?!alias/)[A-Za-z0-9._/-]{1,128}")

_BYTE_ORDER_MARK = "\ufeff"
_HEXADECIMAL = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}")
_PRINTABLE = re.compile(rb"[ -~]+")
_PASSPHRASE = f"a passphrase is not a key, `{NEW_KEY_COMMAND}` makes one"


def check_name(name: str) -> str:
    """Return the name of a master key.

    Raises:
        ValueError: the name is not allowed. The error does not contain it.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(NAME_RULE)
    return name


def text_of(name: str, key: bytes) -> str:
    """Return the text form of a key."""
    return f"{name}:{base64.b64encode(key).decode()}"


def parse_keys(text: str) -> Sequence[MasterKey]:
    """Return the keys in a text, in their order. Ignores blank lines, and lines that begin with #.

    Raises:
        ValueError: the text has no key, or something that is not a key, or one key twice. The error
            says in which place.
        EncryptionUnavailable: the package `cryptography` is not installed.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        raise ValueError("the text begins with a byte order mark: save it without one")
    keys: list[MasterKey] = []
    places: dict[KeyId, str] = {}
    for place, item in _items(text):
        try:
            key = _parse(item)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        first = places.setdefault(key.id, place)
        if first != place:
            raise ValueError(f"{place}: the key is the same as {first}, remove one of them")
        keys.append(key)
    if not keys:
        raise ValueError(f"there is no key, `{NEW_KEY_COMMAND}` makes one")
    return keys


def _items(text: str) -> Iterator[tuple[str, str]]:
    """Yield each key as text, with its place as errors name it."""
    lines = [line.strip() for line in text.rstrip().split("\n")]
    number = 0
    for line_number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        for item in line.split(","):
            number += 1
            place = f"key {number} in line {line_number}" if len(lines) > 1 else f"key {number}"
            yield place, item.strip()


def _parse(item: str) -> MasterKey:
    if not item:
        raise ValueError("there is nothing before or after a comma")
    if item.startswith("arn:"):
        raise ValueError(NAME_RULE)
    name, colon, encoded = item.partition(":")
    if not colon:
        if len(_decoded(name) or b"") == KEY_BYTES:
            raise ValueError("the name is missing, write NAME:KEY, for example main:KEY")
        raise ValueError(f"it is not NAME:BASE64; {_PASSPHRASE}")
    if not name:
        raise ValueError("the name before the colon is missing")
    check_name(name)
    if not encoded:
        raise ValueError("the key after the colon is missing")
    if _HEXADECIMAL.fullmatch(encoded):
        raise ValueError("the key is hexadecimal, base64 is needed")
    key = _decoded(encoded)
    if key is None:
        raise ValueError(
            "the key is not base64 (44 letters, digits and characters of +/ with = at the end); "
            f"{_PASSPHRASE}"
        )
    # Of 10^13 random keys, less than one has only printable characters.
    if len(key) == KEY_BYTES and _PRINTABLE.fullmatch(key):
        raise ValueError(f"the key is base64 of text; {_PASSPHRASE}")
    return MasterKey(name, key)


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        return None
