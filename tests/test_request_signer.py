"""The signer of the loads makes the signatures of botocore."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.access.declared_users import key_pair
from tests.bench.client import Request, json_request, query_request, queue_url
from tests.request_signer import RequestSigner, signer_of, url_with_credentials

PAIR = key_pair("load")
SEND = {"QueueUrl": queue_url("q"), "MessageBody": "ä€😀 "}
REQUESTS = [
    pytest.param(json_request("SendMessage", **SEND), id="JSON"),
    pytest.param(query_request("SendMessage", **SEND), id="Query"),
]
SIGNED_BY_BOTO3 = ("Content-Type", "X-Amz-Target", "x-amzn-query-mode", "User-Agent")
"""The headers that boto3 has set when it signs."""


def headers_of(request: bytes) -> dict[str, str]:
    _, *lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("request_", REQUESTS)
def test_signature_is_that_of_botocore(request_: Request) -> None:
    raw = request_.unsigned()
    headers = {name: value for name, value in headers_of(raw).items() if name in SIGNED_BY_BOTO3}
    expected = AWSRequest("POST", "http://bench:9324/", headers=headers, data=request_.body)
    SigV4Auth(Credentials(*PAIR[:2]), "sqs", "us-east-1").add_auth(expected)
    time = datetime.strptime(expected.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = RequestSigner(*PAIR[:2], now=time.timestamp).sign(raw)
    found = headers_of(signed)
    for name in ("X-Amz-Date", "Authorization"):
        assert found[name] == expected.headers[name]
        assert signed.count(f"\r\n{name}: ".encode()) == 1
    assert signed.endswith(b"\r\n\r\n" + request_.body)


def test_url_with_credentials_has_a_signer_and_others_have_none() -> None:
    url = "http://127.0.0.1:9324"
    assert signer_of(url) is None
    assert signer_of(url_with_credentials(url, *PAIR[:2])) is not None
