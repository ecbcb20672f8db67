"""Trace headers of AWS X-Ray: the form of AWSTraceHeader and of the header X-Amzn-Trace-Id."""

from __future__ import annotations

import re

from queueserver.rules.limits import MAXIMUM_TRACE_HEADER_BYTES

# `Self` of a load balancer and `Lineage` of Lambda are other parts, as are an application's own.
_PART = (
    r"(?:Root=1-[0-9A-Fa-f]{8}-[0-9A-Fa-f]{24}"
    r"|Parent=[0-9A-Fa-f]{16}"
    r"|Sampled=[01?]"
    r"|(?!(?:Root|Parent|Sampled)=)[A-Za-z0-9_.-]+=[!-:<-~]+)"
)
_TRACE_HEADER = re.compile(rf"(?=(?:.*; *)?Root=){_PART}(?:; *{_PART})*;?")


def is_trace_header(text: str) -> bool:
    """Return whether the text is a trace header: `Root=1-8HEX-24HEX;Parent=16HEX;Sampled=1`.

    X-Ray: names and values in any order, separated by `;`. Only `Root` is required. All
    characters are ASCII, so the length in characters is that in bytes.
    """
    return len(text) <= MAXIMUM_TRACE_HEADER_BYTES and _TRACE_HEADER.fullmatch(text) is not None
