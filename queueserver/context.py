"""The request context: what an action knows of the request beside its parameters."""

from __future__ import annotations

import msgspec


class RequestContext(msgspec.Struct, frozen=True):
    """Who sent a request, and how queue URLs must look to be of use to them.

    `trace_header` is the request's own X-Amzn-Trace-Id, or empty.
    """

    account: str
    region: str
    base_url: str
    trace_header: str = ""
