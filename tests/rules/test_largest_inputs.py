"""The longest texts and lists that fit into a request: the rules take at most 50 ms for each.

The rules run on the event loop, where every other client waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import thread_time

import pytest

from protocol.actions import MessageAttributeValue, SendMessage
from protocol.errors import SQSError
from queueserver.context import RequestContext
from queueserver.rules import (
    attributes,
    message_attributes,
    message_parameters,
    move_task_parameters,
    permissions,
    policy_documents,
    queue_parameters,
    receive_parameters,
    redrive_policies,
)
from queueserver.rules.new_message import prepare_message
from queueserver.rules.receipt_handles import decode_receipt_handle
from queueserver.rules.signed_tokens import TokenSigner
from tests.rules.policies import ARN

CPU_SECONDS = 0.05
"""The longest time for one request, in seconds of processor time."""

BYTES = 8 * 1024 * 1024
"""The length of the longest request."""

ASCII, WIDE = "x" * BYTES, "é" * (BYTES // 2)
MANY = [f"{number:x}.*" for number in range(BYTES // 8)]
MANY_ENTRIES = dict.fromkeys(MANY, "")
MANY_VALUES = dict.fromkeys(MANY, MessageAttributeValue("String", "x"))
BLOB = MessageAttributeValue("Binary", binary_value=bytes(BYTES))
ZEROS = "0" * (BYTES // 8 - 100)
"""Zeros that fit into a message; a longer value is rejected for its size."""

CONTEXT = RequestContext("0" * 12, "us-east-1", "")
STANDARD = attributes.parse_stored({})


def send(body: str = "x", values: dict[str, MessageAttributeValue] | None = None) -> None:
    size = message_parameters.message_bytes(body, values)
    request = SendMessage(queue_url="q", message_body=body, message_attributes=values)
    prepare_message(CONTEXT, STANDARD, request, size)


def text(value: str, data_type: str = "String") -> MessageAttributeValue:
    return MessageAttributeValue(data_type, value)


def send_system_attribute(name: str, value: str) -> None:
    message_attributes.check_message_system_attributes({name: text(value)})


def create(requested: dict[str, str]) -> None:
    attributes.parse_requested(attributes.parse_request(requested), {}, creating=True)


def permit(label: str = "l", account: str = "1" * 12, accounts: int = 1) -> None:
    permissions.add_permission(None, ARN, label, [account] * accounts, ["*"])


def check_all_tags(tags: dict[str, str]) -> None:
    queue_parameters.check_tag_count("q", len(tags))
    queue_parameters.check_tags(tags)


parse_arn = partial(move_task_parameters.parse_move_task_arn, "SourceArn")

CALLS: dict[str, Callable[[], object]] = {
    "body": lambda: send(ASCII),
    "body of wide letters": lambda: send(WIDE),
    "name of an attribute": lambda: send("x", {"a." * (BYTES // 2): text("x")}),
    "type of an attribute": lambda: send("x", {"a": text("x", f"String.{WIDE}")}),
    "value of an attribute": lambda: send("x", {"a": text(WIDE)}),
    "binary value": lambda: send("x", {"a": BLOB}),
    "digits": lambda: send("x", {"a": text("1" * BYTES, "Number")}),
    "fraction with a letter": lambda: send("x", {"a": text(f"1.{ZEROS}x", "Number")}),
    "exponent": lambda: send("x", {"a": text(f"1e{ZEROS}x", "Number")}),
    "many attributes": lambda: send("x", MANY_VALUES),
    "name of a system attribute": lambda: send_system_attribute(ASCII, "x"),
    "trace header": lambda: send_system_attribute("AWSTraceHeader", ASCII),
    "group id": lambda: message_parameters.check_message_group_id(ASCII),
    "attribute names of a receive": lambda: message_attributes.parse_attribute_filter(MANY),
    "attribute name of a receive": lambda: message_attributes.parse_attribute_filter([WIDE]),
    "system names of a receive": lambda: message_attributes.parse_system_attribute_names(
        MANY, MANY
    ),
    "attempt id": lambda: receive_parameters.check_receive_request_attempt_id(ASCII),
    "receipt handle": lambda: decode_receipt_handle(TokenSigner(bytes(32), ARN), ASCII),
    "attributes of a queue": lambda: create(MANY_ENTRIES),
    "number of a queue": lambda: create({"DelaySeconds": "9" * BYTES}),
    "boolean of a queue": lambda: create({"SqsManagedSseEnabled": WIDE}),
    "key of a queue": lambda: create({"KmsMasterKeyId": WIDE}),
    "names of GetQueueAttributes": lambda: attributes.check_names(["All"] * len(MANY)),
    "queue name": lambda: queue_parameters.check_queue_name(ASCII),
    "tags": lambda: check_all_tags(MANY_ENTRIES),
    "tag": lambda: check_all_tags({ASCII: WIDE}),
    "tag keys": lambda: queue_parameters.parse_tag_keys(MANY),
    "label": lambda: permit(label=ASCII),
    "account": lambda: permit(account=ASCII),
    "accounts": lambda: permit(accounts=len(MANY)),
    "policy": lambda: policy_documents.parse_policy("[[]," * (BYTES // 4)),
    "policy of wide letters": lambda: policy_documents.parse_policy(WIDE),
    "redrive policy": lambda: redrive_policies.parse_redrive_policy("[[]," * (BYTES // 4)),
    "redrive allow policy": lambda: redrive_policies.parse_redrive_allow_policy(WIDE),
    "ARN without an end": lambda: parse_arn(f"arn:{ASCII}"),
    "ARN of many parts": lambda: parse_arn("arn:" + "a:" * (BYTES // 2)),
    "task handle": lambda: move_task_parameters.parse_task_handle(ASCII),
}


@pytest.mark.parametrize("name", CALLS)
def test_largest_input_is_rejected_within_50_ms(name: str) -> None:
    taken_s = []
    for _ in range(3):
        start = thread_time()
        with pytest.raises(SQSError):
            CALLS[name]()
        taken_s.append(thread_time() - start)
    assert min(taken_s) < CPU_SECONDS
