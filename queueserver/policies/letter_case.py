"""Letter case of names that are compared without it: ASCII letters alone are folded.

`str.lower` also folds letters such as the Kelvin sign (U+212A) to ASCII. With it, a text that is
no name of an action could equal one.
"""

from __future__ import annotations


def fold_ascii(text: str) -> str:
    """Return the text with the letters A to Z in lower case."""
    if text.isascii():
        return text.lower()
    # The method of bytes folds ASCII letters alone, and is faster than str.translate.
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
