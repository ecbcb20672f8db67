"""The length of texts in UTF-8: how databases, limits and sizes count them."""

from __future__ import annotations


def utf8_bytes(text: str) -> int:
    """Return the length of the text in UTF-8, in bytes; a lone surrogate counts as three."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))
