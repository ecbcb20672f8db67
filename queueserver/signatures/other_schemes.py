"""Schemes of authentication other than Signature Version 4: rejected, each by its name.

A request with such credentials is never anonymous: a public queue would then accept it.
"""

from __future__ import annotations

import re
from collections.abc import Container

from protocol.errors import IncompleteSignature
from queueserver.signatures.echo import echo

V2_PARAMETERS = (b"AWSAccessKeyId", b"Signature", b"SignatureVersion")
"""Parameters that only Signature Version 2 has, in the query string or in a form."""

_SCHEME = re.compile(rb"[A-Za-z0-9-]{1,40}(?= |$)")


def unsupported_scheme(header: bytes) -> IncompleteSignature:
    """Return the error for a header Authorization of another scheme or algorithm."""
    match = _SCHEME.match(header)
    scheme = match[0] if match else b""
    if scheme == b"AWS":
        return version_2_is_unsupported()
    if scheme.upper().startswith(b"AWS"):
        return unsupported_algorithm(scheme)
    return IncompleteSignature(
        "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'.",
        reason=f"the client authenticates by {echo(scheme) or 'an unknown scheme'}",
    )


def unsupported_algorithm(algorithm: bytes) -> IncompleteSignature:
    """Return the error for an algorithm of AWS other than that of Signature Version 4."""
    return IncompleteSignature(f"Unsupported AWS 'algorithm': '{echo(algorithm)}'.")


def version_2_is_unsupported() -> IncompleteSignature:
    """Return the error for a request with Signature Version 2."""
    return IncompleteSignature(
        "Signature Version 2 is not supported. Sign requests with Signature Version 4 "
        "(AWS4-HMAC-SHA256).",
        reason="the client signs by Signature Version 2: it is too old",
    )


def has_version_2(parameters: Container[bytes]) -> bool:
    """Return whether the parameters of a query string are those of Signature Version 2."""
    return any(name in parameters for name in V2_PARAMETERS)


def form_has_version_2(form: bytes) -> bool:
    """Return whether a form has parameters of Signature Version 2.

    The form is searched, not parsed: clients that sign by Version 2 do not escape these names.
    """
    return any(form.startswith(name + b"=") or b"&%b=" % name in form for name in V2_PARAMETERS)
