"""Access policies: which documents are accepted, and the text of each error."""

from __future__ import annotations

import json
import re

import pytest

from protocol.errors import InvalidAttributeValue
from queueserver.rules.policy_documents import parse_policy, policy_of_queue
from tests.rules.policies import STATEMENT, A, policy, with_
from tests.rules.rejections import rejection

OTHER_KINDS = {"CanonicalUser": "c", "Federated": ["f"]}
NO_TEXTS: list[object] = ["", [], [""], 1, {}, ["a", 1]]
NO_PRINCIPALS: list[object] = [A, "", [], ["*"], {}, 1, {"AWS": []}, {"AWS": 1}, {"Human": "x"}]
NO_CONDITIONS: list[object] = [
    *("x", [], {"Bool": "x"}, {"Bool": []}),
    *({"Bool": {"k": {}}}, {"Bool": {"k": [[]]}}, {"Bool": {"k": None}}),
]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(policy(STATEMENT), id="plain"),
        pytest.param(f" {json.dumps({'Statement': STATEMENT}, indent=2)}\n", id="no list, spaces"),
        pytest.param(policy(STATEMENT, Version="2008-10-17", Id="é"), id="older version, and id"),
        pytest.param(policy(*[STATEMENT] * 20), id="most statements"),
        pytest.param(policy(with_(Sid="s", Effect="Deny")), id="named denial"),
        pytest.param(policy(with_(Action=["sqs:*"] * 7)), id="most actions"),
        pytest.param(policy(with_(Action=None, NotAction=["sqs:*"])), id="NotAction"),
        pytest.param(policy(with_(Resource=None, NotResource="*")), id="NotResource"),
        pytest.param(policy(with_(Principal=None, NotPrincipal={"AWS": A})), id="NotPrincipal"),
        pytest.param(
            policy(with_(Principal={"AWS": [A, "*"], "Service": "s", **OTHER_KINDS})),
            id="kinds of principals",
        ),
        pytest.param(policy(with_(Principal={"AWS": [A] * 50})), id="most principals"),
        pytest.param(
            policy(
                with_(
                    Condition={
                        "ArnLike": {"aws:SourceArn": ["arn:aws:sns:*:*:a", "arn:aws:s3:::b"]},
                        "Bool": {"aws:SecureTransport": True},
                        "NumericLessThan": {"aws:MultiFactorAuthAge": 3600.5},
                    }
                )
            ),
            id="conditions",
        ),
        pytest.param(
            policy(
                with_(Condition={"StringLike": {f"aws:PrincipalTag/{n}": "v" for n in range(10)}})
            ),
            id="most conditions",
        ),
        pytest.param(policy(STATEMENT).ljust(8_192), id="longest"),
    ],
)
def test_policy_is_stored_as_it_was_sent(text: str) -> None:
    assert parse_policy(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty text"),
        pytest.param("nonsense", id="not JSON"),
        pytest.param("[]", id="list"),
        pytest.param("null", id="null"),
        pytest.param("[" * 8_000, id="deeply nested lists"),
        pytest.param(policy(STATEMENT).ljust(8_193), id="too long"),
        pytest.param(policy(with_(Sid="é" * 4_100)).replace("\\u00e9", "é"), id="long in UTF-8"),
        pytest.param(policy(STATEMENT) + "\x00", id="NUL"),
        pytest.param(
            policy(with_(Sid="?")).replace("?", "\uffff"), id="character that XML cannot represent"
        ),
        pytest.param("{}", id="empty"),
        pytest.param(policy(), id="no statements"),
        pytest.param(policy(None), id="statement is null"),
        pytest.param(policy("Allow"), id="statement is a string"),
        pytest.param(policy(STATEMENT, Statements=[]), id="unknown member"),
        pytest.param(policy(STATEMENT, Version="2013-01-01"), id="unknown version"),
        pytest.param(policy(STATEMENT, Version=["2012-10-17"]), id="list of versions"),
        pytest.param(policy(STATEMENT, Id=1), id="Id is a number"),
        pytest.param('{"Statement":[],' + policy(STATEMENT)[1:], id="member twice"),
        *(
            pytest.param(policy(STATEMENT, with_(**{name: None})), id=f"no {name}")
            for name in STATEMENT
        ),
        *(
            pytest.param(
                policy(with_(**{f"Not{name}": STATEMENT[name]})), id=f"{name} and Not{name}"
            )
            for name in ("Action", "Principal", "Resource")
        ),
        pytest.param(policy(with_(Actions="sqs:*")), id="unknown member of a statement"),
        pytest.param(policy(with_(Effect="allow")), id="effect in lower case"),
        pytest.param(policy(with_(Effect=["Allow"])), id="list of effects"),
        pytest.param(policy(with_(Sid=1)), id="Sid is a number"),
        *(
            pytest.param(policy(with_(**{name: value})), id=f"{name} {value!r}")
            for name in ("Action", "Resource")
            for value in NO_TEXTS
        ),
        *(
            pytest.param(policy(with_(Principal=value)), id=f"Principal {value!r}")
            for value in NO_PRINCIPALS
        ),
        *(
            pytest.param(policy(with_(Condition=value)), id=f"Condition {value!r}")
            for value in NO_CONDITIONS
        ),
        pytest.param(
            policy(with_(Condition={"Bool": {"k": 0.5}})).replace("0.5", "1e999"),
            id="number that a float cannot represent",
        ),
        pytest.param(policy(with_(Condition={"Bool": {"k": 0.5}})).replace("0.5", "NaN"), id="NaN"),
        pytest.param(
            policy(with_(Condition={"Bool": {"k": 5}})).replace("5}", "5" * 5_000 + "}"),
            id="5,000 digits",
        ),
    ],
)
def test_document_that_is_not_a_policy_is_rejected(text: str) -> None:
    expected = ("InvalidAttributeValue", "Invalid value for the parameter Policy.")
    assert rejection(parse_policy, text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[]", "not a JSON object, or an object with a repeated name", id="not JSON"),
        pytest.param(
            policy(STATEMENT, with_(Effect="allow")),
            "statement 2: Effect is not Allow or Deny",
            id="grammar",
        ),
        pytest.param(
            policy(with_(Condition={"Bool": {"aws:SecureTransprt": "true"}})),
            "statement 1: Condition: 'aws:SecureTransprt' is not a condition key",
            id="condition key",
        ),
        pytest.param(
            policy(with_(Sid="x" * 8_192)),
            r"the policy has 8\d\d\d bytes, at most 8192",
            id="length",
        ),
        pytest.param(
            policy(with_(Sid="a")).replace('"a"', '"\x01"'),
            "the policy has a character that XML does not allow",
            id="character",
        ),
    ],
)
def test_rejected_policy_has_a_reason_for_the_log(text: str, reason: str) -> None:
    with pytest.raises(InvalidAttributeValue) as caught:
        parse_policy(text)
    assert re.match(reason, caught.value.reason)
    assert not caught.value.denial


