"""Statements: the parts of a policy, each of which allows or denies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# Any: the JSON of a statement, whose grammar is checked.
from typing import Any

import msgspec

from queueserver.policies.actions import ACTIONS, match_actions, warn_of_patterns
from queueserver.policies.conditions import Condition, compile_conditions
from queueserver.policies.documents import Document, as_list
from queueserver.policies.errors import PolicyError
from queueserver.policies.principals import (
    Principal,
    PrincipalElement,
    PrincipalMatch,
    compile_principals,
)
from queueserver.policies.requests import Request
from queueserver.policies.resources import ResourceElement, compile_resources
from queueserver.policies.ternary import all_of

_LONGEST_LABEL_CHARACTERS = 128


class Statement(msgspec.Struct, frozen=True):
    """A compiled statement.

    Attributes:
        label: the Sid, or the number of the statement: what logs call it.
        is_denial: whether the effect is Deny.
        actions: the actions of SQS that it names.
        principals: None in the policy of a user, which concerns that user.
        conditions: the element Condition; a request must meet all of them.
        tests: what depends on the request: a resource with variables, and the conditions.
    """

    label: str
    is_denial: bool
    actions: frozenset[str]
    principals: PrincipalElement | None
    resources: ResourceElement
    conditions: tuple[Condition, ...]
    tests: tuple[Condition | ResourceElement, ...]

    def match(self, principal: Principal, action: str, arn: str) -> PrincipalMatch:
        """Return how the statement concerns a principal, an action and a resource.

        Unless it is NONE, `applies` decides for each request.
        """
        if action not in self.actions or not self.resources.may_match(arn):
            return PrincipalMatch.NONE
        if self.principals is None:
            return PrincipalMatch.ITSELF
        return self.principals.match(principal)

    def applies(self, request: Request) -> bool:
        """Return whether a statement that matches has its effect on a request.

        A statement that cannot be evaluated denies if it is a Deny, and allows nothing otherwise.
        """
        if not self.tests:
            return True
        if len(self.tests) == 1:
            outcome = self.tests[0].is_met(request)
        else:
            outcome = all_of(test.is_met(request) for test in self.tests)
        return self.is_denial if outcome is None else outcome

    def unmet_condition(self, request: Request) -> str | None:
        """Return the name of the first condition that a request does not meet.

        Return None if there is none, or if the statement names another resource.
        """
        if self.resources.templates and not self.resources.is_met(request):
            return None
        return next((one.name for one in self.conditions if not one.is_met(request)), None)


def compile_statements(document: Document) -> tuple[Statement, ...]:
    """Compile the statements of a document.

    Raises:
        PolicyError: a text in a statement cannot be parsed.
    """
    statements = []
    for number, statement in enumerate(document.statements, 1):
        try:
            statements.append(_compile_statement(statement, number, document))
        except PolicyError as error:
            raise PolicyError(f"statement {number}: {error}") from None
    return tuple(statements)


def warn_of_statements(document: Document) -> Iterator[str]:
    """Yield a warning for each action that SQS does not have: it is probably misspelled."""
    for number, statement in enumerate(document.statements, 1):
        name = "Action" if "Action" in statement else "NotAction"
        for warning in warn_of_patterns(as_list(statement[name])):
            yield f"statement {number}: {warning}"


def _compile_statement(statement: Mapping[str, Any], number: int, document: Document) -> Statement:
    is_denial = statement["Effect"] == "Deny"
    if "Action" in statement:
        actions = match_actions(as_list(statement["Action"]))
    else:
        actions = ACTIONS - match_actions(as_list(statement["NotAction"]))
    is_negated = "NotResource" in statement
    resources = compile_resources(
        as_list(statement["NotResource" if is_negated else "Resource"]),
        document,
        is_negated=is_negated,
    )
    conditions = compile_conditions(statement.get("Condition", {}), document)
    return Statement(
        _label(statement, number),
        is_denial,
        actions,
        _compile_principals(statement, is_denial=is_denial),
        resources,
        conditions,
        (resources, *conditions) if resources.templates else conditions,
    )


def _compile_principals(
    statement: Mapping[str, Any], *, is_denial: bool
) -> PrincipalElement | None:
    for name in ("Principal", "NotPrincipal"):
        if name in statement:
            value = statement[name]
            listed = (
                value
                if isinstance(value, str)
                else {kind: as_list(texts) for kind, texts in value.items()}
            )
            return compile_principals(
                listed, is_negated=name == "NotPrincipal", is_denial=is_denial
            )
    return None


def _label(statement: Mapping[str, Any], number: int) -> str:
    """Return the Sid if it can be the value of a field in a log, else the number.

    A Sid of digits would be taken for a number.
    """
    sid = str(statement.get("Sid", ""))
    is_word = sid.isprintable() and " " not in sid and not sid.isdigit()
    return sid if sid and is_word and len(sid) <= _LONGEST_LABEL_CHARACTERS else str(number)
