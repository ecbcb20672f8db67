"""The error of a document that is not a policy."""

from __future__ import annotations

_LONGEST_QUOTE_CHARACTERS = 60


class PolicyError(ValueError):
    """A document is not a policy. The text is one line for an operator."""


def quote(text: str) -> str:
    """Return a text of a document for an error text: short, in one line, in ASCII."""
    # ascii() escapes line breaks, terminal control sequences and lone surrogates.
    quoted = ascii(text[:_LONGEST_QUOTE_CHARACTERS])
    return quoted if len(text) <= _LONGEST_QUOTE_CHARACTERS else f"{quoted}..."
