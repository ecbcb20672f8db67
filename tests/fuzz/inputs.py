"""What is tried: from plain bytes to requests that are nearly right, which reach the furthest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.actions import ACTIONS
from protocol.shapes import ListOf, MapOf, Member, Scalar, Structure, Type, members

QUEUES = ("fuzz", "fuzz.fifo")

_ARN = "arn:aws:sqs:us-east-1:000000000000:fuzz"
MEANINGFUL = (
    *QUEUES,
    "http://localhost/000000000000/fuzz",
    "/000000000000/fuzz.fifo",
    "https://sqs.us-east-1.amazonaws.com/000000000000/fuzz",
    _ARN,
    f"{_ARN}.fifo",
    "All",
    "bar.*",
    "String",
    "Number",
    "Binary",
    "Number.int",
    "0",
    "-1",
    "1e400",
    "9" * 50,
    "true",
    "AWSTraceHeader",
    "VisibilityTimeout",
    "RedrivePolicy",
    "FifoQueue",
    "Policy",
    "ContentBasedDeduplication",
    f'{{"deadLetterTargetArn":"{_ARN}","maxReceiveCount":3}}',
    '{"redrivePermission":"allowAll"}',
    '{"Version":"2012-10-17","Statement":[]}',
    "../..",
    "%00",
    "\r\nX-Injected: 1",
    "\ud800",
    "\x00",
    "\ufffe",
    "\U0001f600",
    "a" * 300,
    "=" * 200,
)
texts = st.one_of(
    st.sampled_from(MEANINGFUL),
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Cn", "Ll"]), max_size=8),
)
numbers = st.one_of(
    st.integers(-5, 20),
    st.integers(),
    st.sampled_from([2**31, 2**31 - 1, 2**63, -(2**63), 10**40, 43_200, 1_209_600]),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
garbage = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"[" * 20_000, b'{"a":' * 20_000, b'{"QueueUrl":"\\ud800"}', b"\xff\xfe{}"]),
    st.integers(4_000, 6_000).map(lambda count: b'{"DelaySeconds":' + b"9" * count + b"}"),
    st.text(max_size=50).map(lambda text: json.dumps(text).encode()),
)


def value(type_: Type) -> SearchStrategy[Any]:
    """Give values of a type, and now and then of no such type."""
    right: SearchStrategy[Any]
    match type_:
        case Structure(shape):
            right = structure(members(shape))
        case ListOf(item):
            right = st.lists(value(item), max_size=12)
        case MapOf(item):
            right = st.dictionaries(texts, value(item), max_size=12)
        case Scalar("integer"):
            right = numbers
        case _:
            right = texts
    return st.one_of(right, right, right, right, right, anything)


def structure(found: tuple[Member, ...]) -> SearchStrategy[dict[str, Any]]:
    """Give objects that have any of a structure's members."""

    def of(member: Member) -> SearchStrategy[Any]:
        return st.deferred(lambda: value(member.type))

    optional = {member.wire_name: of(member) for member in found}
    return st.fixed_dictionaries({}, optional=optional)


def parameters(action: str) -> SearchStrategy[dict[str, Any]]:
    """Give parameters for an action, most of the time with a queue that is there."""
    found = members(ACTIONS[action].request)
    given = structure(found)
    if not any(member.wire_name == "QueueUrl" for member in found):
        return given
    named = st.sampled_from(QUEUES).map(lambda name: {"QueueUrl": name})
    return st.one_of(given, st.builds(lambda one, other: {**one, **other}, given, named))


actions = st.sampled_from(sorted(ACTIONS))
requests = actions.flatmap(lambda name: st.tuples(st.just(name), parameters(name)))


def as_json(given: object) -> bytes:
    """Write JSON as the most careless client would: surrogates and NaN as they are."""
    return json.dumps(given, ensure_ascii=False).encode(errors="surrogatepass")


def as_form(action: str, given: Mapping[str, Any]) -> bytes:
    """Write a form with everything that is nested spelled out, by JSON's names and by Query's."""
    pairs = [("Action", action), *_flat("", given)]
    return b"&".join(f"{_quoted(name)}={_quoted(text)}".encode() for name, text in pairs)


def _quoted(text: str) -> str:
    return quote_from_bytes(text.encode(errors="surrogatepass"))


def _flat(prefix: str, given: object) -> list[tuple[str, str]]:
    if isinstance(given, dict):
        pairs = []
        for position, (name, inner) in enumerate(given.items(), 1):
            pairs += _flat(f"{prefix}.{name}" if prefix else name, inner)
            if prefix and position % 2:
                pairs.append((f"{prefix}.{position}.Name", name))
                pairs += _flat(f"{prefix}.{position}.Value", inner)
        return pairs
    if isinstance(given, list):
        pairs = []
        for position, inner in enumerate(given, 1):
            singular = prefix.removesuffix("s")
            pairs += _flat(f"{singular}.{position}", inner)
        return pairs
    return [(prefix, str(given))]


@st.composite
def form_names(draw: st.DrawFn) -> str:
    """Give names of parameters: dots, numbers and SQS's words in any order."""
    words = ["Attribute", "Name", "Value", "Tag", "Key", "MessageAttribute", "Entries", ""]
    words += ["SendMessageBatchRequestEntry", "StringValue", "1", "2", "0", "-1", "999999999"]
    words += ["9" * 30, "\u0663"]
    parts = draw(st.lists(st.sampled_from(words), min_size=1, max_size=12))
    return ".".join(parts)


forms = st.builds(
    lambda action, pairs: as_form(action, dict(pairs)),
    actions,
    st.lists(st.tuples(form_names(), texts), max_size=12),
)
