"""Policies that a user gets by a name: AWS's managed policies, and short forms for one queue.

A short form is a verb, a colon and the name of a queue, such as `send:orders`. The name may have
the wildcards `*` and `?`. A verb alone is for all queues of the user's account.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_READ_ONLY = (
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListQueues",
    "ListMessageMoveTasks",
    "ListQueueTags",
)

MANAGED_POLICIES: dict[str, tuple[str, ...]] = {
    "AmazonSQSFullAccess": ("*",),
    "AmazonSQSReadOnlyAccess": _READ_ONLY,
    "AWSLambdaSQSQueueExecutionRole": ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"),
}
"""The actions that AWS's managed policies allow on all queues.

AWS's AWSLambdaSQSQueueExecutionRole also allows writing logs, for which SQS has no action.
"""

SHORT_FORMS: dict[str, tuple[str, ...]] = {
    "send": ("SendMessage", "GetQueueUrl", "GetQueueAttributes"),
    "receive": (
        "ReceiveMessage",
        "DeleteMessage",
        "ChangeMessageVisibility",
        "GetQueueUrl",
        "GetQueueAttributes",
    ),
    "admin": ("*",),
}
"""The actions that the verb of a short form allows on the queues that it names."""

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_*?-]{1,80}(\.fifo|\.\*)?")


def document_of(name: str, account: str) -> str:
    """Return the policy document of a managed policy or of a short form, as JSON.

    `account` is the account of the user: short forms are for queues of this account.

    Raises:
        ValueError: there is no such policy.
    """
    if name in MANAGED_POLICIES:
        return _allow(MANAGED_POLICIES[name], "*")
    verb, colon, queue = name.partition(":")
    if verb not in SHORT_FORMS or (colon and not _QUEUE_NAME.fullmatch(queue)):
        raise ValueError(name)
    return _allow(SHORT_FORMS[verb], f"arn:*:sqs:*:{account}:{queue or '*'}")


def _allow(actions: Sequence[str], resource: str) -> str:
    statement = {
        "Effect": "Allow",
        "Action": [f"sqs:{action}" for action in actions],
        "Resource": resource,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
