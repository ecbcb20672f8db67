"""The caller of a request: what the request says of its sender, and the address that it used."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from queueserver.context import RequestContext
from queueserver.identity.addressing import Addressing
from queueserver.identity.credentials import credential_of
from queueserver.identity.proxies import Peer
from queueserver.identity.senders import Sender


class CallerHeaders(NamedTuple):
    """The headers that say who calls, and by which address; an absent one is an empty string."""

    host: str
    forwarded_host: str = ""
    forwarded_proto: str = ""
    authorization: str = ""
    user_agent: str = ""


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The parts of a request's context that a client repeats in each request.

    Attributes:
        base_url, user_agent, is_secure: see `RequestContext`.
        sender: the sender as the request names it, without proof.
        host_region: the region that the host name demands, or None.
        further_hosts: other values of the header Host that the client may have signed.
    """

    base_url: str
    user_agent: str
    is_secure: bool
    sender: Sender
    host_region: str | None
    further_hosts: tuple[str, ...]

    def context(
        self, sender: Sender, trace_header: str, client_address: str, request_id: str
    ) -> RequestContext:
        """Return the context of one request."""
        return RequestContext(
            sender.account,
            sender.region,
            self.base_url,
            # Drop a non-ASCII trace header instead of rejecting the message.
            trace_header if trace_header.isascii() else "",
            sender.access_key_id,
            client_address,
            self.user_agent,
            request_id,
            sender.user,
            sender.obeys_policies,
            self.is_secure,
            sender.referer,
            sender.source_arn,
            sender.source_account,
        )


class Callers:
    """Finds the caller of a request.

    `account` and `region` are those of a request that names none. If the server checks access, the
    sender of each caller is anonymous: a signature must prove another one (see `Authenticator`).
    """

    def __init__(
        self,
        account: str,
        region: str,
        addressing: Addressing,
        *,
        public_url: str | None = None,
        checks_access: bool,
    ) -> None:
        self._account = account
        self._region = region
        self._addressing = addressing
        self._public_hosts = (urlsplit(public_url).netloc,) if public_url else ()
        self._checks_access = checks_access

    def caller(self, headers: CallerHeaders, query: str, peer: Peer) -> Caller:
        """Return what a request says of its sender.

        `query` is the raw query string, which names the credential in a presigned URL. `peer`
        decides whether the forwarded headers count. The region is that of the host name, else of
        the signature, else the configured one. The account is the configured one; without access
        control, an access key id of 12 digits is the account.
        """
        forwarded = headers[1:3] if peer.names_host else ("", "")
        base_url, host_region = self._addressing.address(
            headers.host, *forwarded, is_secure=peer.is_secure
        )
        account, region, access_key_id = self._account, self._region, ""
        credential = credential_of(headers.authorization, query)
        if credential is not None:
            access_key_id = credential.access_key_id
            region = credential.region
            if not self._checks_access:
                account = credential.account or account
        return Caller(
            base_url,
            headers.user_agent,
            peer.is_request_secure(headers.forwarded_proto),
            Sender(
                account,
                host_region or region,
                access_key_id,
                obeys_policies=self._checks_access,
            ),
            host_region,
            self._further_hosts(headers.forwarded_host, peer),
        )

    def _further_hosts(self, forwarded_host: str, peer: Peer) -> tuple[str, ...]:
        """Return the hosts that a client may have signed, besides the one that arrived.

        A proxy may replace Host. Of several forwarded hosts, the client may have written all but
        the last one.
        """
        if not (peer.is_proxy and forwarded_host):
            return self._public_hosts
        return (forwarded_host.rpartition(",")[2].strip(), *self._public_hosts)
