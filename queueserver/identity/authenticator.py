"""The authenticator: which user sent a request, by its signature."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from protocol.errors import SQSError
from queueserver.access.modes import AccessMode
from queueserver.access.users import AccessKey, Users
from queueserver.identity.callers import Caller
from queueserver.identity.senders import Sender
from queueserver.signatures.echo import echo
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.verifier import Verified, Verifier

log = logging.getLogger(__name__)

_SOURCE_ARN = b"x-amz-source-arn"
_SOURCE_ACCOUNT = b"x-amz-source-account"
"""The headers in which an AWS service names the resource that it calls another service for."""


class Authenticated(msgspec.Struct, frozen=True, gc=False):
    """A request whose sender is known.

    Attributes:
        sender: the sender.
        path: the path that names the queue; other spellings of it have the same signature.
        is_content_type_signed: False if Content-Type may have been changed on the way. It must not
            choose the protocol then.
    """

    sender: Sender
    path: str
    is_content_type_signed: bool = True


class Authenticator:
    """Finds the senders of requests by their signatures.

    If access control is off, `is_on` is False, and nothing is verified. `clock` returns the real
    time in seconds since the epoch.
    """

    def __init__(self, mode: AccessMode, users: Users, clock: Callable[[], float]) -> None:
        self.is_on = mode is not AccessMode.OFF
        self._rejects = mode is AccessMode.ON
        self._verifier: Verifier[AccessKey] = Verifier(users, clock)

    def use_users(self, users: Users) -> None:
        """Accept the access keys of these users from now on, and no others."""
        self._verifier.use_keys(users)

    def authenticate(self, caller: Caller, request: SignedRequest) -> Authenticated:
        """Return the sender of a request: an anonymous one if it has no credentials at all.

        `caller` is what the request says without proof. Threads may call this.

        Raises:
            SQSError: the signature is wrong, or its access key is unknown.
        """
        verified = self._verifier.verify(request, caller.further_hosts, caller.host_region)
        if verified is None:
            # A parameter such as MyCredential looks like a credential, and names a key.
            anonymous = msgspec.structs.replace(
                caller.sender, access_key_id="", referer=_text(request, b"referer") or ""
            )
            return Authenticated(anonymous, request.path)
        return Authenticated(
            _sender_of(verified, request), verified.path, verified.is_content_type_signed
        )

    def accept_unproved(
        self,
        error: SQSError,
        caller: Caller,
        path: str,
        action: str | None,
        client_address: str,
        request_id: str,
    ) -> Authenticated:
        """Accept a request that `authenticate` has rejected with this error, in mode `log`.

        Its sender is what the request says. Call this once for a request: it logs the error.
        `action` is the name of the action if the headers have it.

        Raises:
            SQSError: the same error in mode `on`, with the denial for the log.
        """
        denial = (
            f"access_key_id={_quoted_id(caller.sender)} "
            f"action={f'sqs:{action}' if action else 'unknown'} client={client_address} "
            f"reason={error.reason or error.message}"
        )
        if self._rejects:
            error.denial = denial
            raise error
        log.warning(
            "request would be denied, accepting it in mode log: code=%s request_id=%s %s",
            error.code,
            request_id,
            denial,
        )
        unproved = msgspec.structs.replace(caller.sender, obeys_policies=False)
        return Authenticated(unproved, path)


def _quoted_id(sender: Sender) -> str:
    """Return the access key ID that a request names without proof, for the log, or `none`."""
    return echo(sender.access_key_id.encode(errors="surrogateescape")) or "none"


def _sender_of(verified: Verified[AccessKey], request: SignedRequest) -> Sender:
    user = verified.key.user
    source_arn = source_account = None
    if user.service:
        # Only a service can call on behalf of a resource, and only its signature proves which.
        if verified.signs(_SOURCE_ARN):
            source_arn = _text(request, _SOURCE_ARN)
        if verified.signs(_SOURCE_ACCOUNT):
            source_account = _text(request, _SOURCE_ACCOUNT)
    return Sender(
        user.account,
        verified.region,
        verified.key.access_key_id,
        user,
        True,
        _text(request, b"referer") or "",
        source_arn,
        source_account,
    )


def _text(request: SignedRequest, name: bytes) -> str | None:
    value = request.headers.get(name)
    return None if value is None else value.decode(errors="surrogateescape")
