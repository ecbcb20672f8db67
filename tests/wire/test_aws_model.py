"""The table of actions and errors, compared with the service model of AWS that botocore has."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from botocore.loaders import Loader

from protocol.actions import ACTIONS, Action, MessageAttributeValue
from protocol.errors import SQSError
from protocol.shapes import ListOf, MapOf, Member, Structure, Type, members

MODEL: dict[str, Any] = Loader().load_service_model("sqs", "service-2")
SHAPES: dict[str, Any] = MODEL["shapes"]
KINDS = {"long": "integer"}
ALL_ACTIONS = [pytest.param(action, id=name) for name, action in ACTIONS.items()]

OPTIONAL_HERE = {
    ("AddPermission", "AWSAccountIds"): "SQS reports a missing list as an invalid PrincipalId",
    ("AddPermission", "Actions"): "SQS reports a missing queue first",
    ("AddPermission", "Label"): "SQS reports a missing queue first",
    ("ChangeMessageVisibility", "ReceiptHandle"): "SQS reports a missing queue first",
    ("ChangeMessageVisibility", "VisibilityTimeout"): "SQS reports a missing queue first",
    (
        "ChangeMessageVisibilityBatch",
        "Entries",
    ): "Query cannot distinguish a missing list from an empty one",
    ("DeleteMessage", "ReceiptHandle"): "SQS reports a missing queue first",
    ("DeleteMessageBatch", "Entries"): "Query cannot distinguish a missing list from an empty one",
    ("RemovePermission", "Label"): "SQS reports a missing queue first",
    ("SendMessage", "MessageBody"): "SQS reports a missing queue first",
    ("SendMessageBatch", "Entries"): "Query cannot distinguish a missing list from an empty one",
    ("ChangeMessageVisibilityBatchRequestEntry", "Id"): "the message has the index of the entry",
    (
        "ChangeMessageVisibilityBatchRequestEntry",
        "ReceiptHandle",
    ): "only the entry fails, not the batch",
    ("DeleteMessageBatchRequestEntry", "Id"): "the message has the index of the entry",
    ("DeleteMessageBatchRequestEntry", "ReceiptHandle"): "only the entry fails, not the batch",
    ("SendMessageBatchRequestEntry", "Id"): "the message has the index of the entry",
    ("SendMessageBatchRequestEntry", "MessageBody"): "only the entry fails, not the batch",
    ("MessageAttributeValue", "DataType"): "the message has the name of the attribute",
    (
        "SetQueueAttributes",
        "Attributes",
    ): "Query cannot distinguish a missing map from an empty one",
    ("TagQueue", "Tags"): "SQS reports a missing queue first",
    ("UntagQueue", "TagKeys"): "SQS reports a missing queue first",
}
"""Required members of the model that are optional in the table: a rule reports their absence."""

OMITTED_WHEN_EMPTY = {
    ("ChangeMessageVisibilityBatchResult", "Successful"),
    ("ChangeMessageVisibilityBatchResult", "Failed"),
    ("DeleteMessageBatchResult", "Successful"),
    ("DeleteMessageBatchResult", "Failed"),
    ("SendMessageBatchResult", "Successful"),
    ("SendMessageBatchResult", "Failed"),
    ("ListDeadLetterSourceQueuesResult", "queueUrls"),
}
"""Required members of results that SQS omits if they are empty."""

QUERY_NAMES = {
    "AWSAccountIds": "AWSAccountId",
    "Actions": "ActionName",
    "AttributeNames": "AttributeName",
    "Attributes": "Attribute",
    "BinaryListValues": "BinaryListValue",
    "MessageAttributeNames": "MessageAttributeName",
    "MessageAttributes": "MessageAttribute",
    "MessageSystemAttributeNames": "AttributeName",
    "MessageSystemAttributes": "MessageSystemAttribute",
    "Messages": "Message",
    "QueueUrls": "QueueUrl",
    "Results": "ListMessageMoveTasksResultEntry",
    "StringListValues": "StringListValue",
    "TagKeys": "TagKey",
    "Tags": "Tag",
    "queueUrls": "QueueUrl",
    "tags": "Tag",
    ("ChangeMessageVisibilityBatch", "Entries"): "ChangeMessageVisibilityBatchRequestEntry",
    ("ChangeMessageVisibilityBatchResult", "Successful"): "ChangeMessageVisibilityBatchResultEntry",
    ("ChangeMessageVisibilityBatchResult", "Failed"): "BatchResultErrorEntry",
    ("DeleteMessageBatch", "Entries"): "DeleteMessageBatchRequestEntry",
    ("DeleteMessageBatchResult", "Successful"): "DeleteMessageBatchResultEntry",
    ("DeleteMessageBatchResult", "Failed"): "BatchResultErrorEntry",
    ("SendMessageBatch", "Entries"): "SendMessageBatchRequestEntry",
    ("SendMessageBatchResult", "Successful"): "SendMessageBatchResultEntry",
    ("SendMessageBatchResult", "Failed"): "BatchResultErrorEntry",
}
"""Query names of lists and maps, by member, or by structure and member."""


def model_shape(action: Action, side: str) -> str | None:
    """Return the name of the shape of an operation's input or output."""
    found: dict[str, str] = MODEL["operations"][action.name].get(side, {})
    return found.get("shape")


