"""Drafts of requests: valid, or invalid in any part, and signed by a signer of their own.

The signer follows AWS's documentation and shares no code with the server. It does what a draft
says, also what no SDK would do.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple
from urllib.parse import quote

from queueserver.signatures.requests import SignedRequest
from tests.signatures.signed_requests import ACCESS_KEY_ID, HOST, JSON, SECRET, SIGNED_AT

ALGORITHM = "AWS4-HMAC-SHA256"
CREDENTIAL = f"{ACCESS_KEY_ID}/{SIGNED_AT[:8]}/us-east-1/sqs/aws4_request"
JSON_HEADERS = (("Content-Type", JSON), ("X-Amz-Target", "AmazonSQS.ListQueues"))


class Draft(NamedTuple):
    """A request before it is signed.

    Attributes:
        path: the path, in its canonical form if it is to be verified.
        query: the query string; its parameters are sorted and encoded if it is to be verified.
        headers: the headers besides the host, the time and the credentials.
        host: the header Host that is signed.
        sent_host: the header Host that arrives, if it is another one.
        unsigned: headers that are added after signing.
        signed: the list of the signed headers; by default all but `unsigned`.
        payload: the hash of the body that is signed; by default the real one.
        time_header: the header with the time of signing.
        signed_time: the time in the string to sign, if its header has another format.
        omit: a parameter that is left out.
        more: parameters that are added to the header or the query string.
        signature: a signature to send instead of the valid one.
    """

    method: str = "POST"
    path: str = "/"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = JSON_HEADERS
    body: bytes = b"{}"
    host: str = HOST
    sent_host: str | None = None
    unsigned: tuple[tuple[str, str], ...] = ()
    signed: str | None = None
    payload: str | None = None
    time: str = SIGNED_AT
    time_header: str = "X-Amz-Date"
    signed_time: str | None = None
    credential: str = CREDENTIAL
    secret: bytes = SECRET
    algorithm: str = ALGORITHM
    omit: str = ""
    more: tuple[tuple[str, str], ...] = ()
    signature: str | None = None
    expires: str = "600"
    has_form: bool = False

    def in_header(self) -> SignedRequest:
        """Return the request with a header Authorization."""
        timed = [("Host", self.host), *self.headers, (self.time_header, self.time)]
        signed = self._signed(timed)
        parameters = {
            "Credential": self.credential,
            "SignedHeaders": signed,
            "Signature": self._signature(timed, signed, self.query),
        }
        parameters.pop(self.omit, None)
        texts = [f"{name}={value}" for name, value in (*parameters.items(), *self.more)]
        value = f"{self.algorithm} {', '.join(texts)}"
        return self._arrived(self.query, [*timed[1:], ("Authorization", value)])

    def in_query(self) -> SignedRequest:
        """Return the request as a presigned URL."""
        headers = [("Host", self.host), *self.headers]
        signed = self._signed(headers)
        parameters = {
            "X-Amz-Algorithm": self.algorithm,
            "X-Amz-Credential": self.credential,
            "X-Amz-Date": self.time,
            "X-Amz-Expires": self.expires,
            "X-Amz-SignedHeaders": signed,
        }
        parameters.pop(self.omit, None)
        pairs = [
            f"{name}={quote(value, safe='')}" for name, value in (*parameters.items(), *self.more)
        ]
        pairs += [self.query] if self.query else []
        signature = self._signature(headers, signed, "&".join(sorted(pairs)))
        if self.omit != "X-Amz-Signature":
            pairs.insert(1, f"X-Amz-Signature={quote(signature, safe='')}")
        return self._arrived("&".join(pairs), headers[1:])

    def _signed(self, headers: list[tuple[str, str]]) -> str:
        if self.signed is not None:
            return self.signed
        return ";".join(sorted(name.lower() for name, _ in headers))

    def _signature(self, headers: list[tuple[str, str]], signed: str, query: str) -> str:
        if self.signature is not None:
            return self.signature
        values = {name.lower(): value for name, value in headers}
        canonical = [self.method, self.path.replace("%", "%25"), query]
        canonical += [f"{name}:{values.get(name.lower(), '')}" for name in signed.split(";")]
        payload = self.payload or hashlib.sha256(self.body).hexdigest()
        text = "\n".join([*canonical, "", signed, payload])
        _, _, scope = self.credential.partition("/")
        digest = hashlib.sha256(text.encode()).hexdigest()
        to_sign = "\n".join([ALGORITHM, self.signed_time or self.time, scope, digest])
        key = b"AWS4" + self.secret
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return hmac.new(key, to_sign.encode(), "sha256").hexdigest()

    def _arrived(self, query: str, headers: list[tuple[str, str]]) -> SignedRequest:
        host = self.host if self.sent_host is None else self.sent_host
        pairs = [("Host", host), *headers, *self.unsigned]
        return SignedRequest.from_pairs(
            self.method,
            f"{self.path}?{query}" if query else self.path,
            [(name.encode(), value.encode("latin-1")) for name, value in pairs],
            self.body,
            has_form=self.has_form,
        )


URL_DRAFT = Draft(
    method="GET",
    path="/000000000000/orders",
    query="Action=ReceiveMessage",
    headers=(),
    body=b"",
)
"""A request that is usually sent as a presigned URL."""
