"""Letter case of names that are compared without it: ASCII letters alone are folded.

`str.lower` also folds letters such as the Kelvin sign (U+212A) to ASCII. With it, a text that is
no name of an action could equal one.
"""

from __future__ import annotations

import string

_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold_ascii(text: str) -> str:
    """Return the text with the letters A to Z in lower case."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)
