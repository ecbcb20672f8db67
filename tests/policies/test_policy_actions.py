"""Action and NotAction: exactly which actions of SQS a statement names."""

from __future__ import annotations

import pytest

from protocol.actions import ACTIONS as ALL_CALLS
from queueserver.policies.actions import ACTIONS, SHAREABLE_ACTIONS
from queueserver.policies.errors import PolicyError
from tests.policies.requests import CALLERS, allow, decision, deny, queue_policy, user_policy

BATCHES = {"SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}
LISTS = {"ListDeadLetterSourceQueues", "ListMessageMoveTasks", "ListQueueTags", "ListQueues"}
GETS = {"GetQueueAttributes", "GetQueueUrl"}
SEND, RECEIVE, DELETE = {"SendMessage"}, {"ReceiveMessage"}, {"DeleteMessage"}
MESSAGES = SEND | RECEIVE | DELETE


def test_policies_name_every_call_but_the_batches() -> None:
    assert ALL_CALLS.keys() - BATCHES == ACTIONS
    assert len(ACTIONS) == 20
    assert len(SHAREABLE_ACTIONS) == 8


PATTERNS = [
    ("*", ACTIONS),
    ("sqs:*", ACTIONS),
    ("SQS:*", ACTIONS),
    ("sqs:**", ACTIONS),
    ("sqs:SendMessage", SEND),
    ("sqs:sendmessage", SEND),
    ("SQS:SENDMESSAGE", SEND),
    ("sQs:sEndMessagE", SEND),
    ("sqs:Send*", SEND),
    ("sqs:*Message", MESSAGES),
    ("sqs:*message*", MESSAGES | {a for a in ACTIONS if "Message" in a}),
    ("sqs:?e?dMessage", SEND),
    ("sqs:SendMessag?", SEND),
    ("sqs:SendMessage?", set()),
    ("sqs:SendMessage*", SEND),
    ("sqs:*S*d*M*e", SEND),
    ("sqs:Get*", GETS),
    ("sqs:GetQueue???", {"GetQueueUrl"}),
    ("sqs:List*", LISTS),
    ("sqs:listqueues", {"ListQueues"}),
    ("sqs:ListQueue*", {"ListQueues", "ListQueueTags"}),
    ("sqs:?*", ACTIONS),
    ("sqs:?", set()),
    ("sqs:SendMessageBatch", set()),
    ("sqs:*Batch", set()),
    ("sqs:SendMesage", set()),
    ("sqs:Send", set()),
    ("s3:*", set()),
    ("s3:SendMessage", set()),
    ("sqs2:*", set()),
    ("execute-api:Invoke", set()),
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS, ids=[row[0] for row in PATTERNS])
def test_pattern_names_exactly_these_actions(pattern: str, expected: set[str]) -> None:
    def allowed(*statements: dict[str, object]) -> set[str]:
        policy = user_policy(*statements)
        return {action for action in ACTIONS if decision(policies=[policy], action=action).allowed}

    assert allowed(allow(Action=pattern)) == expected
    assert allowed(allow(Action=None, NotAction=[pattern])) == ACTIONS - expected
    assert allowed(allow(), deny(Action=[pattern])) == ACTIONS - expected
    assert allowed(allow(), deny(Action=None, NotAction=pattern)) == expected


def test_patterns_of_a_list_add_up() -> None:
    policy = user_policy(allow(Action=["sqs:Send*", "sqs:receivemessage", "s3:*"]))
    assert policy.statements[0].actions == SEND | RECEIVE
    policy = user_policy(allow(Action=None, NotAction=["sqs:Send*", "sqs:receivemessage"]))
    assert policy.statements[0].actions == ACTIONS - SEND - RECEIVE


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(text, id=ascii(text))
        for text in (
            "SendMessage",
            "**",
            "?",
            "a",
            ":",
            "sqs:",
            ":SendMessage",
            "s?s:SendMessage",
            "*:SendMessage",
            "*:*",
            "sqs:Send Message",
            " sqs:SendMessage",
            "sqs:SendMessage\n",
            "sqs:Send:Message",
            "sqs:[a-z]*",
            "sqs:(Send|Receive)Message",
            "sqs:${aws:username}",
            # Letters that Unicode folds to s and k.
            "\u017fqs:SendMessage",
            "sqs:\u017fendMessage",
            "s\u212as:SendMessage",
            "sqs:SendMes\u017fage",
            "sqs:SendMessage\u0660",
            "sqs:SendMessage\ud800",
        )
    ],
)
@pytest.mark.parametrize("element", ["Action", "NotAction"])
def test_text_that_is_no_action_is_rejected(element: str, action: str) -> None:
    members = {"Action": None, element: ["sqs:SendMessage", action]}
    with pytest.raises(PolicyError, match="is not an action"):
        user_policy(deny(**members))


