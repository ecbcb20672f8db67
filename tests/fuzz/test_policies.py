"""Properties of policies: what adding, removing and reordering statements can change."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from queueserver.policies.documents import PolicyKind
from queueserver.policies.patterns import (
    IndexedText,
    Pattern,
    compile_arn_pattern,
    compile_resource_pattern,
    parse_wildcards,
)
from queueserver.policies.policy import UnreadablePolicy
from queueserver.policies.principals import Principal
from queueserver.policies.requests import RequestFacts
from tests.fuzz import inputs, policies
from tests.fuzz.policies import compile_or_reject, compiled, for_user, is_allowed, statements
from tests.fuzz.time_limit import time_limit
from tests.policies.requests import CALLERS, Statement

IDENTITY, QUEUE = PolicyKind.IDENTITY, PolicyKind.QUEUE
REQUESTS = st.tuples(
    policies.callers,
    policies.actions,
    policies.facts,
    policies.queue_arns,
    st.none() | policies.tags,
)
SOME = st.lists(statements(), max_size=4)

Request = tuple[Principal, str, RequestFacts, str, dict[str, str] | None]


def allows(request: Request, of_user: list[Statement], of_queue: list[Statement]) -> bool:
    """Return whether these statements of a user's and a queue's policy allow a request."""
    caller, action, facts, arn, tags = request
    user_policy = compiled(IDENTITY, *map(for_user, of_user))
    queue_policy = compiled(QUEUE, *of_queue)
    return is_allowed(caller, [user_policy], queue_policy, action, facts, arn, tags)


@given(REQUESTS, SOME, SOME, statements("Deny"), st.booleans(), st.integers(0, 4))
@time_limit()
def test_adding_a_deny_never_allows(
    request: Request,
    of_user: list[Statement],
    of_queue: list[Statement],
    added: Statement,
    to_user: bool,
    place: int,
) -> None:
    before = allows(request, of_user, of_queue)
    (of_user if to_user else of_queue).insert(place, added)
    assert before or not allows(request, of_user, of_queue)


@given(REQUESTS, SOME, SOME, statements("Allow"), st.booleans(), st.integers(0, 4))
@time_limit()
def test_removing_an_allow_never_allows(
    request: Request,
    of_user: list[Statement],
    of_queue: list[Statement],
    removed: Statement,
    from_user: bool,
    place: int,
) -> None:
    after = allows(request, of_user, of_queue)
    (of_user if from_user else of_queue).insert(place, removed)
    assert allows(request, of_user, of_queue) or not after


@given(REQUESTS, SOME, SOME, st.data())
@time_limit()
def test_order_of_statements_does_not_matter(
    request: Request, of_user: list[Statement], of_queue: list[Statement], data: st.DataObject
) -> None:
    user_order = data.draw(st.permutations(of_user))
    queue_order = data.draw(st.permutations(of_queue))
    assert allows(request, of_user, of_queue) is allows(request, user_order, queue_order)


@given(REQUESTS, SOME, SOME)
@time_limit()
def test_statements_decide_alike_in_one_policy_and_in_several(
    request: Request, of_user: list[Statement], of_queue: list[Statement]
) -> None:
    caller, action, facts, arn, tags = request
    several = [compiled(IDENTITY, for_user(statement)) for statement in of_user]
    queue_policy = compiled(QUEUE, *of_queue)
    split = is_allowed(caller, several, queue_policy, action, facts, arn, tags)
    assert split is allows(request, of_user, of_queue)


@st.composite
def damaged_documents(draw: st.DrawFn) -> str:
    """Return a valid document in which one value, name or character may be replaced."""
    document: Any = {"Version": "2012-10-17", "Statement": draw(st.lists(statements(), min_size=1))}
    place = document
    while draw(st.booleans()):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            place[key] = draw(inputs.json_values)
            break
        place = inner
    text = json.dumps(document)
    if draw(st.booleans()):
        position = draw(st.integers(0, len(text)))
        text = text[:position] + draw(st.text(max_size=2)) + text[position + 1 :]
    return text


@given(REQUESTS, st.one_of(damaged_documents(), inputs.texts, inputs.json_values.map(json.dumps)))
@time_limit()
def test_document_that_does_not_compile_allows_nothing(request: Request, text: str) -> None:
    caller, action, facts, arn, tags = request
    queue = compile_or_reject(text, QUEUE)
    for one in (caller, *CALLERS.values()):
        allowed = is_allowed(one, [], queue, action, facts, arn, tags)
        assert not allowed or not isinstance(queue, UnreadablePolicy) or one.is_admin


@given(st.text(max_size=20), policies.texts, policies.texts, damaged_documents())
@time_limit()
def test_any_input_of_the_fuzz_target_is_evaluated(
    claimed: str, more: str, name: str, text: str
) -> None:
    line = f"{claimed}{more}".replace("\n", "").encode(errors="surrogatepass")
    policies.evaluate(line + b"\n" + text.encode(errors="surrogatepass"))
    policies.evaluate(line + b"\n" + name.encode(errors="surrogatepass"))


# Patterns

SMALL = st.text(alphabet="ab:*?", max_size=9)
FOUND = st.text(alphabet="ab:", max_size=9)


def reference(pattern: str, text: str) -> bool:
    """Return whether a text matches, by trying everything, in exponential time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return reference(pattern[1:], text) or (bool(text) and reference(pattern, text[1:]))
    return (
        bool(text)
        and (pattern[0] == "?" or pattern[0] == text[0])
        and reference(pattern[1:], text[1:])
    )


def by_segments(pattern: list[str], text: list[str], *, crosses: bool) -> bool:
    """Compare segment by segment; a `*` that ends a segment may take further segments."""
    if not pattern or not text:
        return not pattern and not text
    first, rest = pattern[0], pattern[1:]
    longest = len(text) if crosses and first.endswith("*") else 1
    return any(
        reference(first, text[0]) and by_segments(rest, text[count:], crosses=crosses)
        for count in range(1, longest + 1)
    )


@given(SMALL, FOUND)
def test_pattern_matches_as_the_reference_does(pattern: str, text: str) -> None:
    assert Pattern(parse_wildcards(pattern)).matches(IndexedText(text)) is reference(pattern, text)


@given(SMALL, FOUND)
def test_pattern_of_a_resource_matches_segment_by_segment(pattern: str, text: str) -> None:
    expected = by_segments(pattern.split(":"), text.split(":"), crosses=True)
    assert compile_resource_pattern(parse_wildcards(pattern)).matches(IndexedText(text)) is expected


@given(
    st.lists(st.text(alphabet="ab*?", max_size=6), min_size=6, max_size=6),
    st.lists(st.text(alphabet="ab", max_size=3), min_size=6, max_size=8),
)
def test_pattern_of_an_arn_matches_part_by_part(parts: list[str], found: list[str]) -> None:
    pattern = compile_arn_pattern(parse_wildcards(":".join(parts)))
    assert pattern is not None
    text = ":".join(found)
    expected = by_segments(parts, text.split(":", 5), crosses=False)
    assert pattern.matches(IndexedText(text)) is expected


@given(st.text(), st.text())
def test_pattern_without_wildcards_matches_itself_only(pattern: str, text: str) -> None:
    compiled_pattern = Pattern((pattern,) if pattern else ())
    assert compiled_pattern.matches(IndexedText(pattern))
    assert compiled_pattern.matches(IndexedText(text)) is (text == pattern)
