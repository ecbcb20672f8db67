"""The error of a document that is not a policy, and texts of documents in errors and in logs."""

from __future__ import annotations

from urllib.parse import quote as percent_encode

_LONGEST_QUOTE_CHARACTERS = 60
_LONGEST_WORD_CHARACTERS = 200


class PolicyError(ValueError):
    """A document is not a policy. The text is one line for an operator."""


def quote(text: str) -> str:
    """Return a text of a document for an error text: short, in one line, in ASCII."""
    # ascii() escapes line breaks, terminal control sequences and lone surrogates.
    quoted = ascii(text[:_LONGEST_QUOTE_CHARACTERS])
    return quoted if len(text) <= _LONGEST_QUOTE_CHARACTERS else f"{quoted}..."


def one_word(text: str) -> str:
    """Return a text as a value of a log line: short, in ASCII, and without spaces.

    Other characters than those of names and ARNs are percent-encoded.
    """
    start = text[:_LONGEST_WORD_CHARACTERS]
    word = percent_encode(start, safe=":/@+=,*", errors="backslashreplace")
    if text == start and len(word) <= _LONGEST_WORD_CHARACTERS:
        return word
    return f"{word[:_LONGEST_WORD_CHARACTERS]}..."
