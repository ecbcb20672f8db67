"""The cost of conditions on the tags of a request, which come before the rules for tags."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import msgspec
import pytest

from queueserver.policies.condition_keys import MAXIMUM_TAGS
from queueserver.policies.evaluation import Decision, Reason
from queueserver.policies.principals import ANONYMOUS
from queueserver.policies.requests import RequestFacts
from tests.policies.requests import FACTS, decision, deny, for_all, queue_policy

_MOST_SECONDS = 0.5
_MOST_BYTES = 10_000_000


def decide(condition: dict[str, Any], facts: RequestFacts) -> Decision:
    """Return the decision about a request to tag a queue whose policy denies by a condition."""
    policy = queue_policy(for_all(deny(Condition=condition)))
    return decision(ANONYMOUS, queue=policy, action="TagQueue", facts=facts)


def facts(tags: dict[str, str]) -> RequestFacts:
    return msgspec.structs.replace(FACTS, request_tags=tags, tag_keys=list(tags))


@pytest.mark.parametrize(
    ("condition", "tags"),
    [
        pytest.param(
            {"StringEquals": {"aws:userid": "${aws:RequestTag/x}" * 400}},
            {"x": "v" * 1_000_000},
            id="long value, in one text often",
        ),
        pytest.param(
            {"StringEqualsIgnoreCase": {"aws:userid": ["${aws:RequestTag/x}!"] * 400}},
            {"x": "V" * 4_000_000},
            id="long value, in many texts",
        ),
        pytest.param(
            {"StringEquals": {"aws:userid": ["${aws:RequestTag/x}"] * 400}},
            {"\u00fc" * 1_000_000: "v"},
            id="long key",
        ),
        pytest.param(
            {"StringEquals": {"aws:userid": ["${aws:RequestTag/x1}"] * 400}},
            {f"{number:02}": "v" for number in range(10_000)},
            id="many tags",
        ),
        pytest.param(
            {"ForAnyValue:StringEquals": {"aws:TagKeys": ["${aws:userid}"] * 400}},
            {str(number): "v" for number in range(3_000)},
            id="many keys",
        ),
    ],
)
def test_condition_on_tags_takes_little_time_and_memory(
    condition: dict[str, Any], tags: dict[str, str]
) -> None:
    request = facts(tags)
    decide(condition, FACTS)
    began = time.thread_time()
    decide(condition, request)
    assert time.thread_time() - began < _MOST_SECONDS
    tracemalloc.start()
    try:
        decide(condition, request)
        assert tracemalloc.get_traced_memory()[1] < _MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [MAXIMUM_TAGS, MAXIMUM_TAGS + 1])
@pytest.mark.parametrize(
    "condition",
    [
        pytest.param({"StringEquals": {"aws:RequestTag/0": "other"}}, id="tag"),
        pytest.param({"StringEquals": {"aws:userid": "${aws:RequestTag/0}"}}, id="variable"),
        pytest.param({"ForAnyValue:StringEquals": {"aws:TagKeys": "other"}}, id="keys"),
    ],
)
def test_denial_applies_if_there_are_too_many_tags_to_look_at(
    condition: dict[str, Any], count: int
) -> None:
    tags = {str(number): "v" for number in range(count)}
    is_denied = decide(condition, facts(tags)).sid == "1"
    assert is_denied == (count > MAXIMUM_TAGS)


def test_length_of_a_text_that_ignores_case_is_that_of_its_characters() -> None:
    condition = {"StringEqualsIgnoreCase": {"aws:RequestTag/a": "${aws:RequestTag/b}"}}
    assert decide(condition, facts({"a": "\u00fcX", "b": "\u00fcx"})).sid == "1"


@pytest.mark.parametrize(
    ("operator", "texts", "reason"),
    [
        pytest.param("StringLike", ["x*"] * 40, Reason.NO_RESOURCE_ALLOW, id="most patterns"),
        pytest.param("StringLike", ["x*"] * 41, Reason.EXPLICIT_DENY_RESOURCE, id="more patterns"),
        pytest.param(
            "StringEquals",
            ["x${aws:userid}"] * 41,
            Reason.EXPLICIT_DENY_RESOURCE,
            id="more variables",
        ),
        pytest.param(
            "StringEquals",
            [f"x{number}" for number in range(400)],
            Reason.NO_RESOURCE_ALLOW,
            id="constant texts",
        ),
    ],
)
def test_deny_applies_if_fifty_tags_need_too_many_comparisons(
    operator: str, texts: list[str], reason: Reason
) -> None:
    tags = {f"key{number}": "v" for number in range(50)}
    condition = {f"ForAnyValue:{operator}": {"aws:TagKeys": texts}}
    assert decide(condition, facts(tags)).reason is reason
