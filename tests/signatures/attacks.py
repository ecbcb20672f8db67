"""Requests that an attacker changes, and the error that must reject them."""

from __future__ import annotations

import hashlib

import msgspec

from queueserver.signatures.requests import SignedRequest
from tests.signatures.drafts import URL_DRAFT, Draft

FORM = "application/x-www-form-urlencoded"
OTHER_HASH = hashlib.sha256(b"another").hexdigest()
VALID = Draft().in_header()
VALID_URL = URL_DRAFT.in_query()
FORM_DRAFT = Draft(
    path="/000000000000/orders",
    headers=(("Content-Type", FORM),),
    body=b"Action=ReceiveMessage",
    has_form=True,
)


def changed(request: SignedRequest, **fields: object) -> SignedRequest:
    """Return a request with other fields, and otherwise as it was signed."""
    return msgspec.structs.replace(request, **fields)


def with_headers(request: SignedRequest, **headers: str) -> SignedRequest:
    """Return a request with other values of headers, whose names have underscores here."""
    found = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return changed(request, headers={**request.headers, **found})


def with_query(request: SignedRequest, query: str) -> SignedRequest:
    """Return a request with another query string."""
    return changed(request, query=query)
