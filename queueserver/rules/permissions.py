"""Permissions: the statements of a queue's policy that AddPermission adds, one per label."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.actions import ACTIONS
from protocol.errors import OverLimit, missing_parameter
from queueserver.policies.actions import SHAREABLE_ACTIONS
from queueserver.policies.documents import OLDEST_VERSION, as_list
from queueserver.rules import limits
from queueserver.rules.parameters import ACCOUNT, NAME, NAME_RULE, invalid_value_error
from queueserver.rules.policy_documents import compact_json, count_principals, read_stored_policy
from queueserver.utf8 import utf8_bytes


def add_permission(
    policy: str | None, queue_arn: str, label: str, accounts: Sequence[str], actions: Sequence[str]
) -> str:
    """Return the policy with one more statement, after the existing ones.

    `policy` is the queue's Policy, or None; `label` becomes the Sid of the statement.

    Raises:
        MissingParameter: the label or the actions are missing.
        InvalidAttributeValue: the existing policy cannot be read.
        InvalidParameterValue: the label exists, or a label, account or action is invalid.
        OverLimit: there are more than 7 actions, or the policy would have more than 20 statements,
            50 principals or 8,192 bytes [guess: the last two].
    """
    _check_label(label)
    _check_accounts(accounts)
    _check_actions(actions)
    empty = {"Version": OLDEST_VERSION, "Id": f"{queue_arn}/SQSDefaultPolicy", "Statement": []}
    document = empty if policy is None else read_stored_policy(policy)
    statements = as_list(document["Statement"])
    if any(statement.get("Sid") == label for statement in statements):
        raise invalid_value_error("Label", label, "Already exists.")
    partition = queue_arn.split(":")[1]
    principals = [f"arn:{partition}:iam::{account}:root" for account in accounts]
    statements.append(
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": _unwrap_single(principals)},
            "Action": _unwrap_single([f"SQS:{name}" for name in actions]),
            "Resource": queue_arn,
        }
    )
    text = compact_json({**document, "Statement": statements})
    _check_quota(len(statements), "Statements", limits.MAXIMUM_POLICY_STATEMENTS)
    _check_quota(count_principals(statements), "Principals", limits.MAXIMUM_POLICY_PRINCIPALS)
    _check_quota(utf8_bytes(text), "Bytes", limits.MAXIMUM_POLICY_BYTES)
    return text


def remove_permission(policy: str | None, label: str) -> str | None:
    """Return the policy without the statement of this label, or None if no statement is left.

    Raises:
        InvalidAttributeValue: the policy cannot be read.
        InvalidParameterValue: no statement has the label.
    """
    document = {} if policy is None else read_stored_policy(policy)
    statements = as_list(document.get("Statement", []))
    kept = [statement for statement in statements if statement.get("Sid") != label]
    if len(kept) == len(statements):
        raise invalid_value_error("Label", label, "can't find label.")
    return compact_json({**document, "Statement": kept}) if kept else None


def _check_label(label: str) -> None:
    """Reject a label that is not 1 to 80 letters, digits, hyphens and underscores [guess: text]."""
    if not label:
        raise missing_parameter("Label")
    if not NAME.fullmatch(label):
        raise invalid_value_error("Label", label, f"Can only include {NAME_RULE}.")


def _check_accounts(accounts: Sequence[str]) -> None:
    """Reject an empty or too long list of accounts, and an account id that is not 12 digits."""
    _check_quota(len(accounts), "Principals", limits.MAXIMUM_POLICY_PRINCIPALS)
    if not accounts or not all(map(ACCOUNT.fullmatch, accounts)):
        raise invalid_value_error("PrincipalId", f"[{', '.join(accounts)}]", "Unable to verify.")


def _check_actions(names: Sequence[str]) -> None:
    """Reject an empty or too long list of actions, and an action that cannot be granted.

    `*` stands for every action.
    """
    if not names:
        raise missing_parameter("Actions")
    _check_quota(len(names), "Actions", limits.MAXIMUM_STATEMENT_ACTIONS)
    for name in names:
        if name in SHAREABLE_ACTIONS or name == "*":
            continue
        reason = "Please refer to the appropriate WSDL for a list of valid actions."
        # AWS has no permission for a batch action: the single action's permission covers it.
        if name in ACTIONS and not name.endswith("Batch"):
            reason = "Only the queue owner is allowed to invoke this action."
        raise invalid_value_error("ActionName", f"SQS:{name}", reason)


def _check_quota(count: int, counted: str, maximum: int) -> None:
    if count > maximum:
        raise OverLimit(f"{count} {counted} were found, maximum allowed is {maximum}.")


def _unwrap_single(values: list[str]) -> str | list[str]:
    """Return a list of one item as the item, as AWS writes its statements."""
    return values[0] if len(values) == 1 else values
