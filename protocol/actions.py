"""The 23 SQS actions, each declared once, with the structures that they share.

An action is a request structure with the action's name, a result structure or None, and a row in
`ACTIONS`. Wire names, Query names, XML and decoders are derived from the fields: see
`protocol.shapes`. A member without a default is required.

Some members that AWS's model requires are optional here. SQS looks up the queue before it reports
a missing member, and reports a missing member of a batch entry with the entry's index, so
`queueserver.rules` checks those. Values of a map are optional for the same reason. A decoder
rejects only values of the wrong type; ranges, alphabets and lengths are checked by the rules.

SQS omits empty lists and maps from a result: pass None for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from protocol.shapes import Integer, QueueUrl, Shape


class MessageAttributeValue(Shape):
    """The value of a message attribute or of a message system attribute.

    `data_type` is `String`, `Number` or `Binary`, with an optional suffix after a dot.
    """

    data_type: str | None = None
    string_value: str | None = None
    binary_value: bytes | None = None
    string_list_values: list[str] | None = None
    binary_list_values: list[bytes] | None = None


class Message(Shape):
    """A received message. `md5_of_message_attributes` covers the returned attributes only."""

    message_id: str
    receipt_handle: str
    md5_of_body: str
    body: str
    attributes: dict[str, str] | None = None
    md5_of_message_attributes: str | None = None
    message_attributes: dict[str, MessageAttributeValue] | None = None


class BatchResultErrorEntry(Shape):
    """A batch entry that failed. `code` is the error code of the Query protocol, in JSON too."""

    id: str
    sender_fault: bool
    code: str
    message: str | None = None


class AddPermission(Shape):
    """Append a statement to a queue's policy."""

    queue_url: QueueUrl
    label: str | None = None
    actions: list[str] | None = None
    aws_account_ids: list[str] | None = None


class CancelMessageMoveTask(Shape):
    """Stop a message move task."""

    task_handle: str


class CancelMessageMoveTaskResult(Shape):
    """The number of messages that the task had moved when it was cancelled."""

    approximate_number_of_messages_moved: Integer


class ChangeMessageVisibility(Shape):
    """Make a received message visible `visibility_timeout` seconds from now."""

    queue_url: QueueUrl
    receipt_handle: str | None = None
    visibility_timeout: Integer | None = None


class ChangeMessageVisibilityBatchRequestEntry(Shape):
    """An entry of ChangeMessageVisibilityBatch."""

    id: str | None = None
    receipt_handle: str | None = None
    visibility_timeout: Integer | None = None


class ChangeMessageVisibilityBatch(Shape):
    """Change the visibility timeout of up to ten messages."""

    queue_url: QueueUrl
    entries: list[ChangeMessageVisibilityBatchRequestEntry] | None = None


class ChangeMessageVisibilityBatchResultEntry(Shape):
    """A batch entry that succeeded."""

    id: str


class ChangeMessageVisibilityBatchResult(Shape):
    """The entries that succeeded and those that failed."""

    successful: list[ChangeMessageVisibilityBatchResultEntry] | None = None
    failed: list[BatchResultErrorEntry] | None = None


class CreateQueue(Shape):
    """Create a queue, or return the URL of the existing one if its attributes are the same."""

    queue_name: str
    attributes: Mapping[str, str | None] | None = None
    tags: Mapping[str, str | None] | None = msgspec.field(default=None, name="tags")


class CreateQueueResult(Shape):
    """The queue's URL."""

    queue_url: str


class DeleteMessage(Shape):
    """Delete a received message."""

    queue_url: QueueUrl
    receipt_handle: str | None = None


class DeleteMessageBatchRequestEntry(Shape):
    """An entry of DeleteMessageBatch."""

    id: str | None = None
    receipt_handle: str | None = None


class DeleteMessageBatch(Shape):
    """Delete up to ten received messages."""

    queue_url: QueueUrl
    entries: list[DeleteMessageBatchRequestEntry] | None = None


class DeleteMessageBatchResultEntry(Shape):
    """A batch entry that succeeded."""

    id: str


