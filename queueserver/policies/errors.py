"""The error of a document that is not a policy."""

from __future__ import annotations

_LONGEST_QUOTE_CHARACTERS = 60


class PolicyError(ValueError):
    """A document is not a policy. The text is one line for an operator."""


def quote(text: object) -> str:
    """Return a value of a document for an error text: short, in one line, in ASCII."""
    # ascii() escapes line breaks, terminal control sequences and lone surrogates.
    quoted = ascii(text[: _LONGEST_QUOTE_CHARACTERS + 1] if isinstance(text, str) else text)
    if len(quoted) <= _LONGEST_QUOTE_CHARACTERS:
        return quoted
    return f"{quoted[:_LONGEST_QUOTE_CHARACTERS]}..."
