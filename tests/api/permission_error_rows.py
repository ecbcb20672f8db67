"""Errors of AddPermission and RemovePermission, row by row."""

from __future__ import annotations

import json

from tests.api.error_rows import IPV, MP, Parameters, Room, Row, value

ALPHABET = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"


def statements(count: int) -> str:
    """Write a Policy of so many statements."""
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Principal": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement] * count})


def _permit(**others: object) -> Parameters:
    accounts = {"AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]}
    return {"QueueUrl": "plain", "Label": "new", **accounts, **others}


def _permitted(room: Room) -> Parameters:
    name = room.fresh()
    room.ask("AddPermission", **_permit(QueueUrl=name, Label="twice"))
    return _permit(QueueUrl=name, Label="twice", Actions=["ReceiveMessage"])


def _twenty_permissions(room: Room) -> Parameters:
    name = room.fresh(Policy=statements(20))
    return _permit(QueueUrl=name)


_OWNER_ONLY = (
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
)


def _permission_rows() -> dict[str, Row]:
    add, remove = "AddPermission", "RemovePermission"
    label = "The request must contain the parameter Label."
    unable = "Value {} for parameter PrincipalId is invalid. Reason: Unable to verify."
    rows = {
        "label exists": Row(add, _permitted, IPV, value("Label", "Already exists.")),
        "unknown label": Row(
            remove, {"QueueUrl": "plain", "Label": "x"}, IPV, value("Label", "can't find label.")
        ),
        "eight actions": Row(
            add,
            _permit(Actions=["SendMessage"] * 8),
            "OverLimit",
            "8 Actions were found, maximum allowed is 7.",
        ),
        "21 statements": Row(
            add,
            _twenty_permissions,
            "OverLimit",
            "21 Statements were found, maximum allowed is 20.",
        ),
        "unknown action": Row(
            add,
            _permit(Actions=["Foo"]),
            IPV,
            "Value SQS:Foo for parameter ActionName is invalid. "
            "Reason: Please refer to the appropriate WSDL for a list of valid actions.",
        ),
        "no actions": Row(
            add, _permit(Actions=None), MP, "The request must contain the parameter Actions."
        ),
        "empty actions": Row(
            add, _permit(Actions=[]), MP, "The request must contain the parameter Actions."
        ),
        "no accounts": Row(add, _permit(AWSAccountIds=None), IPV, unable.format("[]")),
        "empty accounts": Row(add, _permit(AWSAccountIds=[]), IPV, unable.format("[]")),
        "bad account": Row(add, _permit(AWSAccountIds=["1"]), IPV, unable.format("[1]")),
        "no label to add": Row(add, _permit(Label=None), MP, label),
        "empty label to add": Row(add, _permit(Label=""), MP, label),
        "no label to remove": Row(remove, {"QueueUrl": "plain"}, MP, label),
        "bad label": Row(add, _permit(Label="a b"), IPV, value("Label", f"{ALPHABET}.")),
        "label of 81": Row(add, _permit(Label="x" * 81), IPV, value("Label", f"{ALPHABET}.")),
    }
    for name in _OWNER_ONLY:
        reason = "Only the queue owner is allowed to invoke this action."
        text = value("ActionName", reason, f"SQS:{name}")
        rows[f"{name} is the owner's"] = Row(add, _permit(Actions=[name]), IPV, text)
    return rows


PERMISSION_ROWS = {f"permission: {name}": row for name, row in _permission_rows().items()}
