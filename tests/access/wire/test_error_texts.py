"""Errors of authentication and access in AWS's codes and texts, in both protocols."""

from __future__ import annotations

import html
import json

import pytest

from tests.access.declared_users import KeyPair
from tests.access.wire.drafts import SCOPE, draft
from tests.access.wire.http_requests import as_sent, get
from tests.access.wire.rejected_requests import (
    ID,
    ROWS,
    SHAPES,
    SHORT_TEXT,
    Row,
    key,
    signed,
)
from tests.access.wire.wire_server import WireServer
from tests.api.raw_http import ParsedError


def text_of(error: ParsedError) -> str:
    return error.text if error.type else html.unescape(error.text)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_error_has_the_code_and_the_text_of_aws(
    server: WireServer, protocol: str, row: Row
) -> None:
    error = server.rejection(row.make(server, protocol))
    assert error.code == row.code
    if row.code in SHAPES:
        shape, status = SHAPES[row.code]
        assert error.status == status
        if protocol == "json":
            assert error.type == f"com.amazon.coral.service#{shape}"
    assert text_of(error) == row.text.replace("{}", server.running.url)


def test_explicit_deny_names_the_kind_of_the_policy(server: WireServer, protocol: str) -> None:
    user = f"arn:aws:iam::{'0' * 12}:user/producer"
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": user},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    server.set_policy("orders", {"Version": "2012-10-17", "Statement": [statement]})
    error = server.rejection(
        signed("SendMessage", QueueUrl="orders", MessageBody="x")(server, protocol)
    )
    server.set_policy("orders", None)
    assert (error.status, error.code) == (403, "AccessDenied")
    assert text_of(error) == (
        f"User: {user} is not authorized to perform: sqs:sendmessage on resource: "
        f"arn:aws:sqs:us-east-1:{'0' * 12}:orders with an explicit deny in a resource-based policy"
    )


def test_wrong_signature_shows_the_canonical_request_and_the_string_to_sign(
    server: WireServer, protocol: str
) -> None:
    valid = server.signer().sign(server.post(protocol, "ListQueues"))
    error = server.rejection(valid._replace(body=valid.body + b" "))
    text = text_of(error)
    assert text.startswith(
        f"{SHORT_TEXT}\n\nThe Canonical String for this request should have been\n'"
    )
    assert "\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in text
    assert text.endswith("'\n")


def test_unknown_key_gets_no_canonical_request(server: WireServer, protocol: str) -> None:
    error = server.rejection(key(KeyPair("AKUNKNOWN", "x"))(server, protocol))
    assert "Canonical" not in error.text


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("X-Amz-Credential", "AWS query-string parameters must include 'X-Amz-Credential'. "),
        ("X-Amz-Date", "AWS query-string parameters must include 'X-Amz-Date'. "),
        ("X-Amz-Expires", "AWS query-string parameters must include 'X-Amz-Expires'. "),
        ("X-Amz-Signature", "AWS query-string parameters must include 'X-Amz-Signature'. "),
        ("X-Amz-SignedHeaders", "AWS query-string parameters must include 'X-Amz-SignedHeaders'. "),
        ("X-Amz-Algorithm", "AWS query-string parameters must include 'X-Amz-Algorithm'. "),
    ],
)
def test_presigned_url_without_a_parameter_is_incomplete(
    server: WireServer, missing: str, text: str
) -> None:
    request = draft(server, method="GET", headers=(), body=b"", query="Action=ListQueues")
    error = server.rejection(as_sent(request._replace(omit=missing).in_query()))
    assert (error.status, error.code) == (400, "IncompleteSignature")
    assert text_of(error) == f"{text}Re-examine the query-string parameters."


def test_query_answered_in_json_has_the_same_error(server: WireServer) -> None:
    request = get(server.host, Action="ListQueues").adding(("Accept", "application/json"))
    answer = server.answer(request)
    assert answer.status == 403
    assert json.loads(answer.body)["Error"] == {
        "Code": "AccessDenied",
        "Message": f"Access to the resource {server.running.url}/ is denied.",
        "Type": "Sender",
    }


# The order of the checks: each fault is found although all later ones are there, too.

FAULTS: tuple[tuple[str, dict[str, object], str], ...] = (
    ("escape", {"path": "/%zz"}, "Illegal hex character in escape % pattern: %zz"),
    ("two credentials", {"query": "X-Amz-Signature=0"}, ""),
    ("algorithm", {"algorithm": "AWS5-HMAC-SHA256"}, "Unsupported AWS 'algorithm': "),
    ("pair", {"more": (("x", "y"),)}, "Authorization header has no parameter 'x'."),
    ("part", {"omit": "SignedHeaders"}, "Authorization header requires 'SignedHeaders' parameter."),
    ("host", {"signed": "content-type;x-amz-target"}, "'Host' or ':authority' must be"),
    ("time header", {"signed": "content-type;host"}, "'x-amz-date' must be a 'SignedHeader'"),
    ("date", {"time": "20960102"}, "Date must be in ISO-8601 'basic format'."),
    ("age", {"time": "20950102T030405Z"}, "Signature expired: "),
    ("scope", {"credential": f"AKUNKNOWN/x/{SCOPE}"}, "Credential must have exactly 5"),
    ("region", {"credential": "AKUNKNOWN/20960101/US/s3/x"}, "Credential should be scoped to a"),
    ("key", {"credential": f"AKUNKNOWN/{SCOPE}"}, "The security token included in the request is"),
    ("signature", {"signature": "0" * 64}, SHORT_TEXT),
    ("token", {"headers": (("X-Amz-Security-Token", "x"),)}, "The security token included in the"),
)


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[name for name, _, _ in FAULTS])
def test_first_fault_in_the_order_of_aws_decides(server: WireServer, number: int) -> None:
    fields: dict[str, object] = {}
    for _, fault, _ in reversed(FAULTS[number:]):
        fields.update(fault)
    error = server.rejection(as_sent(draft(server, **fields).in_header()))
    assert text_of(error).startswith(FAULTS[number][2])
    if not FAULTS[number][2]:
        assert (error.code, error.text) == ("SignatureDoesNotMatch", "")


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        ("SendMessage", {"QueueUrl": "victim"}),
        ("SendMessage", {"QueueUrl": "victim", "MessageBody": ""}),
        ("NoSuchAction", {}),
        ("SetQueueAttributes", {"QueueUrl": "victim", "Attributes": {"x": "y"}}),
    ],
)
def test_signature_is_checked_before_the_parameters(
    server: WireServer, protocol: str, action: str, parameters: dict[str, object]
) -> None:
    request = server.post(protocol, action, **parameters)
    wrong = server.signer()._replace(pair=KeyPair(ID, "x")).sign(request)
    assert server.rejection(wrong).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"QueueUrl":1}', b"&" * 20_000])
def test_signature_is_checked_before_the_body_is_read(
    server: WireServer, protocol: str, body: bytes
) -> None:
    request = server.post(protocol, "SendMessage")._replace(body=body)
    wrong = server.signer()._replace(pair=KeyPair(ID, "x")).sign(request)
    assert server.rejection(wrong).code == "SignatureDoesNotMatch"
