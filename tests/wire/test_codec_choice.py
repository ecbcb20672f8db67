"""The choice of the codec by method, content type, target and accepted types."""

from __future__ import annotations

import pytest

from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.codecs.choice import codec_for
from protocol.codecs.query_json import JsonQueryCodec
from protocol.errors import SQSError
from protocol.wire import WireRequest

JSON_TYPE = "application/x-amz-json-1.0"
FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
TARGET = "AmazonSQS.ListQueues"


@pytest.mark.parametrize(
    ("request_", "codec"),
    [
        pytest.param(
            WireRequest("POST", "/", content_type=JSON_TYPE, target=TARGET), JsonCodec, id="JSON"
        ),
        pytest.param(
            WireRequest("POST", "/0/q", content_type=JSON_TYPE, target=TARGET),
            JsonCodec,
            id="JSON, path of a queue",
        ),
        pytest.param(
            WireRequest("POST", "/", target=TARGET), JsonCodec, id="target without content type"
        ),
        pytest.param(
            WireRequest("POST", "/", content_type=JSON_TYPE),
            JsonCodec,
            id="content type without target",
        ),
        pytest.param(
            WireRequest("POST", "/", content_type="Application/X-Amz-Json-1.1"),
            JsonCodec,
            id="content type in mixed case",
        ),
        pytest.param(WireRequest("POST", "/", content_type=FORM_TYPE), QueryCodec, id="form"),
        pytest.param(
            WireRequest("POST", "/", content_type=FORM_TYPE, target=TARGET),
            QueryCodec,
            id="form with target",
        ),
        pytest.param(WireRequest("POST", "/"), QueryCodec, id="neither content type nor target"),
        pytest.param(WireRequest("GET", "/"), QueryCodec, id="GET"),
        pytest.param(
            WireRequest("GET", "/", content_type=JSON_TYPE, target=TARGET),
            QueryCodec,
            id="GET with JSON content type and target",
        ),
        pytest.param(WireRequest("PUT", "/", target=TARGET), QueryCodec, id="PUT"),
        pytest.param(
            WireRequest("GET", "/", accept="application/json"),
            JsonQueryCodec,
            id="GET that accepts JSON",
        ),
        pytest.param(
            WireRequest("GET", "/", accept="text/plain, Application/JSON;q=0.9, */*"),
            JsonQueryCodec,
            id="GET that accepts JSON among others",
        ),
        pytest.param(
            WireRequest("GET", "/", accept="text/html, */*"),
            QueryCodec,
            id="GET that accepts anything",
        ),
        pytest.param(
            WireRequest("POST", "/", content_type=FORM_TYPE, accept="application/json"),
            QueryCodec,
            id="POST that accepts JSON",
        ),
    ],
)
def test_codec_is_chosen_by_method_content_type_target_and_accept(
    request_: WireRequest, codec: type
) -> None:
    assert type(codec_for(request_)) is codec


def test_get_with_a_target_is_answered_404() -> None:
    request = WireRequest("GET", "/0/q", content_type=JSON_TYPE, target=TARGET)
    codec = codec_for(request)
    with pytest.raises(SQSError) as raised:
        codec.read(request)
    response = codec.write_error(raised.value, "rid")
    assert (response.status, response.body) == (404, b"<UnknownOperationException/>")
