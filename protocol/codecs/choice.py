"""The choice of the codec for a request: AWS JSON, Query, or Query answered in JSON."""

from __future__ import annotations

from protocol.codecs import query_json
from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.codecs.query_json import JsonQueryCodec
from protocol.wire import Codec, WireRequest

_JSON = JsonCodec()
_QUERY = QueryCodec()
_JSON_QUERY = JsonQueryCodec()


def codec_for(request: WireRequest) -> Codec:
    """Return the codec for a request.

    A POST with a content type of AWS JSON, or with X-Amz-Target and no form, is AWS JSON: some
    clients omit the content type. A form is Query even with X-Amz-Target: some old clients send
    both. A GET that accepts JSON is Query answered in JSON. All else is Query, which rejects what
    it cannot read, as AWS does.
    """
    if request.method != "POST":
        return _JSON_QUERY if query_json.is_asked_for(request) else _QUERY
    content_type = request.content_type.lower()
    is_json = content_type.startswith("application/x-amz-json-") or (
        request.target and not content_type.startswith("application/x-www-form-urlencoded")
    )
    return _JSON if is_json else _QUERY
