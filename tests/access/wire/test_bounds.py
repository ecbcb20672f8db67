"""Bounds: strangers fill no cache without a limit, and learn nothing from the steps of a rejection.

Texts that are not ASCII, in each place of a request, never fail the server.
"""

from __future__ import annotations

import hmac
import itertools
from collections import Counter
from functools import _lru_cache_wrapper
from typing import Any

import pytest

from queueserver.identity import credentials
from queueserver.signatures import (
    authorization_header,
    request_target,
    scope,
    signed_headers,
    signing_keys,
    signing_time,
)
from queueserver.signatures.signing_keys import KeyRing
from tests.access.declared_users import KeyPair
from tests.access.wire.conftest import live_server
from tests.access.wire.drafts import SCOPE, draft
from tests.access.wire.http_requests import HttpRequest, as_sent
from tests.access.wire.wire_server import ADMIN, WireServer

ID, SECRET = ADMIN.key_pairs[0][:2]
REQUESTS = 1_200
"""More than the number of entries of each cache."""

CACHES: dict[str, _lru_cache_wrapper[Any]] = {
    "credentials": credentials._find_usual,
    "authorization headers": authorization_header._parse_usual,
    "paths": request_target._parse_usual,
    "scopes": scope._parse_usual,
    "lists of signed headers": signed_headers._parse_usual,
    "times": signing_time._parse,
}


def send(server: WireServer) -> HttpRequest:
    return server.json("SendMessage", QueueUrl="orders", MessageBody="x")


def signing_key_count(server: WireServer) -> int:
    return len(live_server(server.running).authenticator._verifier._ring._cache)


def in_batches(server: WireServer, requests: list[HttpRequest]) -> Counter[int]:
    """Send requests, a hundred on each connection; return how often each status was answered."""
    statuses: Counter[int] = Counter()
    for start in range(0, len(requests), 100):
        answers = server.exchange(*requests[start : start + 100])
        statuses.update(answer.status for answer in answers)
    return statuses


def test_unknown_keys_fill_caches_to_their_limits_and_no_signing_key(server: WireServer) -> None:
    before = signing_key_count(server)
    valid = server.signer().sign(send(server))
    requests = [
        valid.edited(ID, f"AKSTRANGER{number}").edited("content-type;", f"x-{number};content-type;")
        for number in range(REQUESTS)
    ]
    requests = [one._replace(target=f"/{number}") for number, one in enumerate(requests)]
    assert in_batches(server, requests) == {403: REQUESTS}
    assert signing_key_count(server) == before
    for name, cache in CACHES.items():
        info = cache.cache_info()
        assert info.maxsize == 1_000, name
        assert info.currsize <= 1_000, name


def test_wrong_signatures_of_a_known_key_fill_no_cache_of_signing_keys(
    server: WireServer,
) -> None:
    before = signing_key_count(server)
    wrong = server.signer()._replace(pair=KeyPair(ID, "wrong"))
    requests = [wrong._replace(region=f"r{number}").sign(send(server)) for number in range(50)]
    assert in_batches(server, requests) == {403: 50}
    assert signing_key_count(server) == before


def test_signing_keys_of_many_regions_are_limited(server: WireServer) -> None:
    # A user may sign for each region, and there may be any number of them.
    signer = server.signer()
    request = server.json("ListQueues")
    requests = [signer._replace(region=f"r{number}").sign(request) for number in range(REQUESTS)]
    assert in_batches(server, requests) == {200: REQUESTS}
    assert 0 < signing_key_count(server) <= signing_keys._CACHED_KEYS == 1_000


