"""The end of a certificate's validity, read from its PEM file.

The `ssl` module does not show the server's own certificate. Of the certificate's DER encoding
(RFC 5280, 4.1), this module reads as much as it needs.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import NamedTuple

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.ASCII | re.DOTALL
)

_SEQUENCE = 0x30
_VERSION = 0xA0
_TIME_FORMATS = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""The two types of a time: UTCTime, whose years are 1950 to 2049, and GeneralizedTime."""


class _Element(NamedTuple):
    """An element of DER: its type, its content, and the bytes that follow it."""

    kind: int
    content: bytes
    rest: bytes


def end_of_validity(pem: str) -> datetime:
    """Return until when the first certificate of a PEM file is valid.

    Raises:
        ValueError: there is no certificate, or it cannot be read.
    """
    found = _CERTIFICATE.search(pem)
    if found is None:
        raise ValueError("no certificate")
    certificate = _element(ssl.PEM_cert_to_DER_cert(found[0]), _SEQUENCE)
    signed = _element(certificate.content, _SEQUENCE).content
    if signed[:1] == bytes([_VERSION]):
        signed = _element(signed).rest
    # Before the validity: serial number, algorithm and issuer.
    for _ in range(3):
        signed = _element(signed).rest
    begin = _element(_element(signed, _SEQUENCE).content)
    end = _element(begin.rest)
    if end.kind not in _TIME_FORMATS:
        raise ValueError("no time")
    text = end.content.decode("ascii")
    time = datetime.strptime(text, _TIME_FORMATS[end.kind]).replace(tzinfo=UTC)
    # Python takes the years 50 to 68 of a UTCTime as those of this century.
    is_of_last_century = end.kind == 0x17 and time.year >= 2050
    return time.replace(year=time.year - 100) if is_of_last_century else time


def _element(data: bytes, kind: int | None = None) -> _Element:
    """Return the first element of DER.

    Raises:
        ValueError: the data is no DER, or the element is not of the type `kind`.
    """
    if len(data) < 2 or (kind is not None and data[0] != kind):
        raise ValueError("not DER")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if end > len(data):
        raise ValueError("not DER")
    return _Element(data[0], data[start:end], data[end:])
