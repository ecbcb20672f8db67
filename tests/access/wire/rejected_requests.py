"""Requests that access control rejects, each with AWS's code and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from tests.access.declared_users import KeyPair
from tests.access.wire.drafts import SCOPE, draft
from tests.access.wire.http_requests import SIGNED_AT, HttpRequest, as_sent
from tests.access.wire.wire_server import ADMIN, PRODUCER, STRANGER, WireServer
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