def test_queue_in_the_reason_is_one_short_word() -> None:
    for name in ("orders", "a b\n", "\ud800", "x" * 1_000_000, "\U0001f600" * 200):
        with pytest.raises(InvalidAttributeValue) as caught, policy_of_queue(f"arn:{name}"):
            parse_policy("{}")
        queue, _, reason = caught.value.reason.partition(" reason=")
        assert queue.startswith("queue=arn:")
        assert queue.isascii()
        assert queue.isprintable()
        assert " " not in queue
        assert len(queue) < 220
        assert reason == "the policy has no Statement"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(policy(*[STATEMENT] * 22), "22 statements {}20", id="statements"),
        pytest.param(policy(STATEMENT, with_(Action=["a"] * 8)), "8 actions {}7", id="actions"),
        pytest.param(
            policy(with_(Principal={"AWS": [A] * 26}), with_(Principal={"Service": ["s"] * 25})),
            "51 principals {}50",
            id="principals",
        ),
        pytest.param(
            policy(
                with_(Condition={"StringLike": {f"k{n}": "v" for n in range(6)}}),
                with_(Condition={"Bool": {"a": True}, "Null": {f"k{n}": True for n in range(4)}}),
            ),
            "11 conditions {}10",
            id="conditions",
        ),
    ],
)
def test_policy_with_too_many_parts_is_over_the_limit(text: str, words: str) -> None:
    found = "were found in the submitted policy, max allowed is "
    assert rejection(parse_policy, text) == ("OverLimit", words.format(found))
