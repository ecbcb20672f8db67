"""Decode UTF-8 that may contain lone surrogates: the rules decide where a request may have one."""

from __future__ import annotations

import re
from itertools import islice

_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")

_MAXIMUM_SURROGATES = 10_000
"""Surrogates of a text. Python takes 0.2 us for each, and a text with one is rejected anyway."""


def decode(content: bytes) -> str:
    """Decode UTF-8 with lone surrogates, which Python's own decoder rejects.

    Raises:
        UnicodeDecodeError: the bytes are not UTF-8, or have too many surrogates.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        found = _SURROGATE.finditer(content)
        if next(islice(found, _MAXIMUM_SURROGATES, None), None) is not None:
            raise
    return content.decode(errors="surrogatepass")
