"""The error for a signature that does not match, which shows the client where to look.

It has the canonical request and the string to sign, as AWS's has. Both repeat only what the client
sent, without credentials. They are for known access keys alone.
"""

from __future__ import annotations

import re

import msgspec

from protocol.errors import LONGEST_MESSAGE, SignatureDoesNotMatch
from queueserver.signatures.echo import printable_lines
from queueserver.signatures.signature_input import SignatureInput

_CUT = "\n...\n"
_LAST_CHARACTERS = 400
"""The end of a long canonical request that is kept: its signed headers and the hash of the body."""

_CREDENTIAL_HEADERS = (b"authorization", b"x-amz-security-token")
_TOKEN = re.compile(rb"(?<=X-Amz-Security-Token=)[^&\n]*")
_HIDDEN = b"..."


def mismatch(signed: SignatureInput, host: bytes, reason: str) -> SignatureDoesNotMatch:
    """Return the error for a signature that was not made from this input."""
    to_sign = printable_lines(signed.string_to_sign(signed.canonical_request(host)))
    canonical = _without_credentials(signed).canonical_request(host)
    before = (
        f"{SignatureDoesNotMatch.text}\n\nThe Canonical String for this request should have been\n'"
    )
    after = f"'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
    shown = _shorten(printable_lines(canonical), LONGEST_MESSAGE - len(before) - len(after))
    return SignatureDoesNotMatch(f"{before}{shown}{after}", reason=reason)


def _without_credentials(signed: SignatureInput) -> SignatureInput:
    hidden = {name: _HIDDEN for name in _CREDENTIAL_HEADERS if name in signed.headers}
    start = _TOKEN.sub(_HIDDEN, signed.start)
    return msgspec.structs.replace(signed, start=start, headers={**signed.headers, **hidden})


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit - len(_CUT) - _LAST_CHARACTERS]}{_CUT}{text[-_LAST_CHARACTERS:]}"
