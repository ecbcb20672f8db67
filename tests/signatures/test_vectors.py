"""Requests with signatures that are known: AWS's own test cases, and those of SQS's SDKs."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import pytest

from protocol.errors import InvalidClientTokenId, SignatureDoesNotMatch
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.scope import parse_credential
from queueserver.signatures.signing_keys import KeyRing
from tests.signatures.signed_requests import (
    HOST,
    JSON,
    SECRET,
    SIGNED_AT,
    ExampleKeys,
    authorization,
    signed_request,
    verifier,
)

AWS_TIME = "20150830T123600Z"
AWS_HOST = ("Host", "example.amazonaws.com")
AWS_DATE = ("X-Amz-Date", AWS_TIME)

AWS_CASES = {
    "get-vanilla": (
        "/",
        [],
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-slash-dot-slash-normalized": (
        "/./",
        [],
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-header-key-duplicate": (
        "/",
        [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-order": (
        "/",
        [("My-Header1", value) for value in ("value4", "value1", "value3", "value2")],
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    "get-header-value-trim": (
        "/",
        [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-space-normalized": (
        "/example space/",
        [],
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-utf8": (
        "/\u1234",
        [],
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    "get-vanilla-query-order-key-case": (
        "/?Param2=value2&Param1=value1",
        [],
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-order-encoded": (
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        [],
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-empty-query-key": (
        "/?Param1=value1",
        [],
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
}


@pytest.mark.parametrize(
    ("target", "extra", "signature"),
    [pytest.param(*case, id=name) for name, case in AWS_CASES.items()],
)
def test_case_of_aws_is_verified(target: str, extra: list[tuple[str, str]], signature: str) -> None:
    names = sorted({"host", "x-amz-date", *(name.lower() for name, _ in extra)})
    value = authorization(signature, ";".join(names), date="20150830", service="service")
    headers = [AWS_HOST, *extra, AWS_DATE, ("Authorization", value)]
    request = signed_request("GET", target, headers)
    verified = verifier(time=AWS_TIME, service="service").verify(request)
    assert verified is not None
    assert verified.region == "us-east-1"
    assert verified.key.access_key_id == "AKIDEXAMPLE"


def test_presigned_url_of_aws_is_verified() -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request"
        f"&X-Amz-Date={AWS_TIME}&X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"
    )
    request = signed_request("GET", f"/?{query}", [AWS_HOST])
    assert verifier(time=AWS_TIME, service="service").verify(request) is not None


def test_signing_key_is_that_of_aws() -> None:
    scope = parse_credential(b"AKIDEXAMPLE/20260102/us-east-1/sqs/aws4_request")
    assert KeyRing(ExampleKeys(), b"sqs").derive(SECRET, scope) == bytes.fromhex(
        "2ff297a9677e4dae14c807deddfda42a648728a19457402a48e239ed0efff414"
    )


class Vector(NamedTuple):
    """A request to SQS, signed by botocore."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    signature: str

    @property
    def request(self) -> SignedRequest:
        """The request as it arrives."""
        names = ";".join(sorted(name.lower() for name in (*self.headers, "X-Amz-Date")))
        value = authorization(self.signature, names)
        headers = {**self.headers, "X-Amz-Date": SIGNED_AT, "Authorization": value}
        return signed_request(self.method, self.target, headers, self.body)


def json_vector(
    action: str, body: bytes, signature: str, host: str = HOST, **headers: str
) -> Vector:
    return Vector(
        "POST",
        "/",
        {
            "Host": host,
            "Content-Type": JSON,
            "X-Amz-Target": f"AmazonSQS.{action}",
            "x-amzn-query-mode": "true",
            **headers,
        },
        body,
        signature,
    )


