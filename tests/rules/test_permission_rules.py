"""Permissions: the statements that they add to a policy, and the text of each error."""

from __future__ import annotations

import json

import pytest

from queueserver.rules.permissions import add_permission, remove_permission
from queueserver.rules.policy_documents import parse_policy
from tests.rules.policies import ARN, STATEMENT, A, B, policy, with_
from tests.rules.rejections import IPV, invalid, rejection


def test_first_permission_creates_a_policy() -> None:
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
            policy(
                with_(
                    Sid="\ud800\uffff é",
                    Condition={"NumericLessThan": {"aws:EpochTime": 10**400}},
                )
            ),
            id="escapes and long numbers",
        ),
    ],
)
def test_permissions_extend_a_policy_that_was_set_as_attribute(foreign: str) -> None:
    before = json.loads(parse_policy(foreign))
    statements = before["Statement"]
    kept = statements if isinstance(statements, list) else [statements]
    grown = add_permission(foreign, ARN, "L", [A], ["SendMessage"])
    added = statement("L", ROOT_A, "SQS:SendMessage")
    assert json.loads(parse_policy(grown)) == {**before, "Statement": [*kept, added]}
    shrunk = remove_permission(grown, "L")
    assert shrunk is not None
    assert json.loads(parse_policy(shrunk)) == {**before, "Statement": kept}


def test_principals_are_in_the_partition_of_the_queue() -> None:
    arn = "arn:aws-cn:sqs:cn-north-1:000000000000:q"
    (added,) = json.loads(add_permission(None, arn, "L", [A], ["*"]))["Statement"]
    assert added["Principal"] == {"AWS": f"arn:aws-cn:iam::{A}:root"}


def test_removing_the_last_permission_removes_the_policy() -> None:
    first = add_permission(None, ARN, "one", [A], ["*"])
    both = add_permission(first, ARN, "two", [A], ["*"])
    assert remove_permission(both, "two") == first
    assert remove_permission(first, "one") is None


@pytest.mark.parametrize("existing", [None, policy(STATEMENT), policy(with_(Sid="l"))])
def test_removing_an_unknown_label_is_rejected(existing: str | None) -> None:
    text = invalid("Label", "L", "can't find label.")
    assert rejection(remove_permission, existing, "L") == (IPV, text)


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
def test_grantable_action_can_be_granted(action: str) -> None:
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
            id="no label, checked first",
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
        pytest.param(
            None,
            "L",
            ["3"] * 1_000_000,
            ["*"],
            "OverLimit",
            "1000000 Principals were found, maximum allowed is 50.",
            id="1,000,000 principals",
        ),
    ],
)
def test_invalid_permission_is_rejected(
    existing: str | None,
    label: str,
    accounts: list[str],
    actions: list[str],
    code: str,
    text: str,
) -> None:
    assert rejection(add_permission, existing, ARN, label, accounts, actions) == (code, text)


def test_policy_can_grow_to_8192_bytes() -> None:
    added = len(add_permission(policy(with_(Sid="")), ARN, "L", [A], ["*"]))
    longest = policy(with_(Sid="x" * (8_192 - added)))
    assert len(add_permission(longest, ARN, "L", [A], ["*"])) == 8_192
    text = "8193 Bytes were found, maximum allowed is 8192."
    assert rejection(add_permission, longest, ARN, "LL", [A], ["*"]) == ("OverLimit", text)


def test_letters_beyond_ascii_do_not_grow_a_policy() -> None:
    statement = json.dumps(with_(Sid="é" * 3_900), ensure_ascii=False, separators=(",", ":"))
    before = f'{{"Version":"2012-10-17","Statement":[{statement}]}}'
    grown = add_permission(before, ARN, "L", [A], ["*"])
    assert remove_permission(grown, "L") == before
    assert len(grown.encode()) <= 8_192
    longest = before.replace("é" * 3_900, "é" * 4_000)
    grown_bytes = len(grown.encode()) + 200
    text = f"{grown_bytes} Bytes were found, maximum allowed is 8192."
    assert rejection(add_permission, longest, ARN, "L", [A], ["*"]) == ("OverLimit", text)
