"""The verifier between requests: replaced keys, cached signing keys, further hosts, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from protocol.errors import InvalidClientTokenId, SignatureDoesNotMatch
from queueserver.signatures.requests import SignedRequest
from queueserver.signatures.scope import parse_credential
from queueserver.signatures.signing_keys import KeyRing
from queueserver.signatures.verifier import Verifier
from tests.signatures.drafts import CREDENTIAL, JSON_HEADERS, Draft
from tests.signatures.signed_requests import (
    HOST,
    ExampleKey,
    ExampleKeys,
    rejection,
    verifier,
)

OTHER = b"another secret of the same user"


def test_replaced_keys_are_used_at_once() -> None:
    shared = verifier()
    old, new = Draft().in_header(), Draft(secret=OTHER).in_header()
    assert shared.verify(old) is not None
    shared.use_keys(ExampleKeys(ExampleKey(secret=OTHER)))
    with pytest.raises(SignatureDoesNotMatch):
        shared.verify(old)
    assert shared.verify(new) is not None
    shared.use_keys(ExampleKeys())
    with pytest.raises(InvalidClientTokenId):
        shared.verify(new)


class KeysThatAreReplaced(ExampleKeys):
    """Keys that are replaced while a request is verified by them, as a reload may do."""

    verifier: Verifier[ExampleKey]

    def find(self, access_key_id: str) -> ExampleKey | None:
        """Return the old key, and let the verifier use the new one from now on."""
        self.verifier.use_keys(ExampleKeys(ExampleKey(secret=OTHER)))
        return super().find(access_key_id)


def test_signing_key_of_an_old_secret_is_not_cached_for_the_new_one() -> None:
    shared = verifier()
    keys = KeysThatAreReplaced(ExampleKey())
    keys.verifier = shared
    shared.use_keys(keys)
    assert shared.verify(Draft().in_header()) is not None
    assert shared.verify(Draft(secret=OTHER).in_header()) is not None
    with pytest.raises(SignatureDoesNotMatch):
        shared.verify(Draft().in_header())


def test_cached_signing_key_is_not_used_for_another_date_region_or_key() -> None:
    shared = verifier(ExampleKey(), ExampleKey("AKIDOTHER", OTHER))
    for _ in range(2):
        for draft in (
            Draft(),
            Draft(credential=CREDENTIAL.replace("us-east-1", "eu-west-1")),
            Draft(credential=CREDENTIAL.replace("AKIDEXAMPLE", "AKIDOTHER"), secret=OTHER),
        ):
            verified = shared.verify(draft.in_header())
            assert verified is not None
            assert f"{verified.key.access_key_id}/20260102/{verified.region}" in draft.credential


def test_cached_signing_key_is_not_used_after_midnight() -> None:
    shared = verifier(time="20260103T000000Z")
    before = Draft(time="20260102T235500Z")
    after = Draft(time="20260103T000500Z", credential=CREDENTIAL.replace("0102", "0103"))
    for draft in (before, after, before, after):
        assert shared.verify(draft.in_header()) is not None


def test_signing_key_is_derived_once_for_a_scope() -> None:
    ring = KeyRing(ExampleKeys(ExampleKey()), b"sqs")
    scope = parse_credential(CREDENTIAL.encode())
    signing_key = ring.signing_key(ExampleKey(), scope)
    ring.store(ExampleKey(), scope, signing_key)
    assert ring.signing_key(ExampleKey(), scope) is signing_key


def test_expired_key_is_rejected_though_its_signing_key_is_cached() -> None:
    keys = ExampleKeys(ExampleKey())
    shared = verifier()
    shared.use_keys(keys)
    assert shared.verify(Draft().in_header()) is not None
    keys["AKIDEXAMPLE"] = ExampleKey(expires=0)
    with pytest.raises(InvalidClientTokenId):
        shared.verify(Draft().in_header())


def test_key_ring_shows_no_secret() -> None:
    ring = KeyRing(ExampleKeys(ExampleKey()), b"sqs")
    scope = parse_credential(CREDENTIAL.encode())
    signing_key = ring.signing_key(ExampleKey(), scope)
    ring.store(ExampleKey(), scope, signing_key)
    assert "wJalr" not in repr(ring)
    assert repr(signing_key)[2:-1] not in repr(ring)


@pytest.mark.parametrize(
    ("hosts", "is_valid"),
    [
        ((), False),
        ((HOST,), False),
        (("sqs.example.com",), True),
        (("a", "sqs.example.com", "b"), True),
        (("SQS.example.com", "sqs.example.com:80"), False),
    ],
)
def test_signature_may_be_for_a_further_host(hosts: tuple[str, ...], is_valid: bool) -> None:
    request = Draft(host="sqs.example.com", sent_host=HOST).in_header()
    if is_valid:
        verified = verifier().verify(request, hosts)
        assert verified is not None
        assert verified.host == b"sqs.example.com"
    else:
        assert type(rejection(request, hosts=hosts)) is SignatureDoesNotMatch


def test_threads_can_share_a_verifier() -> None:
    shared = verifier()
    bodies = [bytes([number]) * 100_000 for number in range(20)]
    requests = [Draft(headers=JSON_HEADERS, body=body).in_header() for body in bodies]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(shared.verify, requests * 5))
    assert all(verified is not None for verified in found)


def test_headers_of_the_fast_way_are_verified_without_a_copy() -> None:
    arrived = Draft().in_header()
    values = {name: b" " + value + b"\t" for name, value in arrived.headers.items()}
    values[b"authorization"] = arrived.headers[b"authorization"]
    request = SignedRequest("POST", "/", "", values, b"{}", has_form=False)
    assert verifier().verify(request) is not None
