"""Verification of a signed request, in AWS's order: the text of an error depends on it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Generic

import msgspec

from protocol.errors import InvalidClientTokenId
from queueserver.signatures.ambiguity import check_content_hash
from queueserver.signatures.authentication import signature_parameters
from queueserver.signatures.echo import echo
from queueserver.signatures.mismatch import mismatch
from queueserver.signatures.request_target import parse_path, parse_query
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.scope import CredentialScope, parse_credential
from queueserver.signatures.session_token import check_no_session_token
from queueserver.signatures.signature_input import SignatureInput, payload_hash
from queueserver.signatures.signed_headers import parse_signed_headers
from queueserver.signatures.signing_keys import Key, KeyRing, Keys
from queueserver.signatures.signing_time import parse_signing_time

_NO_SECRET = b"x" * 40
"""A secret for access keys that do not exist, so that their rejection takes as long."""


class Verified(msgspec.Struct, Generic[Key], frozen=True, gc=False):
    """A request whose signature is valid.

    Attributes:
        key: the access key that signed it.
        region: the region of the signature's scope.
        host: the host that the client signed: that of the request, or a further one.
        path: the path without dot segments and empty segments. Only this path may name the queue:
            several paths have the same signature, and this is the same in all of them.
        signed_headers: the names of the signed headers, in lower case.
    """

    key: Key
    region: str
    host: bytes
    path: str
    signed_headers: frozenset[bytes]

    def signs(self, name: bytes) -> bool:
        """Return whether the signature covers a header; its name is in lower case."""
        return name in self.signed_headers

    @property
    def is_content_type_signed(self) -> bool:
        """Whether the signature covers Content-Type; if not, it may not choose the protocol."""
        return b"content-type" in self.signed_headers


class Verifier(Generic[Key]):
    """Verifies signatures by the access keys that the server knows. Threads may share it.

    `clock` returns the real time in seconds since the epoch.
    """

    def __init__(self, keys: Keys[Key], clock: Callable[[], float], service: str = "sqs") -> None:
        self._clock = clock
        self._service = service.encode()
        self._ring = KeyRing(keys, self._service)

    def use_keys(self, keys: Keys[Key]) -> None:
        """Replace the access keys, and drop the signing keys that were derived from the old."""
        self._ring = KeyRing(keys, self._service)

    def verify(
        self, request: SignedRequest, hosts: Sequence[str] = (), region: str | None = None
    ) -> Verified[Key] | None:
        """Verify the signature of a request; return None if it has no credentials at all.

        `hosts` are further values of the header Host that the client may have signed: those of a
        trusted proxy and of the public URL. `region` is the region that the host name demands.

        Raises:
            MalformedQueryString: the path or the query string can be read in more than one way.
            IncompleteSignature: the credentials are incomplete, or of another scheme.
            SignatureDoesNotMatch: the signature is wrong, expired or for another scope.
            InvalidClientTokenId: the access key is unknown or expired, or has a session token.
        """
        path = parse_path(request.path)
        query = parse_query(request.query)
        parameters = signature_parameters(request, query)
        if parameters is None:
            return None
        now = self._clock()
        signed_headers = parse_signed_headers(parameters.signed_headers)
        signed_headers.check_required(request.headers, parameters.time_header)
        time = parse_signing_time(parameters.time, parameters.time_header)
        time.check_current(int(now), parameters.lifetime)
        scope = parse_credential(parameters.credential)
        scope.check(time, self._service, region)
        signed = SignatureInput(
            b"\n".join((request.method.encode(), path.canonical, query.canonical())),
            request.headers,
            signed_headers,
            payload_hash(request.body),
            time,
            scope,
        )
        ring = self._ring
        found = ring.keys.find(scope.access_key_id)
        key = None if found is None or found.is_expired(now) else found
        signing_key = (
            ring.derive(_NO_SECRET, scope) if key is None else ring.signing_key(key, scope)
        )
        all_hosts = _distinct(request.headers.get(b"host", b""), hosts)
        host = _signed_host(signed, signing_key, all_hosts, parameters.signature)
        if key is None:
            raise _invalid_key(scope, is_known=found is not None)
        check_content_hash(request, signed.payload_hash)
        fault = signed_headers.fault(request.headers)
        if fault or host is None:
            raise mismatch(signed, all_hosts[0], fault or _wrong_signature(scope, all_hosts))
        ring.store(key, scope, signing_key)
        check_no_session_token(request, query)
        return Verified(key, scope.region_name, host, path.normalized, signed_headers.name_set)


def _distinct(host: bytes, hosts: Sequence[str]) -> list[bytes]:
    """Return the host of the request, and the further ones that differ from it."""
    if not hosts:
        return [host]
    further = [name.encode(errors="surrogateescape") for name in hosts]
    return list(dict.fromkeys((host, *further)))


def _signed_host(
    signed: SignatureInput, signing_key: bytes, hosts: Sequence[bytes], signature: bytes
) -> bytes | None:
    """Return the host with which the signature is valid, or None."""
    for host in hosts:
        # `compare_digest` takes equal time for all signatures of equal length.
        if hmac.compare_digest(signed.signature(signing_key, host), signature):
            return host
    return None


def _invalid_key(scope: CredentialScope, *, is_known: bool) -> InvalidClientTokenId:
    name = echo(scope.access_key_id.encode("latin-1"))
    fault = "has expired" if is_known else "is unknown"
    return InvalidClientTokenId(reason=f"access key {name} {fault}")


def _wrong_signature(scope: CredentialScope, hosts: Sequence[bytes]) -> str:
    name = echo(scope.access_key_id.encode("latin-1"))
    tried = ", ".join(map(echo, hosts))
    return (
        f"signature of access key {name} does not match: another secret, or a proxy changed the"
        f" request (hosts tried: {tried})"
    )