SEND_MESSAGE = json_vector(
    "SendMessage",
    b'{"QueueUrl": "http://127.0.0.1:9324/000000000000/orders", "MessageBody": "hello"}',
    "12e10e7b47a42053866740ab79eb371c5d5ad13380a08c8980e6210b1ed66f0c",
)
WITH_TOKEN = json_vector(
    "ListQueues",
    b"{}",
    "c12a57ddc889e53a02221d171190d612d3b5f6e7cff29e31af953244472b4ea6",
    **{"X-Amz-Security-Token": "TOKEN"},
)
VECTORS = {
    "JSON": SEND_MESSAGE,
    "host name": json_vector(
        "ListQueues",
        b"{}",
        "37da203d10cd11c8ff6836da281ad061b6cc889feffe5168567d02ac07459687",
        "sqs.example.com",
    ),
    "host is IPv6": json_vector(
        "ListQueues",
        b"{}",
        "f52a9ab8d31931cd4de084b179544a0015dd9173ac69a24d757456e69c707da8",
        "[::1]:9324",
    ),
    "query": Vector(
        "GET",
        "/?Version=2012-11-05&Action=ListQueues",
        {"Host": HOST},
        b"",
        "5a26ee6331011d09a2715df974e1cb9acc31be0564e09918732e2e0a85642084",
    ),
    "form": Vector(
        "POST",
        "/000000000000/orders",
        {"Host": HOST, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        b"Action=SendMessage&MessageBody=a+b%26c",
        "193927b9a6bc7dc708abdfacaf086eec880e932ef5af30f35ee96f2bbebe4a2a",
    ),
    "path that is encoded twice": Vector(
        "POST",
        "/000000000000/a%25b",
        {"Host": HOST, "Content-Type": JSON},
        b"{}",
        "7889b64ee39225a749679190ad0daec7c1a08d3bfe8bdcdcc9dd7efcd6f13e8b",
    ),
    "path that is normalized": Vector(
        "POST",
        "/000000000000//x/../orders/",
        {"Host": HOST, "Content-Type": JSON},
        b"{}",
        "3aced7cf99494047ffdfdced1e74a0f461364813cef5c0a5a4706cec38844a0c",
    ),
}


@pytest.mark.parametrize("vector", [pytest.param(v, id=name) for name, v in VECTORS.items()])
def test_request_signed_by_botocore_is_verified(vector: Vector) -> None:
    verified = verifier().verify(vector.request)
    assert verified is not None
    assert verified.host == vector.headers["Host"].encode()
    assert verified.is_content_type_signed is ("Content-Type" in vector.headers)


def test_presigned_url_of_sqs_is_verified() -> None:
    query = (
        "Action=SendMessage&MessageBody=a%20b&X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2Fsqs%2Faws4_request"
        f"&X-Amz-Date={SIGNED_AT}&X-Amz-Expires=600&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=ecf0409eb7b9818e8f0196222914e3a00ebf10db4f06d8fbeee4f99ca701bd88"
    )
    request = signed_request("GET", f"/000000000000/orders?{query}", {"Host": HOST})
    verified = verifier().verify(request)
    assert verified is not None
    assert verified.path == "/000000000000/orders"
    assert not verified.is_content_type_signed


def test_token_with_a_valid_signature_is_rejected_after_the_signature() -> None:
    with pytest.raises(InvalidClientTokenId) as caught:
        verifier().verify(WITH_TOKEN.request)
    assert caught.value.message == "The security token included in the request is invalid"
    assert "AWS_SESSION_TOKEN" in caught.value.reason
    with pytest.raises(SignatureDoesNotMatch):
        verifier().verify(WITH_TOKEN._replace(body=b"{ }").request)


def test_wrong_signature_shows_the_canonical_request_and_the_string_to_sign() -> None:
    with pytest.raises(SignatureDoesNotMatch) as caught:
        verifier().verify(SEND_MESSAGE._replace(signature="0" * 64).request)
    names = "content-type;host;x-amz-date;x-amz-target;x-amzn-query-mode"
    body_hash = hashlib.sha256(SEND_MESSAGE.body).hexdigest()
    assert caught.value.message == (
        f"{SignatureDoesNotMatch.text}\n\n"
        "The Canonical String for this request should have been\n"
        f"'POST\n/\n\ncontent-type:{JSON}\nhost:{HOST}\nx-amz-date:{SIGNED_AT}\n"
        f"x-amz-target:AmazonSQS.SendMessage\nx-amzn-query-mode:true\n\n{names}\n{body_hash}'\n\n"
        "The String-to-Sign should have been\n"
        f"'AWS4-HMAC-SHA256\n{SIGNED_AT}\n20260102/us-east-1/sqs/aws4_request\n"
        "3f31719582288bd09b2817563285550719f5300ce71acd78c384752a107c0e51'\n"
    )
