"""The grammar of policy documents, and the reason that an operator reads for a rejection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from queueserver.policies.documents import PolicyKind
from queueserver.policies.errors import PolicyError
from queueserver.policies.policy import compile_policy
from tests.policies.requests import allow, decision, deny, document, for_all

IDENTITY, QUEUE = PolicyKind.IDENTITY, PolicyKind.QUEUE


def for_queue(**members: object) -> str:
    return document(allow(**{"Principal": "*", **members}))


def for_user(**members: object) -> str:
    return document(allow(**members))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(IDENTITY, json.dumps({"Statement": allow()}), id="one statement, no list"),
        pytest.param(IDENTITY, document(allow(), Id="é"), id="Id"),
        pytest.param(IDENTITY, document(allow(), Version="2008-10-17"), id="older version"),
        pytest.param(IDENTITY, document(allow(Sid="a"), allow(Sid="b")), id="two Sids"),
        pytest.param(IDENTITY, document(allow(Sid=""), allow(Sid="")), id="empty Sids"),
        pytest.param(IDENTITY, document(*[allow()] * 100), id="a hundred statements"),
        pytest.param(IDENTITY, for_user(Condition={}), id="empty condition"),
        pytest.param(IDENTITY, for_user(Action=["*"], Resource=["*"]), id="lists"),
        pytest.param(IDENTITY, f" \n{for_user()}\n", id="white space"),
        pytest.param(QUEUE, for_queue(), id="queue"),
        pytest.param(QUEUE, for_queue(Principal=None, NotPrincipal={"AWS": "1" * 12}), id="Not"),
    ],
)
def test_document_is_accepted(kind: PolicyKind, text: str) -> None:
    assert compile_policy(text, kind, "policy").statements


NO_OBJECT = "not a JSON object, or an object with a repeated name"
NO_VERSION = "Version is not 2012-10-17 or 2008-10-17"
NO_EFFECT = "Effect is not Allow or Deny"
NO_PRINCIPAL = "not exactly one of Principal and NotPrincipal"
NO_VALUE = "Condition: 'k' has a value that is not a string, a number or a boolean, or no value"
NO_TEXTS: list[object] = ["", [], [""], 1, {}, ["*", 1], [["*"]]]
NO_PRINCIPALS: list[object] = ["", "1" * 12, ["*"], {}, 1]
NO_NAMES: list[object] = ["", [], 1, [1], {"x": "y"}]
NO_CONDITIONS: list[object] = [[], "x", 1]
NO_VALUES: list[object] = [[], [[]], {}, ["x", {}]]

INVALID_JSON = {
    "empty text": "",
    "list": "[]",
    "null": "null",
    "nested lists": "[" * 100_000,
    "nested objects": '{"Statement":' * 100_000,
    "NaN": for_user(Condition={"Null": {"aws:userid": 0.5}}).replace("0.5", "NaN"),
    "repeated member": '{"Statement":[],' + for_user()[1:],
    "repeated member of a statement": for_user().replace("{", '{"Effect":"Deny",', 2)[17:],
    "repeated operator": for_user(Condition={"Null": {"aws:userid": True}}).replace(
        '"Null"', '"Null":{"aws:userid":"false"},"Null"'
    ),
    "text after the object": for_user() + "x",
}
INVALID_DOCUMENTS = {
    "empty object": ("{}", "the policy has no Statement"),
    "no statements": (document(), "the policy has no Statement"),
    "element in lower case": (
        document(allow(), version="2012-10-17"),
        "'version' is not an element of the policy",
    ),
    "unknown version": (document(allow(), Version="2012-10-18"), NO_VERSION),
    "nested version": (document(allow(), Version=json.loads("[" * 900 + "]" * 900)), NO_VERSION),
    "Id is a number": (document(allow(), Id=1), "Id is not a string"),
    "Sid twice": (document(allow(Sid="a"), allow(Sid="a")), "two statements have the same Sid"),
    "statement is null": (json.dumps({"Statement": [None]}), "statement 1: not an object"),
}
INVALID_STATEMENTS: list[tuple[dict[str, Any], str]] = [
    ({"effect": "Deny"}, "'effect' is not an element of a statement"),
    ({"Effect": None}, NO_EFFECT),
    ({"Effect": "deny"}, NO_EFFECT),
    ({"Effect": ["Deny"]}, NO_EFFECT),
    ({"Sid": 1}, "Sid is not a string"),
    ({"Action": None}, "not exactly one of Action and NotAction"),
    ({"NotAction": "*"}, "not exactly one of Action and NotAction"),
    ({"Resource": None}, "not exactly one of Resource and NotResource"),
    ({"NotResource": "*"}, "not exactly one of Resource and NotResource"),
    *(
        ({name: value}, f"{name} is not a string or a list of strings")
        for name in ("Action", "Resource")
        for value in NO_TEXTS
    ),
    ({"Principal": "*"}, "Principal is not allowed in the policy of a user"),
    ({"NotPrincipal": "*"}, "NotPrincipal is not allowed in the policy of a user"),
    *(({"Condition": value}, "Condition is not an object") for value in NO_CONDITIONS),
    *(({"Condition": {"Bool": {"k": value}}}, NO_VALUE) for value in NO_VALUES),
    (
        {"Condition": {"StringEqualz": {"aws:userid": "x"}}},
        "Condition: 'StringEqualz' is not an operator",
    ),
    ({"Action": "a\n\x1b[2J\ud800"}, r"'a\n\x1b[2J\ud800' is not an action"),
    ({"Action": "x" * 10_000}, f"'{'x' * 60}'... is not an action"),
]
INVALID_QUEUE_STATEMENTS: list[tuple[dict[str, Any], str]] = [
    ({"Principal": None}, NO_PRINCIPAL),
    ({"NotPrincipal": {"AWS": "1" * 12}}, NO_PRINCIPAL),
    *(({"Principal": value}, 'Principal is not "*" or an object') for value in NO_PRINCIPALS),
    ({"Principal": {"aws": "*"}}, "'aws' is not an element of Principal"),
    *(
        ({"Principal": {"AWS": value}}, "Principal: AWS is not a string or a list of strings")
        for value in NO_NAMES
    ),
]


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        *(pytest.param(IDENTITY, text, NO_OBJECT, id=name) for name, text in INVALID_JSON.items()),
        *(pytest.param(IDENTITY, *row, id=name) for name, row in INVALID_DOCUMENTS.items()),
        *(
            pytest.param(
                IDENTITY, for_user(**row[0]), f"statement 1: {row[1]}", id=f"{row[0]}"[:60]
            )
            for row in INVALID_STATEMENTS
        ),
        *(
            pytest.param(
                QUEUE, for_queue(**row[0]), f"statement 1: {row[1]}", id=f"queue: {row[0]}"
            )
            for row in INVALID_QUEUE_STATEMENTS
        ),
    ],
)
def test_document_is_rejected_with_one_line(kind: PolicyKind, text: str, reason: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compile_policy(text, kind, "policy")
    assert str(caught.value) == reason
    assert str(caught.value).isprintable()


def test_reason_names_the_statement() -> None:
    with pytest.raises(PolicyError, match=r"^statement 2: "):
        compile_policy(document(allow(), deny(Action="x")), IDENTITY, "policy")


def test_elements_of_a_condition_keep_their_numbers_and_booleans() -> None:
    # A value of JSON is compared as the text that AWS writes for it.
    conditions: dict[str, Any] = {
        "NumericLessThan": {"aws:EpochTime": 10**400},
        "NumericGreaterThan": {"aws:EpochTime": [1e300, 3600.5]},
        "Bool": {"aws:SecureTransport": [True]},
    }
    policy = compile_policy(for_user(Condition=conditions), IDENTITY, "policy")
    assert decision(policies=[policy]).allowed


def test_queue_policy_with_principal_star_reaches_alice() -> None:
    policy = compile_policy(document(for_all(allow())), QUEUE, "queue policy")
    assert decision(queue=policy).allowed
