"""The header Authorization of Signature Version 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from protocol.errors import IncompleteSignature
from queueserver.signatures.echo import echo
from queueserver.signatures.other_schemes import unsupported_scheme
from queueserver.signatures.parameters import ALGORITHM, SignatureParameters

_CREDENTIAL, _SIGNATURE, _SIGNED_HEADERS = "Credential", "Signature", "SignedHeaders"
_REQUIRED = (_CREDENTIAL, _SIGNATURE, _SIGNED_HEADERS)
_REPEATED = {_CREDENTIAL, _SIGNED_HEADERS}
"""The parameters that a client repeats in many requests."""

_CACHED_HEADERS = 1_000
_CACHED_BYTES = 1_000
"""Number and length of the headers whose parameters are cached: at most 2.5 KB each."""


def parse_authorization(headers: Mapping[bytes, bytes]) -> SignatureParameters:
    """Return the parameters that the headers of a request give.

    Raises:
        IncompleteSignature: the algorithm is another, or the header is malformed or incomplete.
    """
    header = headers[b"authorization"]
    time_header = b"x-amz-date" if b"x-amz-date" in headers else b"date"
    time = headers.get(time_header)
    # Usually the signature comes last, after a beginning that repeats.
    usual, mark, signature = header.rpartition(b", Signature=")
    if mark and b"," not in signature and len(usual) <= _CACHED_BYTES:
        found = _parse_usual(usual)
        if time is not None and found.keys() == _REPEATED:
            return SignatureParameters(
                found[_CREDENTIAL],
                found[_SIGNED_HEADERS],
                signature.strip(),
                time.strip(),
                time_header,
            )
    found = _parse(header)
    if time is None or len(found) < len(_REQUIRED):
        raise _incomplete(header, found, time)
    return SignatureParameters(
        found[_CREDENTIAL], found[_SIGNED_HEADERS], found[_SIGNATURE], time.strip(), time_header
    )


def _parse(header: bytes) -> dict[str, bytes]:
    algorithm, _, text = header.strip().partition(b" ")
    if algorithm != ALGORITHM:
        raise unsupported_scheme(header)
    found: dict[str, bytes] = {}
    for part in text.split(b",") if text else ():
        name, equals, value = part.strip().partition(b"=")
        if not equals:
            raise IncompleteSignature(
                f"'{echo(part.strip())}' not a valid key=value pair (missing equal-sign) in"
                f" Authorization header: '{echo(header)}'."
            )
        parameter = name.decode("latin-1")
        if parameter not in _REQUIRED:
            raise IncompleteSignature(f"Authorization header has no parameter '{echo(name)}'.")
        if parameter in found:
            raise IncompleteSignature(
                f"Authorization header must have '{parameter}' parameter only once."
            )
        found[parameter] = value
    return found


def _incomplete(header: bytes, found: Iterable[str], time: bytes | None) -> IncompleteSignature:
    texts = [
        f"Authorization header requires '{name}' parameter."
        for name in _REQUIRED
        if name not in found
    ]
    if time is None:
        texts.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    return IncompleteSignature(f"{' '.join(texts)} Authorization={echo(header)}")


_parse_usual = lru_cache(_CACHED_HEADERS)(_parse)