class DeleteMessageBatchResult(Shape):
    """The entries that succeeded and those that failed."""

    successful: list[DeleteMessageBatchResultEntry] | None = None
    failed: list[BatchResultErrorEntry] | None = None


class DeleteQueue(Shape):
    """Delete a queue and its messages."""

    queue_url: QueueUrl


class GetQueueAttributes(Shape):
    """Read attributes of a queue; the name `All` selects every attribute."""

    queue_url: QueueUrl
    attribute_names: list[str] | None = None


class GetQueueAttributesResult(Shape):
    """The requested attributes that have a value."""

    attributes: dict[str, str] | None = None


class GetQueueUrl(Shape):
    """Look up the URL of a queue by name."""

    queue_name: str
    queue_owner_aws_account_id: str | None = None


class GetQueueUrlResult(Shape):
    """The queue's URL."""

    queue_url: str


class ListDeadLetterSourceQueues(Shape):
    """List the queues that use this queue as their dead-letter queue."""

    queue_url: QueueUrl
    next_token: str | None = None
    max_results: Integer | None = None


class ListDeadLetterSourceQueuesResult(Shape):
    """A page of queue URLs."""

    queue_urls: list[str] | None = msgspec.field(default=None, name="queueUrls")
    next_token: str | None = None


class ListMessageMoveTasks(Shape):
    """List the latest message move tasks of a queue."""

    source_arn: str
    max_results: Integer | None = None


class ListMessageMoveTasksResultEntry(Shape):
    """A message move task. `started_timestamp` is in epoch milliseconds."""

    status: str
    source_arn: str
    approximate_number_of_messages_moved: Integer
    started_timestamp: Integer
    task_handle: str | None = None
    destination_arn: str | None = None
    max_number_of_messages_per_second: Integer | None = None
    approximate_number_of_messages_to_move: Integer | None = None
    failure_reason: str | None = None


class ListMessageMoveTasksResult(Shape):
    """The tasks, newest first."""

    results: list[ListMessageMoveTasksResultEntry] | None = None


class ListQueueTags(Shape):
    """Read a queue's tags."""

    queue_url: QueueUrl


class ListQueueTagsResult(Shape):
    """The tags."""

    tags: dict[str, str] | None = None


class ListQueues(Shape):
    """List the caller's queues."""

    queue_name_prefix: str | None = None
    next_token: str | None = None
    max_results: Integer | None = None


class ListQueuesResult(Shape):
    """A page of queue URLs."""

    queue_urls: list[str] | None = None
    next_token: str | None = None


class PurgeQueue(Shape):
    """Delete every message of a queue."""

    queue_url: QueueUrl


class ReceiveMessage(Shape):
    """Receive up to ten messages, waiting up to `wait_time_seconds` for the first.

    The Query protocol has one name for both lists of system attributes, so a Query request sets
    both to the same value.
    """

    queue_url: QueueUrl
    attribute_names: list[str] | None = None
    message_system_attribute_names: list[str] | None = None
    message_attribute_names: list[str] | None = None
    max_number_of_messages: Integer | None = None
    visibility_timeout: Integer | None = None
    wait_time_seconds: Integer | None = None
    receive_request_attempt_id: str | None = None


class ReceiveMessageResult(Shape):
    """The messages."""

    messages: list[Message] | None = None


class RemovePermission(Shape):
    """Remove a statement from a queue's policy."""

    queue_url: QueueUrl
    label: str | None = None


class SendMessage(Shape):
    """Send a message to a queue."""

    queue_url: QueueUrl
    message_body: str | None = None
    delay_seconds: Integer | None = None
    message_attributes: dict[str, MessageAttributeValue] | None = None
    message_system_attributes: dict[str, MessageAttributeValue] | None = None
    message_deduplication_id: str | None = None
    message_group_id: str | None = None


class SendMessageResult(Shape):
    """The id of the sent message, and digests that the sender can check."""

    md5_of_message_body: str
    message_id: str
    md5_of_message_attributes: str | None = None
    md5_of_message_system_attributes: str | None = None
    sequence_number: str | None = None


