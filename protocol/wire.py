"""The door of this package: which of the two protocols does a request speak?

Refuses nothing: what neither protocol understands is refused by the Query protocol, as AWS does.
"""

from __future__ import annotations

from protocol.aws_json import JsonCodec
from protocol.aws_query import QueryCodec
from protocol.envelope import Codec, WireRequest, WireResponse

__all__ = ["Codec", "WireRequest", "WireResponse", "codec_for"]

_JSON = JsonCodec()
_QUERY = QueryCodec()


def codec_for(request: WireRequest) -> Codec:
    """Choose by content type, as AWS does, or by target, for clients that forget the type.

    JSON is posted; any other method is left to Query, and so answers in XML.
    """
    json = request.target or request.content_type.lower().startswith("application/x-amz-json-")
    return _JSON if json and request.method == "POST" else _QUERY
