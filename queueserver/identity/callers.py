"""The caller of a request: its principal, account and region, and the address that it used."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from queueserver.access.users import User
from queueserver.context import RequestContext
from queueserver.identity.addressing import Addressing
from queueserver.identity.credentials import credential_of


class CallerHeaders(NamedTuple):
    """The headers that say who calls, and by which address; an absent one is an empty string."""

    host: str
    forwarded_host: str = ""
    forwarded_proto: str = ""
    authorization: str = ""
    user_agent: str = ""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The parts of a request's context that a client repeats in each request.

    The fields are those of `RequestContext`.
    """

    account: str
    region: str
    base_url: str
    access_key_id: str
    user_agent: str
    user: User | None
    obeys_policies: bool

    def context(self, trace_header: str, client_address: str, request_id: str) -> RequestContext:
        """Return the context of one request."""
        return RequestContext(
            self.account,
            self.region,
            self.base_url,
            # Drop a non-ASCII trace header instead of rejecting the message.
            trace_header if trace_header.isascii() else "",
            self.access_key_id,
            client_address,
            self.user_agent,
            request_id,
            self.user,
            self.obeys_policies,
        )


class Callers:
    """Finds the caller of a request, by what the request says.

    `account` and `region` are those of a request that names none. If the server checks access, a
    caller is anonymous until its signature is verified (see `Authenticator`).
    """

    def __init__(
        self, account: str, region: str, addressing: Addressing, *, checks_access: bool
    ) -> None:
        self._account = account
        self._region = region
        self._addressing = addressing
        self._checks_access = checks_access

    def caller(self, headers: CallerHeaders, query: str) -> Caller:
        """Return the access key id, account, region and base URL of a request.

        `query` is the raw query string, which names the credential in a presigned URL. The region
        is that of the host name, else of the signature, else the configured one. The account is
        the configured one; without access control, an access key id of 12 digits is the account.
        """
        base_url, host_region = self._addressing.address(*headers[:3])
        account, region, access_key_id = self._account, self._region, ""
        credential = credential_of(headers.authorization, query)
        if credential is not None:
            access_key_id = credential.access_key_id
            region = credential.region
            if not self._checks_access:
                account = credential.account or account
        return Caller(
            account,
            host_region or region,
            base_url,
            access_key_id,
            headers.user_agent,
            None,
            self._checks_access,
        )