@pytest.mark.parametrize(
    "action", ["", "sendmessage", "SendMessageBatch", "sqs:SendMessage", "*", "\u017fendMessage"]
)
def test_action_that_policies_do_not_name_is_denied_even_to_an_admin(action: str) -> None:
    for caller in CALLERS.values():
        policies = [user_policy(allow())]
        decided = decision(caller, policies, queue_policy(allow(Principal="*")), action)
        assert not decided.allowed


def ineffective(batch: str, single: str) -> str:
    return f"statement 1: '{batch}' has no effect: batches are checked as sqs:{single}"


WARNINGS = [
    pytest.param(deny(Action="sqs:SendMessage"), [], id="single action"),
    pytest.param(deny(Action=["sqs:*", "*", "s3:Get"]), [], id="wildcards and another service"),
    pytest.param(allow(Action=["sqs:Send*", "SQS:getqueueurl"]), [], id="Allow"),
    pytest.param(
        allow(Action=["sqs:SendMesage", "sqs:SendMessageBatch"]),
        [
            "statement 1: 'sqs:SendMesage' is not an action of SQS",
            ineffective("sqs:SendMessageBatch", "SendMessage"),
        ],
        id="Allow of a misspelled action and a batch action",
    ),
    pytest.param(
        deny(Action="SQS:sendmessagebatch"),
        [
            ineffective("SQS:sendmessagebatch", "SendMessage"),
        ],
        id="batch action alone",
    ),
    pytest.param(
        deny(
            Action=["sqs:DeleteQueue", "sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch"]
        ),
        [
            ineffective("sqs:DeleteMessageBatch", "DeleteMessage"),
            ineffective("sqs:ChangeMessageVisibilityBatch", "ChangeMessageVisibility"),
        ],
        id="batch actions among others",
    ),
    pytest.param(
        deny(Action=["sqs:SendMesage", "sqs:*Batch"]),
        [
            "statement 1: 'sqs:SendMesage' is not an action of SQS",
            "statement 1: 'sqs:*Batch' is not an action of SQS",
        ],
        id="misspelled action and pattern of batches",
    ),
    pytest.param(deny(Action=None, NotAction="sqs:SendMessage"), [], id="NotAction"),
    pytest.param(
        allow(Action=None, NotAction="sqs:DeleteQeue"),
        ["statement 1: 'sqs:DeleteQeue' is not an action of SQS"],
        id="NotAction with a misspelled action, which allows more than its author thinks",
    ),
]


@pytest.mark.parametrize(("statement", "expected"), WARNINGS)
def test_action_that_sqs_does_not_have_is_a_warning(
    statement: dict[str, object], expected: list[str]
) -> None:
    assert list(user_policy(statement).warnings) == expected


def test_denied_single_action_covers_its_batch() -> None:
    # The caller of `decide` maps a batch to its single action, which the Deny names.
    policy = user_policy(allow(), deny(Action="sqs:SendMessage"))
    assert not decision(policies=[policy], action="SendMessage").allowed
    policy = user_policy(allow(), deny(Action="sqs:SendMessageBatch"))
    assert decision(policies=[policy], action="SendMessage").allowed