@pytest.mark.parametrize("size", [2_000, 20_000, 60_000])
def test_long_values_are_not_cached(server: WireServer, size: int) -> None:
    text = "a" * size
    valid = draft(server)
    for cache in CACHES.values():
        cache.cache_clear()
    server.rejection(as_sent(valid._replace(signature="0" * 64).in_header()))
    assert server.answer(as_sent(valid.in_header())).status == 200
    before = {name: cache.cache_info().currsize for name, cache in CACHES.items()}
    for wrong in (
        draft(server, credential=f"{text}/{SCOPE}"),
        draft(server, time=text),
        draft(server, signed=f"{text};content-type;host;x-amz-date;x-amz-target"),
    ):
        server.rejection(as_sent(wrong.in_header()))
    assert server.answer(as_sent(draft(server, path=f"/{text}").in_header())).status == 200
    after = {name: cache.cache_info().currsize for name, cache in CACHES.items()}
    assert after == before


def test_unknown_key_takes_the_steps_of_a_known_one(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Then the time of the answer does not say which keys exist.
    steps: Counter[str] = Counter()
    derive, compare = KeyRing.derive, hmac.compare_digest

    def count_derive(ring: KeyRing[Any], secret: bytes, given: scope.CredentialScope) -> bytes:
        steps["derive"] += 1
        return derive(ring, secret, given)

    def count_compare(one: bytes, other: bytes) -> bool:
        steps["compare"] += 1
        return compare(one, other)

    monkeypatch.setattr(KeyRing, "derive", count_derive)
    monkeypatch.setattr(hmac, "compare_digest", count_compare)
    request = send(server)
    taken = []
    for pair in (KeyPair(ID, "wrong"), KeyPair("AKUNKNOWN", "wrong")):
        steps.clear()
        signer = server.signer()._replace(pair=pair, region="eu-south-1")  # in no cache
        assert server.answer(signer.sign(request)).status == 403
        taken.append(dict(steps))
    assert taken[0] == taken[1]
    assert taken[0]["derive"] == taken[0]["compare"] >= 1


# Texts that are not ASCII

TEXTS = ["\udcff", "\u00e9", "\u0130", "\u212a", "\U0001f600", "\udced\udca0\udc80"]
NAMES = [
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Date",
    "Host",
    "Referer",
    "User-Agent",
    "X-Amz-Content-Sha256",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Source-Arn",
    "X-Amz-Target",
    "X-Forwarded-For",
    "X-Forwarded-Host",
]


@pytest.mark.parametrize("name", NAMES)
def test_header_that_is_not_ascii_never_fails_the_server(
    server: WireServer, protocol: str, name: str
) -> None:
    request = server.post(protocol, "SendMessage", QueueUrl="public", MessageBody="x")
    for text in TEXTS:
        signed = server.signer().sign(request)
        added = signed.without(name).adding((name, text))
        for sent in (added, request.without(name).adding((name, text))):
            assert server.answer(sent).status < 500
    server.purge("public")


def test_signed_headers_that_are_not_ascii_are_verified_as_they_came(server: WireServer) -> None:
    for text in ("\u00e9", "\u212a", "\U0001f600"):
        signed = server.signer().sign(send(server).adding(("X-Note", text)))
        assert server.answer(signed).status == 200
        changed = signed.replacing("X-Note", f"{text}\u00e9")
        assert server.rejection(changed).code == "SignatureDoesNotMatch"
    server.purge("orders")


@pytest.mark.parametrize("name", ["aws:UserAgent", "aws:Referer"])
@pytest.mark.parametrize("operator", ["StringLike", "StringNotLike", "StringEqualsIgnoreCase"])
def test_condition_on_a_header_that_is_not_ascii_never_fails_the_server(
    server: WireServer, protocol: str, name: str, operator: str
) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": "*",
        "Condition": {operator: {name: ["*\u00e9*", "a?"]}},
    }
    server.set_policy("victim", {"Version": "2012-10-17", "Statement": [statement]})
    header = {"aws:UserAgent": "User-Agent", "aws:Referer": "Referer"}[name]
    request = server.post(protocol, "SendMessage", QueueUrl="victim", MessageBody="x")
    for text, is_signed in itertools.product(TEXTS, (False, True)):
        added = request.adding((header, text))
        sent = server.signer().sign(request).adding((header, text)) if is_signed else added
        assert server.answer(sent).status < 500
    server.set_policy("victim", None)
    server.purge("victim")
