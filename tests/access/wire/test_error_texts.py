"""Errors of authentication and access in AWS's codes and texts, in both protocols."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytest

from tests.access.declared_users import KeyPair
from tests.access.wire.drafts import SCOPE, draft
from tests.access.wire.http_requests import SIGNED_AT, HttpRequest, as_sent, get
from tests.access.wire.wire_server import ADMIN, PRODUCER, STRANGER, WireServer
from tests.api.raw_http import ParsedError
from tests.signatures.drafts import Draft

ID = ADMIN.key_pairs[0].access_key_id
KEY_AND_SCOPE = f"{ID}/{SCOPE}"
SHORT_TEXT = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
SHAPES = {
    "AccessDenied": ("AccessDeniedException", 403),
    "IncompleteSignature": ("IncompleteSignatureException", 400),
    "InvalidClientTokenId": ("UnrecognizedClientException", 403),
    "SignatureDoesNotMatch": ("InvalidSignatureException", 403),
    "MalformedQueryString": ("MalformedQueryStringException", 400),
}
Make: TypeAlias = Callable[[WireServer, str], HttpRequest]
"""Makes a request in a protocol."""


class Row(NamedTuple):
    """A request, and the code and the text that reject it; `{}` is the URL of the server."""

    make: Make
    code: str
    text: str


def unsigned(action: str, **parameters: object) -> Make:
    return lambda server, protocol: server.post(protocol, action, **parameters)


def drafted(**fields: object) -> Make:
    return lambda server, protocol: as_sent(_draft(server, protocol, **fields).in_header())


def by_header(authorization: str, *more: tuple[str, str]) -> Make:
    headers = (("Authorization", authorization), *more)
    return lambda server, protocol: server.post(protocol, "ListQueues").adding(*headers)


def signed(action: str, user: str = "producer", **parameters: object) -> Make:
    signer = {"producer": PRODUCER, "stranger": STRANGER}[user]
    return lambda server, protocol: server.signer(signer).sign(
        server.post(protocol, action, **parameters)
    )


def key(pair: KeyPair, token: str | None = None) -> Make:
    return lambda server, protocol: (
        server.signer()._replace(pair=pair, token=token).sign(server.post(protocol, "ListQueues"))
    )


def _draft(server: WireServer, protocol: str, **fields: object) -> Draft:
    request = server.post(protocol, "ListQueues")
    headers = request.without("Host").headers
    return draft(server, headers=headers, body=request.body, **fields)


ROWS = {
    "no credentials": Row(
        unsigned("ListQueues"), "AccessDenied", "Access to the resource {}/ is denied."
    ),
    "no credentials, on a queue": Row(
        unsigned("SendMessage", QueueUrl="orders", MessageBody="x"),
        "AccessDenied",
        "Access to the resource {}/000000000000/orders is denied.",
    ),
    "no credentials, on a missing queue": Row(
        unsigned("PurgeQueue", QueueUrl="missing"),
        "AccessDenied",
        "Access to the resource {}/000000000000/missing is denied.",
    ),
    "all parts missing": Row(
        by_header("AWS4-HMAC-SHA256"),
        "IncompleteSignature",
        "Authorization header requires 'Credential' parameter. Authorization header requires "
        "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "Authorization=AWS4-HMAC-SHA256",
    ),
    "one part missing": Row(
        by_header("AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host", ("X-Amz-Date", SIGNED_AT)),
        "IncompleteSignature",
        "Authorization header requires 'Signature' parameter. "
        "Authorization=AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host",
    ),
    "no equals sign": Row(
        by_header("AWS4-HMAC-SHA256 FooBar"),
        "IncompleteSignature",
        "'FooBar' not a valid key=value pair (missing equal-sign) in Authorization header: "
        "'AWS4-HMAC-SHA256 FooBar'.",
    ),
    "scope of one part": Row(
        drafted(credential="AKIDEXAMPLE", signature="0" * 64),
        "IncompleteSignature",
        "Credential must have exactly 5 slash-delimited elements, e.g. "
        "keyid/date/region/service/term, got 'AKIDEXAMPLE'",
    ),
    "algorithm": Row(
        drafted(algorithm="AWS5-HMAC-SHA256"),
        "IncompleteSignature",
        "Unsupported AWS 'algorithm': 'AWS5-HMAC-SHA256'.",
    ),
    "Version 4a": Row(
        drafted(algorithm="AWS4-ECDSA-P256-SHA256"),
        "IncompleteSignature",
        "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
    ),
    "format of the date": Row(
        drafted(time="2096-01-02"),
        "IncompleteSignature",
        "Date must be in ISO-8601 'basic format'. Got '2096-01-02'. See "
        "http://en.wikipedia.org/wiki/ISO_8601",
    ),
    "unknown key": Row(
        key(KeyPair("AKUNKNOWN", "secret")),
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    ),
    "session token": Row(
        key(ADMIN.key_pairs[0], "TOKEN"),
        "InvalidClientTokenId",
        "The security token included in the request is invalid",
    ),
    "host that is not signed": Row(
        drafted(signed="content-type;x-amz-date"),
        "SignatureDoesNotMatch",
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    "time that is not signed": Row(
        drafted(signed="content-type;host"),
        "SignatureDoesNotMatch",
        "'x-amz-date' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    "expired": Row(
        drafted(time="20960102T024904Z"),
        "SignatureDoesNotMatch",
        "Signature expired: 20960102T024904Z is now earlier than 20960102T024905Z "
        "(20960102T030405Z - 15 min.)",
    ),
    "from the future": Row(
        drafted(time="20960102T031906Z"),
        "SignatureDoesNotMatch",
        "Signature not yet current: 20960102T031906Z is still later than 20960102T031905Z "
        "(20960102T030405Z + 15 min.)",
    ),
    "region": Row(
        drafted(credential=KEY_AND_SCOPE.replace("us-east-1", "US")),
        "SignatureDoesNotMatch",
        "Credential should be scoped to a valid region, not 'US'. ",
    ),
    "service": Row(
        drafted(credential=KEY_AND_SCOPE.replace("sqs", "sns")),
        "SignatureDoesNotMatch",
        "Credential should be scoped to correct service: 'sqs'. ",
    ),
    "terminator": Row(
        drafted(credential=KEY_AND_SCOPE.replace("aws4_request", "x")),
        "SignatureDoesNotMatch",
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'x'.",
    ),
    "date of the scope": Row(
        drafted(credential=KEY_AND_SCOPE.replace("20960102", "20130101")),
        "SignatureDoesNotMatch",
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'20130101' != '20960102', from '20960102T030405Z'.",
    ),
    "all parts of the scope": Row(
        drafted(credential=f"{ID}/20130101/US/sns/x"),
        "SignatureDoesNotMatch",
        "Credential should be scoped to a valid region, not 'US'. "
        "Credential should be scoped to correct service: 'sqs'. "
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'x'."
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'20130101' != '20960102', from '20960102T030405Z'.",
    ),
    "no policy of the user": Row(
        signed("PurgeQueue", QueueUrl="orders"),
        "AccessDenied",
        "User: arn:aws:iam::000000000000:user/producer is not authorized to perform: "
        "sqs:purgequeue on resource: arn:aws:sqs:us-east-1:000000000000:orders because no "
        "identity-based policy allows the sqs:purgequeue action",
    ),
    "no policy of the user, batch": Row(
        signed(
            "DeleteMessageBatch", QueueUrl="orders", Entries=[{"Id": "a", "ReceiptHandle": "x"}]
        ),
        "AccessDenied",
        "User: arn:aws:iam::000000000000:user/producer is not authorized to perform: "
        "sqs:deletemessage on resource: arn:aws:sqs:us-east-1:000000000000:orders because no "
        "identity-based policy allows the sqs:deletemessage action",
    ),
    "no policy of the user, new queue": Row(
        signed("CreateQueue", QueueName="new"),
        "AccessDenied",
        "User: arn:aws:iam::000000000000:user/producer is not authorized to perform: "
        "sqs:createqueue on resource: arn:aws:sqs:us-east-1:000000000000:new because no "
        "identity-based policy allows the sqs:createqueue action",
    ),
    "no policy of another account's queue": Row(
        signed("SendMessage", "stranger", QueueUrl="/000000000000/orders", MessageBody="x"),
        "AccessDenied",
        "User: arn:aws:iam::111122223333:user/stranger is not authorized to perform: "
        "sqs:sendmessage on resource: arn:aws:sqs:us-east-1:000000000000:orders because no "
        "resource-based policy allows the sqs:sendmessage action",
    ),
    "queue of another account": Row(
        signed("GetQueueUrl", "stranger", QueueName="orders", QueueOwnerAWSAccountId="0" * 12),
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist or you do not have access to it.",
    ),
    "Version 2": Row(
        by_header(f"AWS {ID}:frJIUN8DYpKDtOLCwo//yllqDzg="),
        "IncompleteSignature",
        "Signature Version 2 is not supported. Sign requests with Signature Version 4 "
        "(AWS4-HMAC-SHA256).",
    ),
    "Bearer": Row(
        by_header("Bearer x"),
        "IncompleteSignature",
        "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'.",
    ),
}


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
