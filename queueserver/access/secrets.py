"""Secret access keys: a type that never shows its value, and reading them from text and files.

An error contains neither the value nor the text of a setting that should name a file or a variable:
an operator may have written the secret itself there.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from queueserver.text_files import read_text

_LONGEST_FILE = 4_096
"""The longest file of a secret, in bytes; a longer one was named by mistake."""

_SHORTEST, _LONGEST = 16, 256
_BYTE_ORDER_MARK = "\ufeff"
_CHARACTERS = {" ": "a space", "\t": "a tab", "\n": "a line break", "\r": "a line break"}
"""The names, in errors, of characters that an editor or a shell may add to a secret."""


class Secret:
    """The secret of an access key. It shows itself as `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the secret."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be serialized")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)


def parse_secret(text: str) -> Secret:
    """Return the secret that a text is.

    Raises:
        ValueError: the text is not a secret. The error contains none of its printable characters.
    """
    if not text:
        raise ValueError("the secret is empty")
    if text.startswith(_BYTE_ORDER_MARK):
        raise ValueError("the secret begins with a byte order mark: save it without one")
    for place, character in enumerate(text, 1):
        if not "!" <= character <= "~":
            name = _CHARACTERS.get(character) or (
                "a control character" if character.isascii() else "a character that is not ASCII"
            )
            raise ValueError(f"the secret contains {name}, at position {place} of {len(text)}")
    if not _SHORTEST <= len(text) <= _LONGEST:
        count = "1 character" if len(text) == 1 else f"{len(text)} characters"
        raise ValueError(f"the secret has {count}, {_SHORTEST} to {_LONGEST} are needed")
    return Secret(text.encode())


def read_line(path: Path, *, is_private: bool) -> str:
    """Return the text of a file with one line, without its final newline.

    Raises:
        ValueError: the file cannot be read, or is not private.
    """
    text = read_text(path, _LONGEST_FILE, is_private=is_private)
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")
