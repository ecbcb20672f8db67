"""The 23 actions as calls of a client, each with the permissions that it needs.

All calls are about one queue, which is the dead-letter queue of another one: such a queue can be
the source of a message move task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from protocol.names import queue_arn, queue_url
from queueserver.rules.move_task_parameters import TaskHandle
from tests.access.declared_users import User
from tests.api.sqs_clients import Rejection, Sqs, rejection

OWNER, OTHER = "000000000000", "111122223333"
"""The account of the server and its queues, and another one."""

REGION = "us-east-1"


class Target(NamedTuple):
    """The queue that calls are about; it may not exist."""

    base_url: str
    name: str
    receipt_handle: str = "AQEBhandle"
    task_handle: str = ""

    @property
    def url(self) -> str:
        return queue_url(self.base_url, OWNER, self.name)

    @property
    def arn(self) -> str:
        return queue_arn(REGION, OWNER, self.name)

    @property
    def handle_of_task(self) -> str:
        """The handle of the task that moves the messages of the queue, or of a missing task."""
        return self.task_handle or TaskHandle("missing", self.arn).encode()

    @property
    def source_name(self) -> str:
        """The name of the queue whose messages are moved to this one."""
        return f"{self.name}-source"

    @property
    def source_url(self) -> str:
        return queue_url(self.base_url, OWNER, self.source_name)

    @property
    def source_arn(self) -> str:
        return queue_arn(REGION, OWNER, self.source_name)


class Call(NamedTuple):
    """A call of an action.

    Attributes:
        permission: the name that policies have for the action.
        further: the other permissions that the call needs on its queue or on the source.
        is_shareable: whether a queue's policy can allow the action to other accounts.
    """

    action: str
    permission: str
    make: Callable[[Sqs, Target], Any]
    further: Sequence[str] = ()
    is_shareable: bool = False

    @property
    def permissions(self) -> list[str]:
        """All permissions that the call needs."""
        return [self.permission, *self.further]

    @property
    def has_account_of_caller(self) -> bool:
        """Whether the call is always about the account that makes it."""
        return self.action in ("CreateQueue", "ListQueues")


def _entries(target: Target, **members: object) -> list[dict[str, object]]:
    return [{"Id": "1", "ReceiptHandle": target.receipt_handle, **members}]


_MOVE = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")

CALLS = [
    Call(
        "AddPermission",
        "AddPermission",
        lambda sqs, on: sqs.add_permission(
            QueueUrl=on.url, Label="new", AWSAccountIds=[OTHER], Actions=["SendMessage"]
        ),
    ),
    Call(
        "CancelMessageMoveTask",
        "CancelMessageMoveTask",
        lambda sqs, on: sqs.cancel_message_move_task(TaskHandle=on.handle_of_task),
        _MOVE,
    ),
    Call(
        "ChangeMessageVisibility",
        "ChangeMessageVisibility",
        lambda sqs, on: sqs.change_message_visibility(
            QueueUrl=on.url, ReceiptHandle=on.receipt_handle, VisibilityTimeout=60
        ),
        is_shareable=True,
    ),
    Call(
        "ChangeMessageVisibilityBatch",
        "ChangeMessageVisibility",
        lambda sqs, on: sqs.change_message_visibility_batch(
            QueueUrl=on.url, Entries=_entries(on, VisibilityTimeout=60)
        ),
        is_shareable=True,
    ),
    Call(
        "CreateQueue",
        "CreateQueue",
        lambda sqs, on: sqs.create_queue(QueueName=on.name),
    ),
    Call(
        "DeleteMessage",
        "DeleteMessage",
        lambda sqs, on: sqs.delete_message(QueueUrl=on.url, ReceiptHandle=on.receipt_handle),
        is_shareable=True,
    ),
    Call(
        "DeleteMessageBatch",
        "DeleteMessage",
        lambda sqs, on: sqs.delete_message_batch(QueueUrl=on.url, Entries=_entries(on)),
        is_shareable=True,
    ),
    Call("DeleteQueue", "DeleteQueue", lambda sqs, on: sqs.delete_queue(QueueUrl=on.url)),
    Call(
        "GetQueueAttributes",
        "GetQueueAttributes",
        lambda sqs, on: sqs.get_queue_attributes(QueueUrl=on.url, AttributeNames=["All"]),
        is_shareable=True,
    ),
    Call(
        "GetQueueUrl",
        "GetQueueUrl",
        lambda sqs, on: sqs.get_queue_url(QueueName=on.name, QueueOwnerAWSAccountId=OWNER),
        is_shareable=True,
    ),
    Call(
        "ListDeadLetterSourceQueues",
        "ListDeadLetterSourceQueues",
        lambda sqs, on: sqs.list_dead_letter_source_queues(QueueUrl=on.url),
        is_shareable=True,
    ),
    Call(
        "ListMessageMoveTasks",
        "ListMessageMoveTasks",
        lambda sqs, on: sqs.list_message_move_tasks(SourceArn=on.arn),
        ("GetQueueAttributes",),
    ),
    Call("ListQueueTags", "ListQueueTags", lambda sqs, on: sqs.list_queue_tags(QueueUrl=on.url)),
    Call("ListQueues", "ListQueues", lambda sqs, _: sqs.list_queues(QueueNamePrefix="none")),
    Call(
        "PurgeQueue",
        "PurgeQueue",
        lambda sqs, on: sqs.purge_queue(QueueUrl=on.url),
        is_shareable=True,
    ),
    Call(
        "ReceiveMessage",
        "ReceiveMessage",
        lambda sqs, on: sqs.receive_message(QueueUrl=on.url),
        is_shareable=True,
    ),
    Call(
        "RemovePermission",
        "RemovePermission",
        lambda sqs, on: sqs.remove_permission(QueueUrl=on.url, Label="given"),
    ),
    Call(
        "SendMessage",
        "SendMessage",
        lambda sqs, on: sqs.send_message(QueueUrl=on.url, MessageBody="x"),
        is_shareable=True,
    ),
    Call(
        "SendMessageBatch",
        "SendMessage",
        lambda sqs, on: sqs.send_message_batch(
            QueueUrl=on.url, Entries=[{"Id": "1", "MessageBody": "x"}]
        ),
        is_shareable=True,
    ),
    Call(
        "SetQueueAttributes",
        "SetQueueAttributes",
        lambda sqs, on: sqs.set_queue_attributes(
            QueueUrl=on.url, Attributes={"VisibilityTimeout": "60"}
        ),
    ),
    Call(
        "StartMessageMoveTask",
        "StartMessageMoveTask",
        lambda sqs, on: sqs.start_message_move_task(SourceArn=on.arn),
        (*_MOVE, "SendMessage"),
    ),
    Call("TagQueue", "TagQueue", lambda sqs, on: sqs.tag_queue(QueueUrl=on.url, Tags={"a": "b"})),
    Call(
        "UntagQueue",
        "UntagQueue",
        lambda sqs, on: sqs.untag_queue(QueueUrl=on.url, TagKeys=["a"]),
    ),
]
"""One call for each action."""

BY_ACTION = {call.action: call for call in CALLS}
SHAREABLE = [call for call in CALLS if call.is_shareable]
NOT_SHAREABLE = [call for call in CALLS if not call.is_shareable]


Statement: TypeAlias = dict[str, object]


def statement(
    effect: str, actions: object, principal: object = None, **members: object
) -> Statement:
    """Return a statement of a policy about all queues; a queue's policy needs a principal."""
    merged = {"Effect": effect, "Action": actions, "Resource": "*", **members}
    return merged if principal is None else {**merged, "Principal": principal}