def reachable(shape: type[msgspec.Struct]) -> set[type[msgspec.Struct]]:
    found = {shape}
    for member in members(shape):
        inner = innermost(member.type)
        if isinstance(inner, Structure):
            found |= reachable(inner.shape)
    return found


def innermost(type_: Type) -> Type:
    return innermost(type_.item) if isinstance(type_, ListOf | MapOf) else type_


def assert_same_type(type_: Type, model_name: str) -> None:
    model = SHAPES[model_name]
    assert type_.kind == KINDS.get(model["type"], model["type"]), model_name
    match type_:
        case ListOf(item):
            assert_same_type(item, model["member"]["shape"])
        case MapOf(item):
            assert_same_type(item, model["value"]["shape"])
        case Structure(shape):
            assert_same_structure(shape, model_name)


def assert_same_structure(shape: type[msgspec.Struct], model_name: str) -> None:
    model = SHAPES[model_name]
    ours = {member.wire_name: member for member in members(shape)}
    assert set(ours) == set(model["members"]), model_name
    for name, member in ours.items():
        assert_same_type(member.type, model["members"][name]["shape"])
    required = {name for name in model.get("required", ()) if is_required_in_table(shape, name)}
    assert required <= {name for name, member in ours.items() if member.required}


def is_required_in_table(shape: type[msgspec.Struct], name: str) -> bool:
    key = (shape.__name__, name)
    return key not in OPTIONAL_HERE and key not in OMITTED_WHEN_EMPTY


def test_table_has_the_actions_of_the_model() -> None:
    assert set(ACTIONS) == set(MODEL["operations"])
    assert len(ACTIONS) == 23


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_request_has_the_members_of_the_model(action: Action) -> None:
    model = model_shape(action, "input")
    assert model is not None
    assert_same_structure(action.request, model)


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_required_members_of_a_request_are_required_in_the_model(action: Action) -> None:
    model = SHAPES[f"{action.name}Request"]
    ours = {member.wire_name for member in members(action.request) if member.required}
    assert ours <= set(model.get("required", ()))


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_result_has_the_members_of_the_model(action: Action) -> None:
    model = model_shape(action, "output")
    if model is None:
        assert action.result is None
    else:
        assert action.result is not None
        assert_same_structure(action.result, model)


def all_members() -> list[tuple[str, Member]]:
    shapes: set[type[msgspec.Struct]] = set()
    for action in ACTIONS.values():
        shapes |= reachable(action.request)
        shapes |= reachable(action.result) if action.result else set()
    return [(shape.__name__, member) for shape in shapes for member in members(shape)]


def test_listed_exceptions_are_optional_in_the_table() -> None:
    required = {(name, member.wire_name) for name, member in all_members() if member.required}
    optional = {(name, member.wire_name) for name, member in all_members()} - required
    assert set(OPTIONAL_HERE) | OMITTED_WHEN_EMPTY <= optional


def test_query_names_of_lists_and_maps() -> None:
    named = {
        (shape, member.wire_name): member.query_name
        for shape, member in all_members()
        if isinstance(member.type, ListOf | MapOf)
    }
    expected = {key: QUERY_NAMES.get(key) or QUERY_NAMES.get(key[1]) for key in named}
    assert named == expected


def test_query_names_of_other_members_equal_json_names() -> None:
    for _, member in all_members():
        if not isinstance(member.type, ListOf | MapOf):
            assert member.query_name == member.wire_name


def test_only_tags_have_entries_named_key() -> None:
    for _, member in all_members():
        assert (member.key_name == "Key") == (member.query_name == "Tag")


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_names_of_structures_and_methods_follow_the_action(action: Action) -> None:
    assert action.request.__name__ == action.name
    assert action.method.replace("_", "") == action.name.lower()
    if action.result is not None:
        assert action.result.__name__ == f"{action.name}Result"


def test_method_of_an_action_is_in_snake_case() -> None:
    assert ACTIONS["ListDeadLetterSourceQueues"].method == "list_dead_letter_source_queues"


def test_system_attribute_has_the_members_of_a_message_attribute() -> None:
    assert_same_structure(MessageAttributeValue, "MessageSystemAttributeValue")


MODELLED_ERRORS = {name: shape for name, shape in SHAPES.items() if shape.get("exception")}


@pytest.mark.parametrize("name", MODELLED_ERRORS)
def test_table_has_every_error_of_the_model(name: str) -> None:
    [error] = [error for error in SQSError.__subclasses__() if error.shape == name]
    traits = MODELLED_ERRORS[name].get("error", {})
    assert error.code == traits.get("code", error.code)
    assert error.status == traits.get("httpStatusCode", error.status)
