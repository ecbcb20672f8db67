"""HTTP requests as bytes: signed by botocore's signer, and then changed as an attacker would."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from queueserver.signatures.requests import SignedRequest
from tests.access.declared_users import KeyPair
from tests.api.raw_http import FORM, form, json_headers

SIGNED_AT = "20960102T030405Z"
"""The time of the servers, and of signing: no machine is so late, no key of a file has expired."""


class HttpRequest(NamedTuple):
    """A request before it is sent; methods return a changed one."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def get(self, name: str) -> str:
        """Return the value of a header."""
        return next(value for key, value in self.headers if key.lower() == name.lower())

    def replacing(self, name: str, value: str) -> Self:
        """Return the request with another value of a header."""
        self.get(name)
        pairs = ((key, value if key.lower() == name.lower() else old) for key, old in self.headers)
        return self._replace(headers=tuple(pairs))

    def adding(self, *headers: tuple[str, str]) -> Self:
        """Return the request with further headers behind the others."""
        return self._replace(headers=(*self.headers, *headers))

    def prefixing(self, *headers: tuple[str, str]) -> Self:
        """Return the request with further headers before the others."""
        return self._replace(headers=(*headers, *self.headers))

    def without(self, name: str) -> Self:
        """Return the request without a header."""
        pairs = (pair for pair in self.headers if pair[0].lower() != name.lower())
        return self._replace(headers=tuple(pairs))

    def edited(self, old: str, new: str) -> Self:
        """Return the request with another text in its header Authorization."""
        value = self.get("Authorization")
        assert old in value
        return self.replacing("Authorization", value.replace(old, new))

    def __bytes__(self) -> bytes:
        names = {name.lower() for name, _ in self.headers}
        length: tuple[tuple[str, str], ...] = ()
        if names.isdisjoint({"content-length", "transfer-encoding"}):
            length = (("Content-Length", str(len(self.body))),)
        lines = [f"{name}: {value}" for name, value in (*self.headers, *length)]
        head = "\r\n".join([f"{self.method} {self.target} HTTP/1.1", *lines, "", ""])
        return head.encode(errors="surrogateescape") + self.body


class _HeaderSigner(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    unsigned: Collection[str] = ()

    def headers_to_sign(self, request: AWSRequest) -> Mapping[str, str]:
        headers: Mapping[str, str] = super().headers_to_sign(request)
        for name in self.unsigned:
            del headers[name]  # type: ignore[attr-defined]  # the headers of an e-mail message
        return headers


class _QuerySigner(_HeaderSigner, SigV4QueryAuth):  # type: ignore[misc]  # botocore has no types
    pass


class Signer(NamedTuple):
    """Signs requests as botocore does, with a key pair; `expires` makes a presigned URL.

    `unsigned` are headers, in lower case, that the signature does not cover.
    """

    pair: KeyPair
    time: str = SIGNED_AT
    region: str = "us-east-1"
    service: str = "sqs"
    unsigned: Collection[str] = ()
    token: str | None = None
    expires: str | None = None

    def sign(self, request: HttpRequest) -> HttpRequest:
        """Return a request with a signature."""
        credentials = Credentials(self.pair.access_key_id, self.pair.secret, self.token)
        signer = _HeaderSigner(credentials, self.service, self.region)
        if self.expires is not None:
            signer = _QuerySigner(credentials, self.service, self.region)
            signer._expires = self.expires
        signer.unsigned = self.unsigned
        url = f"http://{request.get('Host')}{request.target}"
        draft = AWSRequest(request.method, url, data=request.body or None)
        for name, value in request.headers:
            draft.headers[name] = value  # appends
        draft.context["timestamp"] = self.time
        signer._modify_request_before_signing(draft)
        text = signer.string_to_sign(draft, signer.canonical_request(draft))
        signer._inject_signature_to_request(draft, signer.signature(text, draft))
        parts = urlsplit(draft.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return HttpRequest(request.method, target, tuple(draft.headers.items()), request.body)


def json_post(host: str, action: str, **parameters: object) -> HttpRequest:
    """Return a request of the JSON protocol."""
    headers = (("Host", host), *json_headers(action).items())
    return HttpRequest("POST", "/", headers, json.dumps(parameters).encode())


def form_post(host: str, action: str, **parameters: object) -> HttpRequest:
    """Return a request of the Query protocol with a form, posted to the root."""
    headers = (("Host", host), *FORM.items())
    return HttpRequest("POST", "/", headers, form(action, parameters).encode())


def get(host: str, path: str = "/", **parameters: str) -> HttpRequest:
    """Return a request of the Query protocol with a query string."""
    pairs = (f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return HttpRequest("GET", f"{path}?{'&'.join(pairs)}", (("Host", host),))


def as_sent(request: SignedRequest) -> HttpRequest:
    """Return a signed request of `tests.signatures.drafts`, to be sent."""
    names = ((name.decode(), value.decode("latin-1")) for name, value in request.headers.items())
    target = f"{request.path}?{request.query}" if request.query else request.path
    return HttpRequest(request.method, target, tuple(names), request.body)
