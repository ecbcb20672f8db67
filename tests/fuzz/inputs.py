"""Random inputs, from plain bytes to nearly valid requests, which reach the most code."""

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
KNOWN_TEXTS = (
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
    st.sampled_from(KNOWN_TEXTS),
    st.text(max_size=40),
    st.text(st.characters(categories=["Cs", "Cc", "Cn", "Ll"]), max_size=8),
)
numbers = st.one_of(
    st.integers(-5, 20),
    st.integers(),
    st.sampled_from([2**31, 2**31 - 1, 2**63, -(2**63), 10**40, 43_200, 1_209_600]),
)
json_values = st.recursive(
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


def values_of(type_: Type) -> SearchStrategy[Any]:
    """Return a strategy for values of a type, with some values of a wrong type."""
    valid: SearchStrategy[Any]
    match type_:
        case Structure(shape):
            valid = objects_with(members(shape))
        case ListOf(item):
            valid = st.lists(values_of(item), max_size=12)
        case MapOf(item):
            valid = st.dictionaries(texts, values_of(item), max_size=12)
        case Scalar("integer"):
            valid = numbers
        case _:
            valid = texts
    return st.one_of(valid, valid, valid, valid, valid, json_values)


def objects_with(optional_members: tuple[Member, ...]) -> SearchStrategy[dict[str, Any]]:
    """Return a strategy for objects that have any of the members."""

    def deferred_values(member: Member) -> SearchStrategy[Any]:
        return st.deferred(lambda: values_of(member.type))

    optional = {member.wire_name: deferred_values(member) for member in optional_members}
    return st.fixed_dictionaries({}, optional=optional)


def parameters_of(action: str) -> SearchStrategy[dict[str, Any]]:
    """Return a strategy for parameters of an action; half of them name an existing queue."""
    all_members = members(ACTIONS[action].request)
    parameters = objects_with(all_members)
    if not any(member.wire_name == "QueueUrl" for member in all_members):
        return parameters
    queue_urls = st.sampled_from(QUEUES).map(lambda name: {"QueueUrl": name})
    with_queue = st.builds(lambda given, url: {**given, **url}, parameters, queue_urls)
    return st.one_of(parameters, with_queue)


actions = st.sampled_from(sorted(ACTIONS))
requests = actions.flatmap(lambda name: st.tuples(st.just(name), parameters_of(name)))


def as_json(given: object) -> bytes:
    """Encode a value as JSON without escapes: surrogates and NaN stay as they are."""
    return json.dumps(given, ensure_ascii=False).encode(errors="surrogatepass")


def as_form(action: str, given: Mapping[str, Any]) -> bytes:
    """Encode parameters as a form; nested ones get names both of JSON and of Query."""
    pairs = [("Action", action), *_flattened("", given)]
    return b"&".join(f"{_quoted(name)}={_quoted(text)}".encode() for name, text in pairs)


def _quoted(text: str) -> str:
    return quote_from_bytes(text.encode(errors="surrogatepass"))


def _flattened(prefix: str, given: object) -> list[tuple[str, str]]:
    if isinstance(given, dict):
        pairs = []
        for position, (name, inner) in enumerate(given.items(), 1):
            pairs += _flattened(f"{prefix}.{name}" if prefix else name, inner)
            if prefix and position % 2:
                pairs.append((f"{prefix}.{position}.Name", name))
                pairs += _flattened(f"{prefix}.{position}.Value", inner)
        return pairs
    if isinstance(given, list):
        pairs = []
        for position, inner in enumerate(given, 1):
            singular = prefix.removesuffix("s")
            pairs += _flattened(f"{singular}.{position}", inner)
        return pairs
    return [(prefix, str(given))]


@st.composite
def form_names(draw: st.DrawFn) -> str:
    """Return a random name of a parameter: names of SQS, numbers and dots in any order."""
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
