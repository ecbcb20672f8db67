"""The parameters of a signature, which a header or the query string of a presigned URL gives."""

from __future__ import annotations

import msgspec

ALGORITHM = b"AWS4-HMAC-SHA256"

CLOCK_SKEW_SECONDS = 15 * 60
"""How old a signature may be, and how far in the future (AWS: 15 minutes)."""


class SignatureParameters(msgspec.Struct, frozen=True, gc=False):
    """The parameters of a signature, as the client gives them.

    Attributes:
        credential: access key ID and scope, as written.
        signed_headers: the list of the signed headers, as written.
        signature: the signature in hexadecimal digits.
        time: the time of signing, as written.
        time_header: the name of the header that has the time; empty in a presigned URL.
        lifetime: the age in seconds up to which the signature is valid.
    """

    credential: bytes
    signed_headers: bytes
    signature: bytes
    time: bytes
    time_header: bytes
    lifetime: int = CLOCK_SKEW_SECONDS
