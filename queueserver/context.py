"""The request context: the data of a request besides the parameters of its action."""

from __future__ import annotations

import msgspec

ANONYMOUS = ""
"""The principal of a request that carries no credential; an access key id is never empty."""


# `gc=False`: a context holds only strings, so it can be part of no reference cycle.
class RequestContext(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request, its account and region, and the data that the response needs.

    `account` (12 digits) and `region` are those that queue names without an account mean.
    `base_url` is the scheme and host of the queue URLs in the response, without a final slash.
    `trace_header` is the request's X-Amzn-Trace-Id, or empty. `principal` is the access key id
    that the request names, or `ANONYMOUS`; no signature is verified. `client_address` is the IP
    address of the client, `user_agent` the request's header; both are empty for the server's own
    calls. `request_id` is the one that the response and log lines carry. `is_secure` is whether the
    request came over TLS.
    """

    account: str
    region: str
    base_url: str
    trace_header: str = ""
    principal: str = ANONYMOUS
    client_address: str = ""
    user_agent: str = ""
    request_id: str = ""
    is_secure: bool = False
