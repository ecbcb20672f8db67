"""What AddPermission may give away, to whom, and under which label.

Pure functions that return, or raise SQS's own error. Refused here: the policy that a permission
becomes a statement of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from protocol.actions import ACTIONS
from protocol.errors import OverLimit, missing_parameter
from queueserver.rules import limits

GRANTABLE_ACTIONS = frozenset(
    {
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "SendMessage",
    }
)
"""What AddPermission can let others do, each action with its batch; the rest is the owner's."""

_ACCOUNT_ID = re.compile(r"[0-9]{12}")


def label(text: str) -> None:
    """Refuse a label that no permission can have [guess: the words for its alphabet]."""
    if not text:
        raise missing_parameter("Label")
    if not limits.NAME.fullmatch(text):
        raise limits.invalid("Label", text, f"Can only include {limits.NAME_RULE}.")


def accounts(account_ids: Sequence[str]) -> None:
    """Refuse a permission for nobody, or for what is no account's 12-digit id."""
    if not account_ids or not all(map(_ACCOUNT_ID.fullmatch, account_ids)):
        raise limits.invalid("PrincipalId", f"[{', '.join(account_ids)}]", "Unable to verify.")


def actions(names: Sequence[str]) -> None:
    """Refuse a permission for nothing, for too much, or for what nobody or only the owner can do.

    `*` stands for every action.
    """
    if not names:
        raise missing_parameter("Actions")
    quota(len(names), "Actions", limits.MAXIMUM_STATEMENT_ACTIONS)
    for name in names:
        if name in GRANTABLE_ACTIONS or name == "*":
            continue
        reason = "Please refer to the appropriate WSDL for a list of valid actions."
        # A batch needs no permission of its own, so that none can be given for it.
        if name in ACTIONS and not name.endswith("Batch"):
            reason = "Only the queue owner is allowed to invoke this action."
        raise limits.invalid("ActionName", f"SQS:{name}", reason)


def quota(count: int, what: str, maximum: int) -> None:
    """Refuse AddPermission a policy with more of something than a policy may hold."""
    if count > maximum:
        raise OverLimit(f"{count} {what} were found, maximum allowed is {maximum}.")
