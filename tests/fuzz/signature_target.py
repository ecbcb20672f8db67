"""The fuzz target of signatures: no bytes lead to a failure, and none are verified."""

from __future__ import annotations

from protocol.codecs.aws_json import JsonCodec
from protocol.codecs.aws_query import QueryCodec
from protocol.errors import LONGEST_MESSAGE, SQSError
from protocol.wire import WireResponse
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.verifier import Verifier
from tests.signatures.drafts import CREDENTIAL, URL_DRAFT, Draft
from tests.signatures.signed_requests import SIGNED_AT, ExampleKey, ExampleKeys, seconds

FORM = "application/x-www-form-urlencoded"
_NO_SIGNATURE = "0" * 64
_NOW = seconds(SIGNED_AT)
_VERIFIER = Verifier(ExampleKeys(ExampleKey()), lambda: _NOW)
_CODECS = (JsonCodec(), QueryCodec())


def request_of(data: bytes) -> SignedRequest:
    """Build a request from a line with method and target, lines of headers, and a body."""
    head, _, body = data.partition(b"\n\n")
    line, *lines = head.split(b"\n")
    method, _, target = line.decode(errors="surrogateescape").partition(" ")
    pairs = [(name, value) for name, _, value in (line.partition(b":") for line in lines)]
    has_form = FORM.encode() in head
    return SignedRequest.from_pairs(
        "POST" if method == "POST" else "GET", target, pairs, body, has_form=has_form
    )


def bytes_of(request: SignedRequest) -> bytes:
    """Return the bytes from which `request_of` builds a request."""
    query = f"?{request.query}" if request.query else ""
    target = f"{request.path}{query}".encode(errors="surrogateescape")
    lines = [request.method.encode() + b" " + target]
    lines += [b"%b:%b" % (name, value) for name, value in request.headers.items()]
    return b"\n".join(lines) + b"\n\n" + request.body


def signature_rejection(request: SignedRequest) -> SQSError | None:
    """Return the error that rejects a request, or None if it is anonymous; none is verified."""
    try:
        verified = _VERIFIER.verify(request, ("sqs.example.com",), "us-east-1")
    except SQSError as raised:
        return raised
    assert verified is None
    return None


def error_responses(error: SQSError) -> list[WireResponse]:
    """Return the responses with an error, whose texts must be short and printable."""
    assert 400 <= error.status < 500
    assert len(error.message) <= LONGEST_MESSAGE
    assert error.message.replace("\n", "").isprintable()
    assert error.reason.isprintable()
    return [codec.write_error(error, "request-id") for codec in _CODECS]


def signature_seeds() -> list[bytes]:
    """Return requests that are nearly valid, and requests with other credentials."""
    draft = Draft(signature=_NO_SIGNATURE)
    form = draft._replace(headers=(("Content-Type", FORM),), body=b"Action=ListQueues&Signature=")
    token = draft._replace(headers=(("X-Amz-Security-Token", "token"),))
    dated = draft._replace(time_header="Date", time="Fri, 02 Jan 2026 03:04:05 GMT")
    unknown = draft._replace(credential=CREDENTIAL.replace("AKIDEXAMPLE", "AKIDOTHER"))
    url = URL_DRAFT._replace(signature=_NO_SIGNATURE)
    requests = [one.in_header() for one in (draft, form, token, dated, unknown, url)]
    requests += [one.in_query() for one in (draft, form, url)]
    head = b"GET /?AWSAccessKeyId=AKID&SignatureVersion=2&Signature=a%3D\nHost:localhost"
    others = [head, b"GET /\nHost:localhost", b"POST /%zz?%zz\nAuthorization:AWS AKID:a="]
    others += [b"POST /\nAuthorization:AWS4-HMAC-SHA256 ,FooBar", b"POST /\nAuthorization:Basic a"]
    return [*map(bytes_of, requests), *others]
