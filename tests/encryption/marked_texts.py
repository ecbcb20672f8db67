"""Known texts that are sent, and the search for them in bytes, in each form they could have there.

Each text contains a tag of the run, the state of its message, and its kind. So one search finds all
texts, and each hit names the text. A digest has no tag: those of all bodies are searched for.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
import re
import secrets
import string
from collections.abc import Iterator
from typing import NamedTuple

TEXT, UTF_16, BASE64, HEX, MD5, SHA_256 = "text", "UTF-16", "base64", "hex", "MD5", "SHA-256"
FORMS = (TEXT, UTF_16, BASE64, HEX, MD5, SHA_256)
"""The forms that are searched for; digests as bytes, in hex and in base64."""

_TAG_LENGTH = 18
_LETTERS = string.ascii_letters + string.digits
_FILLER = string.ascii_letters + string.digits + " !$%()*+,-./:;=?[]_"
_ZEROS = re.compile(rb"\0{64,}")


class Hit(NamedTuple):
    """A text that was found; state and kind only in the form `text`, and only if it is whole."""

    form: str
    state: str = ""
    kind: str = ""


class MarkedTexts:
    """The texts of one run, which occur nowhere else."""

    def __init__(self) -> None:
        self.tag = _new_tag()
        self._pattern = re.compile(
            re.escape(self.tag).encode() + rb"(?:-([a-z0-9_]+)-([a-z0-9_]+)\b)?"
        )
        self._digests: dict[bytes, str] = {}

    def text(self, state: str, kind: str) -> str:
        """Return a text of letters, digits, `-` and `_`."""
        return f"{self.tag}-{state}-{kind}"

    def body(self, state: str, kind: str, length: int = 0) -> str:
        """Return a body of at least this length; its digests are searched for, too.

        A long body has the text in many places, between random characters: PostgreSQL would
        compress other ones, and then the text would not be found in its files.
        """
        text = self.text(state, kind)
        random_text = random.Random(text).choices(_FILLER, k=length)
        parts = [text, "".join(random_text[:50])] if length else [text]
        for start in range(50, length, 500):
            parts += [text, "".join(random_text[start : start + 500])]
        body = " ".join(parts)[: length or None]
        self.note_digests(body.encode())
        return body

    def note_digests(self, content: bytes) -> None:
        """Search for the digests of a content, too."""
        self.note_digest(MD5, hashlib.md5(content).digest())
        self.note_digest(SHA_256, hashlib.sha256(content).digest())

    def note_digest(self, form: str, digest: bytes) -> None:
        """Search for a digest, too."""
        in_hex = digest.hex().encode()
        for written in (digest, in_hex, in_hex.upper(), base64.b64encode(digest).rstrip(b"=")):
            self._digests[written] = form

    def search(self, content: bytes) -> Iterator[Hit]:
        """Yield everything that is found in the bytes."""
        content = _ZEROS.sub(bytes(64), content)
        for found in self._pattern.finditer(content):
            state, kind = found.groups(default=b"")
            yield Hit(TEXT, state.decode(), kind.decode())
        needles = {**dict(encoded(self.tag)), **self._digests}
        for needle, form in needles.items():
            yield from itertools.repeat(Hit(form), content.count(needle))


def encoded(tag: str) -> Iterator[tuple[bytes, str]]:
    """Yield a tag as it stands in the other forms of a text that contains it."""
    content = tag.encode()
    yield tag.encode("utf-16-le")[:-1], UTF_16  # in either order of bytes
    yield content.hex().encode(), HEX
    yield content.hex().upper().encode(), HEX
    for before in range(3):
        # The first and the last digit may depend on the bytes beside the tag.
        digits = base64.b64encode(bytes(before) + content)
        first, end = -(-before * 8 // 6), (before + len(content)) * 8 // 6
        yield digits[first:end], BASE64


def _new_tag() -> str:
    """Return a tag whose form in base64 is the same in both alphabets."""
    while True:
        tag = "".join(secrets.choice(_LETTERS) for _ in range(_TAG_LENGTH))
        if not any({*b"+/"} & {*needle} for needle, form in encoded(tag) if form == BASE64):
            return tag
