"""The request context that the HTTP server passes to an action."""

from __future__ import annotations

import json

import msgspec
import pytest

from queueserver.context import RequestContext
from queueserver.dispatch import Dispatcher
from queueserver.http.clients.connections import ipv4_if_mapped
from tests.api.live_server import LiveServer
from tests.api.raw_http import FORM, exchange, json_headers

SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/sqs/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "User-Agent": "test/1.0",
    "Host": "queues.example:9324",
}


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[RequestContext]:
    """Record and return the contexts of the dispatched actions."""
    contexts: list[RequestContext] = []
    dispatch = Dispatcher.dispatch

    async def record(
        self: Dispatcher, context: RequestContext, request: msgspec.Struct
    ) -> msgspec.Struct | None:
        contexts.append(context)
        return await dispatch(self, context, request)

    monkeypatch.setattr(Dispatcher, "dispatch", record)
    return contexts


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_context_of_signed_request_has_access_key_and_client(
    server: LiveServer, contexts: list[RequestContext], protocol: str
) -> None:
    if protocol == "json":
        headers, body = json_headers("ListQueues"), json.dumps({})
    else:
        headers, body = FORM, "Action=ListQueues"
    answer = exchange(server.url, headers={**headers, **SIGNED}, body=body)
    assert contexts == [
        RequestContext(
            account="000000000000",
            region="eu-west-1",
            base_url="http://queues.example:9324",
            access_key_id="AKIDEXAMPLE",
            client_address="127.0.0.1",
            user_agent="test/1.0",
            request_id=answer.headers["x-amzn-requestid"],
            obeys_policies=False,
        )
    ]


def test_request_without_credential_is_anonymous(
    server: LiveServer, contexts: list[RequestContext]
) -> None:
    exchange(server.url, "GET", "/?Action=ListQueues")
    (context,) = contexts
    assert (context.access_key_id, context.user_agent) == ("", "")
    assert (context.account, context.region) == ("000000000000", "us-east-1")
    assert context.base_url == server.url


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="IPv4"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="IPv4 on an IPv6 listener"),
        pytest.param("2001:db8::1", "2001:db8::1", id="IPv6"),
        pytest.param("::ffff:1:2", "::ffff:1:2", id="IPv6 with the same beginning"),
    ],
)
def test_client_address_does_not_depend_on_the_family_of_the_listener(
    peer: str, address: str
) -> None:
    assert ipv4_if_mapped(peer) == address
