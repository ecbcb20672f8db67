"""The elements Action and NotAction: the actions of SQS that a statement names.

AWS has 20 names of actions for policies. A batch action has none: it is checked as the single
action. The letter case of a name does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queueserver.policies.errors import PolicyError, quote
from queueserver.policies.letter_case import fold_ascii
from queueserver.policies.patterns import WILDCARDS, IndexedText, Pattern, parse_wildcards

SHAREABLE_ACTIONS = frozenset(
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
"""AWS: the actions that a queue's policy can allow to other accounts and to anonymous callers."""

ACTIONS = SHAREABLE_ACTIONS | {
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
}
"""AWS: the names of actions in policies."""

_SERVICE = "sqs"
_SINGLE_ACTIONS = {
    f"{action.lower()}batch": action
    for action in ("ChangeMessageVisibility", "DeleteMessage", "SendMessage")
}
_FOLDED_ACTIONS = {action.lower(): action for action in ACTIONS}
_INDEXED_ACTIONS = {action: IndexedText(folded) for folded, action in _FOLDED_ACTIONS.items()}
_PUNCTUATION = "-_."


def match_actions(patterns: Sequence[str]) -> frozenset[str]:
    """Return the actions of SQS that at least one pattern matches.

    Raises:
        PolicyError: a pattern is not `*` or `service:name`.
    """
    return frozenset().union(*(_match_pattern(text) for text in patterns))


def warn_of_patterns(patterns: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each pattern that names SQS but matches none of its actions."""
    for text in patterns:
        service, _, name = fold_ascii(text).partition(":")
        if service != _SERVICE or _match_pattern(text):
            continue
        single = _SINGLE_ACTIONS.get(name)
        if single is None:
            yield f"{quote(text)} is not an action of SQS"
        else:
            yield f"{quote(text)} has no effect: batches are checked as sqs:{single}"


def _match_pattern(text: str) -> frozenset[str]:
    if text == "*":
        return ACTIONS
    service, colon, name = text.partition(":")
    if not colon or not _is_name(service, "-") or not _is_name(name, _PUNCTUATION + "*?"):
        raise PolicyError(f"{quote(text)} is not an action")
    if fold_ascii(service) != _SERVICE:
        return frozenset()
    folded = fold_ascii(name)
    if WILDCARDS.keys().isdisjoint(folded):
        return frozenset({_FOLDED_ACTIONS[folded]} if folded in _FOLDED_ACTIONS else ())
    pattern = Pattern(parse_wildcards(folded))
    return frozenset(
        action for action, indexed in _INDEXED_ACTIONS.items() if pattern.matches(indexed)
    )


def _is_name(text: str, punctuation: str) -> bool:
    plain = text.translate(dict.fromkeys(map(ord, punctuation)))
    return bool(text) and text.isascii() and (not plain or plain.isalnum())
