"""The input of a signature: the canonical request and the string to sign."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import msgspec

from queueserver.signatures.parameters import ALGORITHM
from queueserver.signatures.scope import CredentialScope
from queueserver.signatures.signed_headers import SignedHeaders
from queueserver.signatures.signing_time import SigningTime


# `gc=False`: it is part of no reference cycle, and each request has one.
class SignatureInput(msgspec.Struct, frozen=True, gc=False):
    """The data that a signature is computed from, for any value of the header Host.

    Attributes:
        start: the method, the canonical path and the canonical query, a line each.
        headers: the headers, by their names in lower case.
        signed: the list of the signed headers.
        payload_hash: the hash of the body.
        time: the time of signing.
        scope: the scope of the credential.
    """

    start: bytes
    headers: Mapping[bytes, bytes]
    signed: SignedHeaders
    payload_hash: bytes
    time: SigningTime
    scope: CredentialScope

    def canonical_request(self, host: bytes) -> bytes:
        """Return the canonical request; a missing header is empty in it."""
        get, signed = self.headers.get, self.signed
        values = [
            b" ".join((host if name == b"host" else get(name, b"")).split())
            for name in signed.names
        ]
        headers = signed.form % tuple(values)
        return b"\n".join((self.start, headers, signed.text, self.payload_hash))

    def string_to_sign(self, canonical_request: bytes) -> bytes:
        """Return the string to sign for a canonical request."""
        digest = hashlib.sha256(canonical_request).hexdigest().encode()
        return b"\n".join((ALGORITHM, self.time.text, self.scope.text, digest))

    def signature(self, signing_key: bytes, host: bytes) -> bytes:
        """Return the signature, in hexadecimal digits."""
        to_sign = self.string_to_sign(self.canonical_request(host))
        return hmac.digest(signing_key, to_sign, "sha256").hex().encode()


def payload_hash(body: bytes) -> bytes:
    """Return the SHA-256 hash of a body, in hexadecimal digits."""
    return hashlib.sha256(body).hexdigest().encode()