class SendMessageBatchRequestEntry(Shape):
    """An entry of SendMessageBatch."""

    id: str | None = None
    message_body: str | None = None
    delay_seconds: Integer | None = None
    message_attributes: dict[str, MessageAttributeValue] | None = None
    message_system_attributes: dict[str, MessageAttributeValue] | None = None
    message_deduplication_id: str | None = None
    message_group_id: str | None = None


class SendMessageBatch(Shape):
    """Do SendMessage for up to ten messages."""

    queue_url: QueueUrl
    entries: list[SendMessageBatchRequestEntry] | None = None


class SendMessageBatchResultEntry(Shape):
    """A batch entry that succeeded."""

    id: str
    message_id: str
    md5_of_message_body: str
    md5_of_message_attributes: str | None = None
    md5_of_message_system_attributes: str | None = None
    sequence_number: str | None = None


class SendMessageBatchResult(Shape):
    """The entries that succeeded and those that failed."""

    successful: list[SendMessageBatchResultEntry] | None = None
    failed: list[BatchResultErrorEntry] | None = None


class SetQueueAttributes(Shape):
    """Change some of a queue's attributes."""

    queue_url: QueueUrl
    attributes: Mapping[str, str | None] | None = None


class StartMessageMoveTask(Shape):
    """Start moving the messages of a dead-letter queue to their sources or to another queue."""

    source_arn: str
    destination_arn: str | None = None
    max_number_of_messages_per_second: Integer | None = None


class StartMessageMoveTaskResult(Shape):
    """The handle that cancels the task."""

    task_handle: str


class TagQueue(Shape):
    """Add tags to a queue; a tag replaces an existing one with the same key."""

    queue_url: QueueUrl
    tags: Mapping[str, str | None] | None = None


class UntagQueue(Shape):
    """Remove tags from a queue."""

    queue_url: QueueUrl
    tag_keys: list[str] | None = None


class Action(msgspec.Struct, frozen=True):
    """A row of `ACTIONS`.

    Attributes:
        name: the action's name on the wire.
        method: the name in snake_case: the name of the method that implements the action.
        request: the request structure.
        result: the result structure, or None if SQS answers with an empty body.
        on_queue_path: whether the Query protocol accepts the action on the path of a queue.
    """

    name: str
    method: str
    request: type[msgspec.Struct]
    result: type[msgspec.Struct] | None
    on_queue_path: bool


def _action(
    request: type[msgspec.Struct],
    result: type[msgspec.Struct] | None = None,
    *,
    on_queue_path: bool = True,
) -> Action:
    name = request.__name__
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return Action(name, method, request, result, on_queue_path)


_ROWS = (
    _action(AddPermission),
    _action(CancelMessageMoveTask, CancelMessageMoveTaskResult),
    _action(ChangeMessageVisibility),
    _action(ChangeMessageVisibilityBatch, ChangeMessageVisibilityBatchResult),
    _action(CreateQueue, CreateQueueResult, on_queue_path=False),
    _action(DeleteMessage),
    _action(DeleteMessageBatch, DeleteMessageBatchResult),
    _action(DeleteQueue),
    _action(GetQueueAttributes, GetQueueAttributesResult),
    _action(GetQueueUrl, GetQueueUrlResult),
    _action(ListDeadLetterSourceQueues, ListDeadLetterSourceQueuesResult),
    _action(ListMessageMoveTasks, ListMessageMoveTasksResult),
    _action(ListQueueTags, ListQueueTagsResult),
    _action(ListQueues, ListQueuesResult, on_queue_path=False),
    _action(PurgeQueue),
    _action(ReceiveMessage, ReceiveMessageResult),
    _action(RemovePermission),
    _action(SendMessage, SendMessageResult),
    _action(SendMessageBatch, SendMessageBatchResult),
    _action(SetQueueAttributes),
    _action(StartMessageMoveTask, StartMessageMoveTaskResult),
    _action(TagQueue),
    _action(UntagQueue),
)

ACTIONS = {row.name: row for row in _ROWS}
"""The actions by name."""
