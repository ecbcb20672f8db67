"""The caller of a request: its principal, account and region, and the address that it used."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from queueserver.context import ANONYMOUS, RequestContext
from queueserver.identity.addressing import Addressing
from queueserver.identity.proxies import Peer
from queueserver.identity.signatures import credential_of


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
    principal: str
    user_agent: str
    is_secure: bool

    def context(self, trace_header: str, client_address: str, request_id: str) -> RequestContext:
        """Return the context of one request."""
        return RequestContext(
            self.account,
            self.region,
            self.base_url,
            # Drop a non-ASCII trace header instead of rejecting the message.
            trace_header if trace_header.isascii() else "",
            self.principal,
            client_address,
            self.user_agent,
            request_id,
            self.is_secure,
        )


class Callers:
    """Finds the caller of a request.

    `account` and `region` are those of a request that names none.
    """

    def __init__(self, account: str, region: str, addressing: Addressing) -> None:
        self._account = account
        self._region = region
        self._addressing = addressing

    def caller(self, headers: CallerHeaders, query: str, peer: Peer) -> Caller:
        """Return the principal, account, region and base URL of a request.

        `peer` decides whether the forwarded headers count.
        `query` is the raw query string, which names the credential in a presigned URL. The region
        is that of the host name, else of the signature, else the configured one. The account is
        the access key id if that has 12 digits, else the configured one.
        """
        forwarded = headers[1:3] if peer.names_host else ("", "")
        base_url, host_region = self._addressing.address(
            headers.host, *forwarded, is_secure=peer.is_secure
        )
        account, region, principal = self._account, self._region, ANONYMOUS
        credential = credential_of(headers.authorization, query)
        if credential is not None:
            principal = credential.access_key_id
            region = credential.region
            account = credential.account or account
        return Caller(
            account,
            host_region or region,
            base_url,
            principal,
            headers.user_agent,
            peer.is_request_secure(headers.forwarded_proto),
        )
