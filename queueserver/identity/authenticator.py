"""The authenticator: which user sent a request, by its signature."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import msgspec

from protocol.errors import SQSError
from queueserver.access.modes import AccessMode
from queueserver.access.users import User, Users
from queueserver.identity.callers import Caller
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.verifier import Verifier

log = logging.getLogger(__name__)

_SOURCE_ARN = b"x-amz-source-arn"
_SOURCE_ACCOUNT = b"x-amz-source-account"
"""The headers by which an AWS service says for which resource it calls another service."""


class Sender(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request, as its signature proves it.

    `user` is None for an anonymous sender. `signs_content_type` is False if the Content-Type may
    have been changed on the way. The other fields are those of `RequestContext`.
    """

    account: str
    region: str
    user: User | None = None
    obeys_policies: bool = True
    signs_content_type: bool = True
    referer: str = ""
    source_arn: str | None = None
    source_account: str | None = None


class Authenticator:
    """Verifies the signatures of requests.

    If access control is off, `is_on` is False, and no request needs a signature. In mode `log`, a
    request whose signature is wrong is logged and accepted. `clock` returns epoch seconds:
    signatures use the real time.
    """

    def __init__(
        self, mode: AccessMode, users: Users, clock: Callable[[], float] = time.time
    ) -> None:
        self.is_on = mode is not AccessMode.OFF
        self._rejects = mode is AccessMode.ON
        self._verifier = Verifier(users, clock)

    def use_users(self, users: Users) -> None:
        """Accept the keys of these users from now on, and no others."""
        self._verifier.use_keys(users)

    def authenticate(
        self, caller: Caller, request: SignedRequest, hosts: Sequence[bytes], request_id: str
    ) -> Sender:
        """Return the sender of a request, or an anonymous one if it names no credential.

        `caller` is what the request says without proof. `hosts` are further values of the Host
        header that the client may have signed.

        Raises:
            SQSError: the signature is wrong, or its key is unknown.
        """
        try:
            verified = self._verifier.verify(request, hosts, caller.host_region)
        except SQSError as error:
            error.reason = (
                f"access_key_id={caller.access_key_id} client= reason={error.reason}"
            )
            if self._rejects:
                raise
            log.warning(
                "request would be denied, accepting it in mode log: request_id=%s %s",
                request_id,
                error.reason,
            )
            return Sender(caller.account, caller.region, obeys_policies=False)
        headers = request.headers
        referer = headers.get(b"referer", b"").decode("latin-1")
        if verified is None:
            return Sender(caller.account, caller.region, referer=referer)
        user = verified.key.user
        source_arn = source_account = None
        if user.service:
            pass
        return Sender(
            user.account,
            verified.region,
            user,
            True,
            verified.signs(b"content-type"),
            referer,
            source_arn,
            source_account,
        )
