"""The request context: the data of a request besides the parameters of its action."""

from __future__ import annotations

import msgspec

from queueserver.access.users import User


# `gc=False`: nothing that a context refers to refers to a context.
class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request, its account and region, and the data that the response needs.

    Attributes:
        account: 12 digits; the account that queue names without an account mean.
        region: the region that queue names mean.
        base_url: scheme and host of the queue URLs in the response, without a final slash.
        trace_header: the request's X-Amzn-Trace-Id, or empty.
        access_key_id: the access key that signed the request; without access control, the one that
            the request names; or empty.
        client_address: the IP address of the client; empty for the server's own calls.
        user_agent: the request's User-Agent header, or empty.
        request_id: the request id that the response and log lines carry.
        user: the user whose signature was verified; None for an anonymous sender.
        obeys_policies: whether the sender may only do what policies allow. False for the server's
            own calls, and for clients if access control is off.
        is_secure: whether the request came over TLS.
        referer: the request's Referer header, or empty.
        source_arn: for a service user: the ARN on whose behalf it calls, or None.
        source_account: for a service user: the account of that ARN, or None.
    """

    account: str
    region: str
    base_url: str
    trace_header: str = ""
    access_key_id: str = ""
    client_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    user: User | None = None
    obeys_policies: bool = True
    is_secure: bool = False
    referer: str = ""
    source_arn: str | None = None
    source_account: str | None = None

    @property
    def sender_id(self) -> str:
        """The SenderId of messages. AWS: the id of a user, or an anonymous sender's IP address."""
        if self.user is not None:
            return self.user.unique_id
        return (self.obeys_policies and self.client_address) or self.account
