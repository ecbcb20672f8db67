"""The query parameters of a presigned URL."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from protocol.errors import IncompleteSignature
from queueserver.signatures.echo import echo
from queueserver.signatures.other_schemes import unsupported_algorithm
from queueserver.signatures.parameters import (
    ALGORITHM,
    CLOCK_SKEW_SECONDS,
    SignatureParameters,
)

LONGEST_LIFETIME = 7 * 24 * 60 * 60
"""The largest `X-Amz-Expires` in seconds (AWS: 604,800). SQS ends all signatures earlier."""

_ALGORITHM = b"X-Amz-Algorithm"
_CREDENTIAL = b"X-Amz-Credential"
_SIGNATURE = b"X-Amz-Signature"
_SIGNED_HEADERS = b"X-Amz-SignedHeaders"
_DATE = b"X-Amz-Date"
_EXPIRES = b"X-Amz-Expires"

_MARKS = (_ALGORITHM, _CREDENTIAL, _SIGNATURE)
_REQUIRED = (_ALGORITHM, _CREDENTIAL, _SIGNATURE, _SIGNED_HEADERS, _DATE, _EXPIRES)
_SECONDS = re.compile(rb"[0-9]{1,6}")


def is_presigned(parameters: Container[bytes]) -> bool:
    """Return whether the parameters of a query string include credentials."""
    return any(name in parameters for name in _MARKS)


def parse_presigned(parameters: Mapping[bytes, bytes]) -> SignatureParameters:
    """Return the parameters of a signature that a query string gives.

    Raises:
        IncompleteSignature: the algorithm is another, or a parameter is missing or malformed.
    """
    if parameters.get(_ALGORITHM, ALGORITHM) != ALGORITHM:
        raise unsupported_algorithm(parameters[_ALGORITHM])
    missing = [name.decode() for name in _REQUIRED if name not in parameters]
    if missing:
        texts = [f"AWS query-string parameters must include '{name}'. " for name in missing]
        raise IncompleteSignature(f"{''.join(texts)}Re-examine the query-string parameters.")
    return SignatureParameters(
        parameters[_CREDENTIAL],
        parameters[_SIGNED_HEADERS],
        parameters[_SIGNATURE],
        parameters[_DATE],
        b"",
        min(_lifetime(parameters[_EXPIRES]), CLOCK_SKEW_SECONDS),
    )


def _lifetime(text: bytes) -> int:
    seconds = int(text) if _SECONDS.fullmatch(text) else 0
    if not 1 <= seconds <= LONGEST_LIFETIME:
        raise IncompleteSignature(
            f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST_LIFETIME}."
            f" Got '{echo(text)}'."
        )
    return seconds
