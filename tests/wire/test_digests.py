"""MD5 digests of bodies and attributes, compared with digests that AWS returned."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from protocol.actions import MessageAttributeValue
from protocol.digests import md5_of_attributes, md5_of_body

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
TRACEPARENT = b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01"


def string(value: str) -> MessageAttributeValue:
    return MessageAttributeValue("String", value)


def number(value: str) -> MessageAttributeValue:
    return MessageAttributeValue("Number", value)


def binary(value: bytes) -> MessageAttributeValue:
    return MessageAttributeValue("Binary", binary_value=value)


@pytest.mark.parametrize(
    ("attributes", "digest"),
    [
        pytest.param(
            {"Hello": string("World")}, "7db7fb1ba7f41366a8ea5eb18220b26d", id="worked example"
        ),
        pytest.param(
            {"blob": binary(b"\x01\x02\x03")}, "c39dad10e6d6152f1861cc7696680368", id="Binary"
        ),
        pytest.param(
            {"timestamp": number("1493147359900")},
            "235c5c510d26fb653d073faed50ae77c",
            id="Number",
        ),
        pytest.param({"k": string("x")}, "a45daa70926828a2f0a1db3418e6feb4", id="one character"),
        pytest.param({"Foo": string("Bar")}, "ae7155c6026991b6d54b11589678bf9c", id="Foo"),
        pytest.param({"color": string("blue")}, "da1b33cc3cbfe8b1630921e78e6b9880", id="color"),
        pytest.param(
            {"color": string("blue"), "count": number("3"), "blob": binary(b"\x01\x02\x03")},
            "d838729972a4b70e2d2acd9d59ac847c",
            id="three types, not in order",
        ),
        pytest.param(
            {"Help.Me": string("Me"), "Hello": string("There"), "General": string("Kenobi")},
            "4c360f3fdafd970e05fae2f149d997f5",
            id="sorted by name",
        ),
        pytest.param(
            {"attr1": binary(TRACEPARENT)},
            "8cbe4db156db8a94db8b801b7addb984",
            id="text in a Binary attribute",
        ),
        pytest.param(
            {"AWSTraceHeader": string(TRACE)},
            "5ae4d5d7636402d80f4eb6d213245a88",
            id="system attribute",
        ),
    ],
)
def test_digest_of_attributes_equals_the_digest_of_aws(
    attributes: Mapping[str, MessageAttributeValue], digest: str
) -> None:
    assert md5_of_attributes(attributes) == digest


def test_digest_covers_the_label_of_a_custom_type() -> None:
    plain = {"n": MessageAttributeValue("Number", "1")}
    custom = {"n": MessageAttributeValue("Number.int", "1")}
    assert md5_of_attributes(plain) != md5_of_attributes(custom)


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        pytest.param("hello", "5d41402abc4b2a76b9719d911017c592", id="hello"),
        pytest.param("test", "098f6bcd4621d373cade4e832627b4f6", id="test"),
        pytest.param("é", "66ddcd97cfdeabb2f6fb8a999b4bc76f", id="utf-8"),
    ],
)
def test_digest_of_a_body_covers_its_utf_8_bytes(body: str, digest: str) -> None:
    assert md5_of_body(body.encode()) == digest
