"""The door of this package: which protocol does a request speak, and how is it answered?

Refuses nothing: what neither protocol understands is refused by the Query protocol, as AWS does.
"""

from __future__ import annotations

from protocol.codecs import query_json
from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.codecs.query_json import JsonQueryCodec
from protocol.wire import Codec, WireRequest, WireResponse

__all__ = ["Codec", "WireRequest", "WireResponse", "codec_for"]

_JSON = JsonCodec()
_QUERY = QueryCodec()
_JSON_QUERY = JsonQueryCodec()


def codec_for(request: WireRequest) -> Codec:
    """Choose by content type, as AWS does, or by target, for clients that forget the type.

    JSON is posted; any other method is left to Query, which answers in XML, but for a GET that asks
    for JSON. A form is Query's, whatever target it names: some clients of old send both.
    """
    if request.method != "POST":
        return _JSON_QUERY if query_json.is_asked_for(request) else _QUERY
    content_type = request.content_type.lower()
    is_json = content_type.startswith("application/x-amz-json-") or (
        request.target and not content_type.startswith("application/x-www-form-urlencoded")
    )
    return _JSON if is_json else _QUERY
