"""Error cases of AddPermission and RemovePermission."""

from __future__ import annotations

import json

from tests.api.error_cases import IPV, MP, CaseServer, ErrorCase, Parameters, value

ALPHABET = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"


def statements(count: int) -> str:
    """Return the JSON of a Policy with `count` statements."""
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Principal": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement] * count})


def _permit(**others: object) -> Parameters:
    accounts = {"AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]}
    return {"QueueUrl": "plain", "Label": "new", **accounts, **others}


def _permitted(server: CaseServer) -> Parameters:
    name = server.create_fresh()
    server.call("AddPermission", **_permit(QueueUrl=name, Label="twice"))
    return _permit(QueueUrl=name, Label="twice", Actions=["ReceiveMessage"])


def _twenty_permissions(server: CaseServer) -> Parameters:
    name = server.create_fresh(Policy=statements(20))
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


def _permission_cases() -> dict[str, ErrorCase]:
    add, remove = "AddPermission", "RemovePermission"
    label = "The request must contain the parameter Label."
    unable = "Value {} for parameter PrincipalId is invalid. Reason: Unable to verify."
    cases = {
        "label exists": ErrorCase(add, _permitted, IPV, value("Label", "Already exists.")),
        "unknown label": ErrorCase(
            remove, {"QueueUrl": "plain", "Label": "x"}, IPV, value("Label", "can't find label.")
        ),
        "8 actions": ErrorCase(
            add,
            _permit(Actions=["SendMessage"] * 8),
            "OverLimit",
            "8 Actions were found, maximum allowed is 7.",
        ),
        "21 statements": ErrorCase(
            add,
            _twenty_permissions,
            "OverLimit",
            "21 Statements were found, maximum allowed is 20.",
        ),
        "unknown action": ErrorCase(
            add,
            _permit(Actions=["Foo"]),
            IPV,
            "Value SQS:Foo for parameter ActionName is invalid. "
            "Reason: Please refer to the appropriate WSDL for a list of valid actions.",
        ),
        "no actions": ErrorCase(
            add, _permit(Actions=None), MP, "The request must contain the parameter Actions."
        ),
        "empty actions": ErrorCase(
            add, _permit(Actions=[]), MP, "The request must contain the parameter Actions."
        ),
        "no accounts": ErrorCase(add, _permit(AWSAccountIds=None), IPV, unable.format("[]")),
        "empty accounts": ErrorCase(add, _permit(AWSAccountIds=[]), IPV, unable.format("[]")),
        "bad account": ErrorCase(add, _permit(AWSAccountIds=["1"]), IPV, unable.format("[1]")),
        "no label to add": ErrorCase(add, _permit(Label=None), MP, label),
        "empty label to add": ErrorCase(add, _permit(Label=""), MP, label),
        "no label to remove": ErrorCase(remove, {"QueueUrl": "plain"}, MP, label),
        "bad label": ErrorCase(add, _permit(Label="a b"), IPV, value("Label", f"{ALPHABET}.")),
        "label of 81 characters": ErrorCase(
            add, _permit(Label="x" * 81), IPV, value("Label", f"{ALPHABET}.")
        ),
    }
    for name in _OWNER_ONLY:
        reason = "Only the queue owner is allowed to invoke this action."
        text = value("ActionName", reason, f"SQS:{name}")
        cases[f"{name} is allowed only for the owner"] = ErrorCase(
            add, _permit(Actions=[name]), IPV, text
        )
    return cases


PERMISSION_CASES = {f"permission: {name}": case for name, case in _permission_cases().items()}
