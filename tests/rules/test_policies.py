"""Access policies: what a Policy may say, and what permissions make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.errors import SQSError
from queueserver.rules.permissions import add_permission, remove_permission
from queueserver.rules.policy_documents import parse_policy

ARN = "arn:aws:sqs:us-east-1:000000000000:q"
A, B = "111111111111", "222222222222"
IPV = "InvalidParameterValue"
STATEMENT = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": ARN}

OTHER_KINDS = {"CanonicalUser": "c", "Federated": ["f"]}
NO_TEXTS: list[object] = ["", [], [""], 1, {}, ["a", 1]]
NO_PRINCIPALS: list[object] = [A, "", [], ["*"], {}, 1, {"AWS": []}, {"AWS": 1}, {"Human": "x"}]
NO_CONDITIONS: list[object] = [
    *("x", [], {"Bool": "x"}, {"Bool": []}),
    *({"Bool": {"k": {}}}, {"Bool": {"k": [[]]}}, {"Bool": {"k": None}}),
]


def policy(*statements: object, **others: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements, **others})


def with_(**members: object) -> dict[str, Any]:
    """The plain statement, with other members; None takes one away."""
    merged = {**STATEMENT, **members}
    return {name: value for name, value in merged.items() if value is not None}


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(SQSError) as caught:
        parse_policy(text)
    return caught.value.code, caught.value.message


def invalid(parameter: str, value: str, reason: str) -> str:
    return f"Value {value} for parameter {parameter} is invalid. Reason: {reason}"


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
                        "ArnLike": {"aws:SourceArn": ["a", "b"]},
                        "Bool": {"aws:SecureTransport": True},
                        "NumericLessThan": {"aws:MultiFactorAuthAge": 3600.5},
                    }
                )
            ),
            id="conditions",
        ),
        pytest.param(
            policy(with_(Condition={"StringLike": {f"k{n}": "v" for n in range(10)}})),
            id="most conditions",
        ),
        pytest.param(policy(STATEMENT).ljust(8_192), id="longest"),
    ],
)
def test_a_policy_is_stored_as_it_was_given(text: str) -> None:
    assert parse_policy(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("nonsense", id="no JSON"),
        pytest.param("[]", id="list"),
        pytest.param("null", id="null"),
        pytest.param("[" * 8_000, id="endless lists"),
        pytest.param(policy(STATEMENT).ljust(8_193), id="too long"),
        pytest.param(policy(with_(Sid="é" * 4_100)).replace("\\u00e9", "é"), id="long in UTF-8"),
        pytest.param(policy(STATEMENT) + "\x00", id="NUL"),
        pytest.param(policy(with_(Sid="?")).replace("?", "\uffff"), id="character of no text"),
        pytest.param("{}", id="empty"),
        pytest.param(policy(), id="no statements"),
        pytest.param(policy(None), id="null for a statement"),
        pytest.param(policy("Allow"), id="text for a statement"),
        pytest.param(policy(STATEMENT, Statements=[]), id="another name"),
        pytest.param(policy(STATEMENT, Version="2013-01-01"), id="unknown version"),
        pytest.param(policy(STATEMENT, Version=["2012-10-17"]), id="list of versions"),
        pytest.param(policy(STATEMENT, Id=1), id="a number for an id"),
        pytest.param('{"Statement":[],' + policy(STATEMENT)[1:], id="a name twice"),
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
        pytest.param(policy(with_(Actions="sqs:*")), id="another name in a statement"),
        pytest.param(policy(with_(Effect="allow")), id="effect in lower case"),
        pytest.param(policy(with_(Effect=["Allow"])), id="list of effects"),
        pytest.param(policy(with_(Sid=1)), id="a number for a Sid"),
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
            id="a number that nothing holds",
        ),
        pytest.param(policy(with_(Condition={"Bool": {"k": 0.5}})).replace("0.5", "NaN"), id="NaN"),
        pytest.param(
            policy(with_(Condition={"Bool": {"k": 5}})).replace("5}", "5" * 5_000 + "}"),
            id="endless digits",
        ),
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    expected = ("InvalidAttributeValue", "Invalid value for the parameter Policy.")
    assert refusal(text) == expected


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
def test_too_large_a_policy_is_over_the_limit(text: str, words: str) -> None:
    found = "were found in the submitted policy, max allowed is "
    assert refusal(text) == ("OverLimit", words.format(found))


def test_the_first_permission_makes_a_policy() -> None:
    assert add_permission(None, ARN, "L", [A], ["ReceiveMessage"]) == (
        f'{{"Version":"2008-10-17","Id":"{ARN}/SQSDefaultPolicy","Statement":[{{"Sid":"L",'
        f'"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{A}:root"}},'
        f'"Action":"SQS:ReceiveMessage","Resource":"{ARN}"}}]}}'
    )


def statement(label: str, principals: object, actions: object) -> dict[str, object]:
    return {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals},
        "Action": actions,
        "Resource": ARN,
    }


ROOT_A, ROOT_B = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"


def test_each_permission_appends_a_statement() -> None:
    grown = add_permission(None, ARN, "one", [A, B], ["*"])
    grown = add_permission(grown, ARN, "two", [B], ["SendMessage", "DeleteMessage"])
    assert parse_policy(grown) == grown
    assert json.loads(grown)["Statement"] == [
        statement("one", [ROOT_A, ROOT_B], "SQS:*"),
        statement("two", ROOT_B, ["SQS:SendMessage", "SQS:DeleteMessage"]),
    ]


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(policy(STATEMENT, Id="mine"), id="list"),
        pytest.param(json.dumps({"Statement": STATEMENT}), id="a single statement, no version"),
        pytest.param(
            policy(with_(Sid="\ud800\uffff é", Condition={"Bool": {"k": 10**400}})),
            id="escapes and long numbers",
        ),
    ],
)
def test_permissions_extend_a_policy_that_was_set(foreign: str) -> None:
    before = json.loads(parse_policy(foreign))
    statements = before["Statement"]
    kept = statements if isinstance(statements, list) else [statements]
    grown = add_permission(foreign, ARN, "L", [A], ["SendMessage"])
    added = statement("L", ROOT_A, "SQS:SendMessage")
    assert json.loads(parse_policy(grown)) == {**before, "Statement": [*kept, added]}
    shrunk = remove_permission(grown, "L")
    assert shrunk is not None
    assert json.loads(parse_policy(shrunk)) == {**before, "Statement": kept}


def test_principals_belong_to_the_queues_partition() -> None:
    arn = "arn:aws-cn:sqs:cn-north-1:000000000000:q"
    (added,) = json.loads(add_permission(None, arn, "L", [A], ["*"]))["Statement"]
    assert added["Principal"] == {"AWS": f"arn:aws-cn:iam::{A}:root"}


def test_removing_the_last_permission_removes_the_policy() -> None:
    first = add_permission(None, ARN, "one", [A], ["*"])
    both = add_permission(first, ARN, "two", [A], ["*"])
    assert remove_permission(both, "two") == first
    assert remove_permission(first, "one") is None


@pytest.mark.parametrize("existing", [None, policy(STATEMENT), policy(with_(Sid="l"))])
def test_a_label_that_is_not_there_cannot_be_removed(existing: str | None) -> None:
    with pytest.raises(SQSError) as caught:
        remove_permission(existing, "L")
    text = invalid("Label", "L", "can't find label.")
    assert (caught.value.code, caught.value.message) == (IPV, text)


GRANTABLE = [
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
]
OWNER_ONLY = [
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueues",
    "ListQueueTags",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
]


@pytest.mark.parametrize("action", GRANTABLE)
def test_these_actions_can_be_permitted(action: str) -> None:
    (added,) = json.loads(add_permission(None, ARN, "x" * 80, [A], [action]))["Statement"]
    assert added["Action"] == f"SQS:{action}"


NAME_RULE = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
TAKEN = add_permission(None, ARN, "L", [B], ["SendMessage"])
FULL = policy(*[with_(Sid=str(n)) for n in range(20)])


@pytest.mark.parametrize(
    ("existing", "label", "accounts", "actions", "code", "text"),
    [
        pytest.param(
            TAKEN,
            "",
            [],
            [],
            "MissingParameter",
            "The request must contain the parameter Label.",
            id="no label, before all else",
        ),
        *(
            pytest.param(
                None,
                bad,
                [A],
                ["*"],
                IPV,
                invalid("Label", bad, NAME_RULE),
                id=f"label {bad[:9]!r}",
            )
            for bad in ("a b", "x" * 81, "é", "a\n")
        ),
        pytest.param(
            TAKEN,
            "L",
            [],
            [],
            IPV,
            invalid("PrincipalId", "[]", "Unable to verify."),
            id="no accounts, before no actions",
        ),
        *(
            pytest.param(
                None,
                "L",
                [A, bad],
                ["*"],
                IPV,
                invalid("PrincipalId", f"[{A}, {bad}]", "Unable to verify."),
                id=f"account {bad!r}",
            )
            for bad in ("", "1" * 11, "1" * 13, A + "\n", "٣" * 12, ROOT_A, "*")
        ),
        pytest.param(
            TAKEN,
            "L",
            [A],
            [],
            "MissingParameter",
            "The request must contain the parameter Actions.",
            id="no actions",
        ),
        pytest.param(
            None,
            "L",
            [A],
            GRANTABLE[1:],
            "OverLimit",
            "8 Actions were found, maximum allowed is 7.",
            id="eight actions",
        ),
        *(
            pytest.param(
                TAKEN,
                "L",
                [A],
                ["SendMessage", name],
                IPV,
                invalid(
                    "ActionName",
                    f"SQS:{name}",
                    "Only the queue owner is allowed to invoke this action.",
                ),
                id=f"the owner's {name}",
            )
            for name in OWNER_ONLY
        ),
        *(
            pytest.param(
                None,
                "L",
                [A],
                [name],
                IPV,
                invalid(
                    "ActionName",
                    f"SQS:{name}",
                    "Please refer to the appropriate WSDL for a list of valid actions.",
                ),
                id=f"unknown action {name!r}",
            )
            for name in ("Foo", "", "sendmessage", "SQS:SendMessage", "SendMessageBatch", "Send*")
        ),
        pytest.param(
            TAKEN, "L", [B], ["*"], IPV, invalid("Label", "L", "Already exists."), id="label taken"
        ),
        pytest.param(
            FULL,
            "L",
            [A],
            ["*"],
            "OverLimit",
            "21 Statements were found, maximum allowed is 20.",
            id="21 statements",
        ),
        pytest.param(
            TAKEN,
            "M",
            [A] * 50,
            ["*"],
            "OverLimit",
            "51 Principals were found, maximum allowed is 50.",
            id="51 principals",
        ),
    ],
)
def test_other_permissions_are_refused(
    existing: str | None,
    label: str,
    accounts: list[str],
    actions: list[str],
    code: str,
    text: str,
) -> None:
    with pytest.raises(SQSError) as caught:
        add_permission(existing, ARN, label, accounts, actions)
    assert (caught.value.code, caught.value.message) == (code, text)


def test_a_policy_grows_to_8192_bytes() -> None:
    added = len(add_permission(policy(with_(Sid="")), ARN, "L", [A], ["*"]))
    longest = policy(with_(Sid="x" * (8_192 - added)))
    assert len(add_permission(longest, ARN, "L", [A], ["*"])) == 8_192
    with pytest.raises(SQSError) as caught:
        add_permission(longest, ARN, "LL", [A], ["*"])
    assert caught.value.code == "OverLimit"
    assert caught.value.message == "8193 Bytes were found, maximum allowed is 8192."
