"""Policy documents: the grammar of their JSON. The elements' texts are parsed elsewhere.

Element names are case-sensitive. Any name that AWS does not define is rejected, because a policy
with a misspelled element would allow or deny something else than its author thinks.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

# Any: the JSON of a document is checked here, member by member.
from typing import Any

import msgspec

from queueserver.json_objects import parse_json_object
from queueserver.policies.errors import PolicyError, quote

OLDEST_VERSION = "2008-10-17"
"""The version of a document without one. Texts of this version have no variables."""

_NEWEST_VERSION = "2012-10-17"
_TOP_NAMES = frozenset({"Version", "Id", "Statement"})
_PRINCIPAL_PAIR = ("Principal", "NotPrincipal")
_PAIRS = (("Action", "NotAction"), ("Resource", "NotResource"))
_TEXT_ELEMENTS = ("Action", "NotAction", "Resource", "NotResource")
_STATEMENT_NAMES = frozenset({"Sid", "Effect", "Condition", *_PRINCIPAL_PAIR}.union(*_PAIRS))
_PRINCIPAL_KINDS = frozenset({"AWS", "CanonicalUser", "Federated", "Service"})


class PolicyKind(enum.Enum):
    """The owner of a policy: a user (an identity), or a queue, whose policy names principals."""

    IDENTITY = "identity"
    QUEUE = "queue"


class Document(msgspec.Struct, frozen=True):
    """A document whose grammar is checked.

    Attributes:
        has_variables: whether `${...}` in a text is a variable, not literal text.
        statements: the JSON objects of the statements.
    """

    kind: PolicyKind
    has_variables: bool
    statements: tuple[Mapping[str, Any], ...]


def as_list(value: object) -> list[Any]:
    """Return the items of an element, which may be a list or a single item."""
    return list(value) if isinstance(value, list) else [value]


def parse_document(text: str, kind: PolicyKind) -> Document:
    """Parse a document, and check its grammar.

    Raises:
        PolicyError: the text is not JSON, or the grammar is violated.
    """
    try:
        document = parse_json_object(text)
    except ValueError:
        raise PolicyError("not a JSON object, or an object with a repeated name") from None
    _check_names(document, _TOP_NAMES, "the policy")
    version = document.get("Version", OLDEST_VERSION)
    if version not in (OLDEST_VERSION, _NEWEST_VERSION):
        raise PolicyError(f"Version is not {_NEWEST_VERSION} or {OLDEST_VERSION}")
    if not isinstance(document.get("Id", ""), str):
        raise PolicyError("Id is not a string")
    statements = as_list(document.get("Statement", []))
    if not statements:
        raise PolicyError("the policy has no Statement")
    for number, statement in enumerate(statements, 1):
        try:
            _check_statement(statement, kind)
        except PolicyError as error:
            raise PolicyError(f"statement {number}: {error}") from None
    _check_sids(statements)
    return Document(kind, version == _NEWEST_VERSION, tuple(statements))


def _check_names(members: Mapping[str, object], allowed: frozenset[str], where: str) -> None:
    unknown = members.keys() - allowed
    if unknown:
        raise PolicyError(f"{quote(min(unknown))} is not an element of {where}")


def _check_statement(statement: object, kind: PolicyKind) -> None:
    if not isinstance(statement, dict):
        raise PolicyError("not an object")
    _check_names(statement, _STATEMENT_NAMES, "a statement")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError("Effect is not Allow or Deny")
    if not isinstance(statement.get("Sid", ""), str):
        raise PolicyError("Sid is not a string")
    for one, other in _PAIRS:
        if (one in statement) == (other in statement):
            raise PolicyError(f"not exactly one of {one} and {other}")
    for name in _TEXT_ELEMENTS:
        if name in statement and not _is_text_or_texts(statement[name]):
            raise PolicyError(f"{name} is not a string or a list of strings")
    _check_principal(statement, kind)
    _check_condition(statement.get("Condition", {}))


def _check_principal(statement: Mapping[str, object], kind: PolicyKind) -> None:
    names = [name for name in _PRINCIPAL_PAIR if name in statement]
    if kind is PolicyKind.IDENTITY:
        if names:
            raise PolicyError(f"{names[0]} is not allowed in the policy of a user")
        return
    if len(names) != 1:
        raise PolicyError("not exactly one of Principal and NotPrincipal")
    value = statement[names[0]]
    if value == "*":
        return
    if not isinstance(value, dict) or not value:
        raise PolicyError(f'{names[0]} is not "*" or an object')
    _check_names(value, _PRINCIPAL_KINDS, names[0])
    for principal_kind, listed in value.items():
        if not _is_text_or_texts(listed):
            raise PolicyError(f"{names[0]}: {principal_kind} is not a string or a list of strings")


def _check_condition(value: object) -> None:
    """Reject a condition that does not map operators to keys, and keys to one or more values.

    An operator without keys and a key without values are rejected: the first would be a
    condition that is always met, the second one that never or always is.
    """
    if not isinstance(value, dict):
        raise PolicyError("Condition is not an object")
    for operator, keys in value.items():
        if not isinstance(keys, dict) or not keys:
            raise PolicyError(f"Condition: {quote(operator)} has no keys")
        for key, values in keys.items():
            items = as_list(values)
            if not items or not all(isinstance(one, str | int | float) for one in items):
                raise PolicyError(
                    f"Condition: {quote(key)} has a value that is not a string, a number or a"
                    " boolean, or no value"
                )


def _check_sids(statements: list[Any]) -> None:
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if len(set(sids)) != len(sids):
        raise PolicyError("two statements have the same Sid")


def _is_text_or_texts(value: object) -> bool:
    texts = as_list(value)
    return bool(texts) and all(isinstance(text, str) and text for text in texts)