def document(*statements: Statement) -> str:
    """Return a policy with these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def user_with(name: str, *statements: Statement, **settings: object) -> User:
    """Return a user who has a policy with these statements."""
    return User(name, settings={"policy_documents": [document(*statements)], **settings})


def prefixed(permissions: Sequence[str]) -> list[str]:
    """Return names of permissions as policies write them."""
    return [f"sqs:{permission}" for permission in permissions]


def user_arn(user: User, account: str = OWNER) -> str:
    """Return the ARN of a user."""
    return f"arn:aws:iam::{account}:user/{user.name}"


def denial(user: User, permission: str, arn: str, because: str, account: str = OWNER) -> Rejection:
    """Return the rejection that a user gets; `because` is the end of AWS's text."""
    action = f"sqs:{permission.lower()}"
    text = (
        f"User: {user_arn(user, account)} is not authorized to perform: {action} on resource: "
        f"{arn} {because.format(action)}"
    )
    return Rejection(403, "AccessDenied", text)


BY_IDENTITY = "because no identity-based policy allows the {} action"
BY_QUEUE = "because no resource-based policy allows the {} action"
DENIED_BY_IDENTITY = "with an explicit deny in an identity-based policy"
DENIED_BY_QUEUE = "with an explicit deny in a resource-based policy"

NO_ACCESS_TO_URL = Rejection(
    400,
    "AWS.SimpleQueueService.NonExistentQueue",
    "The specified queue does not exist or you do not have access to it.",
)
"""The rejection of GetQueueUrl for a queue of another account."""


def rejected(sqs: Sqs, call: Call, target: Target) -> Rejection:
    """Make a call that must be rejected, and return the rejection."""
    return rejection(lambda: call.make(sqs, target))
