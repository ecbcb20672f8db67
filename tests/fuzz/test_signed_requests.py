"""Random requests that botocore signs are verified; changed or random ones never are."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl, quote

import pytest
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.errors import SQSError
from queueserver.signatures.request_target import parse_path
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.verifier import Verifier
from tests.fuzz.signature_target import signature_seeds
from tests.fuzz.targets import verify_signatures
from tests.fuzz.time_limit import time_limit
from tests.signatures.drafts import CREDENTIAL
from tests.signatures.signed_requests import (
    ACCESS_KEY_ID,
    SECRET,
    SIGNED_AT,
    ExampleKey,
    ExampleKeys,
)

VERIFIER = Verifier(ExampleKeys(ExampleKey()), time.time)
UNSIGNED = {name.encode() for name in SIGNED_HEADERS_BLACKLIST}

# Headers whose values have a meaning for signatures.
SPECIAL = {"authorization", "date", "host", "content-length", "content-encoding"}
SPECIAL |= {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
METHODS = ["GET", "POST", "PUT", "DELETE"]
LETTERS_AND_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
segments = st.one_of(
    texts.map(lambda text: quote(text, safe="!$&'()*+,;=:@")),
    st.sampled_from(["", ".", "..", "000000000000", "orders", "%2e%2e", "a%2Fb", "~"]),
)
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts))
queries = st.dictionaries(
    texts.filter(lambda name: not name.startswith(("X-Amz-", "AWSAccess", "Signature"))),
    texts,
    max_size=5,
).map(lambda pairs: "&".join(f"{quote(a, safe='')}={quote(b, safe='')}" for a, b in pairs.items()))
header_names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True).filter(
    lambda name: name.lower() not in SPECIAL
)
header_values = st.text(
    st.one_of(st.characters(min_codepoint=0x21, max_codepoint=0x7E), st.sampled_from(" \t")),
    max_size=30,
)
headers = st.dictionaries(header_names, header_values, max_size=5).map(
    lambda found: {name.lower(): value for name, value in found.items()}
)
hosts = st.sampled_from(
    ["127.0.0.1:9324", "localhost", "sqs.eu-west-1.amazonaws.com", "[::1]:9324", "localhost:80"]
)


@st.composite
def signed_requests(draw: st.DrawFn, signer: type[SigV4Auth]) -> SignedRequest:
    """Return a random request, signed by botocore, as it arrives."""
    host, query = draw(hosts), draw(queries)
    url = f"http://{host}{draw(paths)}{'?' if query else ''}{query}"
    method = draw(st.sampled_from(METHODS))
    # botocore moves the parameters of a presigned form into the query string.
    body = draw(st.binary(max_size=100)) if signer is SigV4Auth else b""
    request = AWSRequest(method, url, headers=draw(headers), data=body)
    signer(Credentials(ACCESS_KEY_ID, SECRET.decode()), "sqs", "us-east-1").add_auth(request)
    target = request.prepare().url.partition("://")[2].partition("/")[2]
    pairs = [("Host", host.removesuffix(":80")), *request.headers.items()]
    encoded = [(name.encode(), value.encode()) for name, value in pairs]
    return SignedRequest.from_pairs(method, f"/{target}", encoded, body, has_form=False)


@st.composite
def changed_texts(draw: st.DrawFn, text: str) -> str:
    """Return a text in which one character is replaced by another letter or digit."""
    if not text:
        return draw(st.sampled_from(LETTERS_AND_DIGITS))
    position = draw(st.integers(0, len(text) - 1))
    other = draw(st.sampled_from(LETTERS_AND_DIGITS.replace(text[position], "")))
    return text[:position] + other + text[position + 1 :]


@st.composite
def changed_requests(draw: st.DrawFn, request: SignedRequest, part: str) -> SignedRequest:
    """Return a request that differs in one character of one part from a signed one."""
    if part == "method":
        return replace(request, method=draw(st.sampled_from(METHODS)))
    if part == "body":
        body = draw(changed_texts(request.body.decode("latin-1")))
        return replace(request, body=body.encode("latin-1"))
    if part in {"path", "query"}:
        return replace(request, **{part: draw(changed_texts(getattr(request, part)))})
    names = sorted(
        name for name in request.headers if name.decode() not in SIGNED_HEADERS_BLACKLIST
    )
    name = b"authorization" if part == "authorization" else draw(st.sampled_from(names))
    if part == "missing header":
        name = draw(st.sampled_from([name for name in names if name != b"authorization"]))
        return replace(
            request, headers={key: request.headers[key] for key in request.headers if key != name}
        )
    value = draw(changed_texts(request.headers[name].decode())).encode()
    return replace(request, headers={**request.headers, name: value})


def meaning(request: SignedRequest) -> tuple[object, ...]:
    """Return everything that a request says, without what does not change its meaning."""
    pairs = parse_qsl(request.query, keep_blank_values=True, strict_parsing=bool(request.query))
    path = parse_path(request.path).normalized
    return request.method, path, sorted(pairs), request.headers, request.body


PARTS = ["method", "path", "query", "body", "header", "missing header"]
SIGNERS = [
    pytest.param(SigV4Auth, [*PARTS, "authorization"], id="header"),
    pytest.param(SigV4QueryAuth, PARTS, id="URL"),
]


@pytest.mark.parametrize(("signer", "parts"), SIGNERS)
@given(data=st.data())
def test_request_signed_by_botocore_is_verified_unless_it_is_changed(
    signer: type[SigV4Auth], parts: list[str], data: st.DataObject
) -> None:
    request = data.draw(signed_requests(signer))
    verified = VERIFIER.verify(request)
    assert verified is not None
    assert verified.key.access_key_id == ACCESS_KEY_ID
    assert verified.region == "us-east-1"
    changed = data.draw(changed_requests(request, data.draw(st.sampled_from(parts))))
    # Some changes, such as of the case of hexadecimal digits, change no meaning.
    assert is_rejected(changed) or meaning(changed) == meaning(request)


def is_rejected(request: SignedRequest) -> bool:
    """Return whether a request is rejected, and not verified or anonymous."""
    try:
        verified = VERIFIER.verify(request)
    except SQSError:
        return True
    assert verified is not None
    return False


words = st.one_of(
    st.sampled_from(
        [
            *signature_seeds(),
            b"AWS4-HMAC-SHA256 ",
            b"AWS ",
            b"Bearer ",
            b"Credential=",
            CREDENTIAL.encode(),
            b"SignedHeaders=",
            b"host;x-amz-date",
            b"Signature=",
            b"0" * 64,
            b", ",
            b"\nAuthorization:",
            b"\nX-Amz-Date:",
            b"\nX-Amz-Target:",
            b"\nHost:",
            SIGNED_AT.encode(),
            b"X-Amz-Algorithm=AWS4-HMAC-SHA256",
            b"X-Amz-Credential=" + quote(CREDENTIAL, safe="").encode(),
            b"X-Amz-Date=",
            b"X-Amz-Expires=",
            b"X-Amz-SignedHeaders=host",
            b"X-Amz-Signature=",
            b"GET /?",
            b"POST /",
            b"%zz",
            b"\n\n",
            b"&",
            b"+",
        ]
    ),
    st.binary(max_size=8),
)


@given(st.one_of(st.lists(words, max_size=14).map(b"".join), st.binary(max_size=200)))
@time_limit()
def test_random_credentials_are_never_verified(data: bytes) -> None:
    verify_signatures(data)


@st.composite
def damaged_seeds(draw: st.DrawFn) -> bytes:
    """Return a request that is nearly valid, with some bytes replaced."""
    data = draw(st.sampled_from(signature_seeds()))
    begin = draw(st.integers(0, len(data)))
    end = draw(st.integers(begin, min(len(data), begin + 20)))
    return data[:begin] + draw(words) + data[end:]


@given(damaged_seeds())
@time_limit()
def test_damaged_credentials_are_never_verified(data: bytes) -> None:
    verify_signatures(data)
