"""The time of signing: a request is valid for 15 minutes, a presigned URL no longer.

The tests move the server's time; the message clock is another one.
"""

from __future__ import annotations

from email.utils import formatdate

import pytest

from tests.access.wire.drafts import SCOPE, draft, url_draft
from tests.access.wire.http_requests import SIGNED_AT, HttpRequest, as_sent, get
from tests.access.wire.wire_server import ADMIN, WireServer

MINUTES_15 = 15 * 60


def send(server: WireServer, protocol: str = "json") -> HttpRequest:
    return server.post(protocol, "SendMessage", QueueUrl="orders", MessageBody="x")


@pytest.mark.parametrize("age", [0, 1, MINUTES_15, -1, -MINUTES_15])
def test_signature_is_valid_for_15_minutes_around_its_time(
    server: WireServer, protocol: str, age: float
) -> None:
    server.now.seconds += age
    assert server.answer(server.signer().sign(send(server, protocol))).status == 200
    server.purge("orders")


@pytest.mark.parametrize("age", [MINUTES_15 + 1, MINUTES_15 + 3_600, 366 * 86_400])
def test_old_signature_is_rejected(server: WireServer, protocol: str, age: float) -> None:
    signed = server.signer().sign(send(server, protocol))
    assert server.answer(signed).status == 200
    server.purge("orders")
    server.now.seconds += age
    error = server.rejection(signed)
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert error.text.startswith(f"Signature expired: {SIGNED_AT} is now earlier than ")


@pytest.mark.parametrize("age", [-MINUTES_15 - 1, -16 * 60, -366 * 86_400])
def test_signature_of_the_future_is_rejected(server: WireServer, protocol: str, age: float) -> None:
    server.now.seconds += age
    error = server.rejection(server.signer().sign(send(server, protocol)))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert error.text.startswith(f"Signature not yet current: {SIGNED_AT} is still later than ")


def test_request_that_is_replayed_within_15_minutes_is_accepted(server: WireServer) -> None:
    # AWS: a signature has no nonce, so only TLS prevents a replay.
    signed = server.signer().sign(send(server))
    for age in (0, 60, MINUTES_15):
        server.now.seconds = server.now.signing_time + age
        assert server.answer(signed).status == 200
    assert server.message_count("orders") == 3
    server.purge("orders")


# Presigned URLs


@pytest.mark.parametrize(
    ("expires", "age", "is_valid"),
    [
        ("1", 0, True),
        ("1", 1, True),
        ("1", 2, False),
        ("60", 60, True),
        ("60", 61, False),
        ("900", MINUTES_15, True),
        ("604800", MINUTES_15, True),
        ("604800", MINUTES_15 + 1, False),
        ("60", -MINUTES_15, True),
        ("60", -MINUTES_15 - 1, False),
    ],
)
def test_presigned_url_is_valid_until_it_expires_and_for_at_most_15_minutes(
    server: WireServer, expires: str, age: float, is_valid: bool
) -> None:
    signer = server.signer()._replace(expires=expires)
    path = "/000000000000/orders"
    url = signer.sign(get(server.host, path, Action="SendMessage", MessageBody="x"))
    server.now.seconds += age
    if is_valid:
        assert server.answer(url).status == 200
        server.purge("orders")
    else:
        assert server.rejection(url).code == "SignatureDoesNotMatch"


EXPIRES = [
    "-1",
    "0",
    "604801",
    "999999999",
    "1e9",
    "\u0663",
    "",
    "+60",
    " 60",
    "60 ",
    "6_0",
    "60.0",
]


@pytest.mark.parametrize("expires", EXPIRES)
def test_lifetime_of_a_url_must_be_1_to_604800_seconds(server: WireServer, expires: str) -> None:
    error = server.rejection(as_sent(url_draft(server, expires=expires).in_query()))
    assert (error.status, error.code) == (400, "IncompleteSignature")
    assert error.text.startswith("X-Amz-Expires must be a number of seconds from 1 to 604800.")


# How a time is written

TIMES = [
    "",
    "0",
    "20960102",
    "20960102T030405",
    "20960102T030405z",
    "20960102 030405Z",
    "2096-01-02T03:04:05Z",
    "2096W011T030405Z",
    "20960230T030405Z",
    "20960102T250405Z",
    "20960102T030460Z",
    "00000102T030405Z",
    "2096010\u00b2T030405Z",
    "20960102T030405Z" * 1_000,
    "\u00ff",
]


@pytest.mark.parametrize("time", TIMES)
def test_time_must_be_in_the_basic_format(server: WireServer, time: str) -> None:
    for request in (draft(server, time=time).in_header(), url_draft(server, time=time).in_query()):
        error = server.rejection(as_sent(request))
        assert (error.status, error.code) == (400, "IncompleteSignature")
        assert "ISO-8601 'basic format'" in error.text.replace("&#39;", "'").replace("&apos;", "'")


def test_header_date_may_have_the_time(server: WireServer) -> None:
    date = formatdate(server.now.signing_time, usegmt=True)
    signed = server.signer().sign(send(server).adding(("Date", date)))
    assert "X-Amz-Date" not in dict(signed.headers)
    assert server.answer(signed).status == 200
    server.purge("orders")
    server.now.seconds += MINUTES_15 + 1
    assert server.rejection(signed).text.startswith("Signature expired: ")


def test_signature_must_cover_the_header_with_the_time(server: WireServer) -> None:
    signed = server.signer()._replace(unsigned=["x-amz-date"]).sign(send(server))
    error = server.rejection(signed)
    assert error.text == "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization."


def test_date_that_is_added_does_not_make_a_signature_younger(server: WireServer) -> None:
    signed = server.signer().sign(send(server))
    server.now.seconds += MINUTES_15 + 1
    date = ("Date", formatdate(server.now.seconds, usegmt=True))
    for request in (signed.adding(date), signed.prefixing(date)):
        assert server.rejection(request).text.startswith("Signature expired: ")


@pytest.mark.parametrize("day", ["20960101", "20960103", "20970102", "", "2096010"])
def test_date_of_the_scope_must_be_that_of_signing(server: WireServer, day: str) -> None:
    id_ = ADMIN.key_pairs[0].access_key_id
    credential = f"{id_}/{day}{SCOPE[8:]}"
    for way in (draft(server, credential=credential), url_draft(server, credential=credential)):
        for request in (way.in_header(), way.in_query()):
            error = server.rejection(as_sent(request))
            assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
            assert error.text.startswith("Date in Credential scope does not match YYYYMMDD")


def test_signature_of_yesterday_is_valid_after_midnight(server: WireServer) -> None:
    server.now.seconds += 86_400 - (3 * 3_600 + 4 * 60 + 5) + 60
    signed = server.signer()._replace(time="20960102T235959Z").sign(send(server))
    assert server.answer(signed).status == 200
    server.purge("orders")


# The header Date of responses


def test_response_has_the_time_by_which_signatures_are_checked(
    server: WireServer, protocol: str
) -> None:
    # Clients correct their clocks by it, and sign again.
    signed = server.signer().sign(send(server, protocol))
    for age, status in ((0, 200), (3_600, 403), (-3_600, 403)):
        server.now.seconds = server.now.signing_time + age
        answer = server.answer(signed)
        assert answer.status == status
        assert answer.headers["date"] == formatdate(server.now.seconds, usegmt=True)
    server.now.seconds = server.now.signing_time
    server.purge("orders")
