"""Policies: documents that are compiled once and evaluated for many requests."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from queueserver.policies.documents import Document, PolicyKind, parse_document
from queueserver.policies.principals import Principal, PrincipalMatch
from queueserver.policies.statements import Statement, compile_statements, warn_of_statements

QUEUE_POLICY = "queue"
"""The name of the policy of every queue in logs."""

MAXIMUM_CACHED_MATCHES = 1_024
"""Entries in the cache of one policy. An entry takes some 300 bytes."""


class UnreadablePolicy(msgspec.Struct, frozen=True):
    """A stored policy that does not compile.

    It denies everything except to admins of the queue's own account, who can replace it.
    `reason` is one line for an operator.
    """

    name: str
    reason: str


class Matches(msgspec.Struct, frozen=True):
    """The statements of a policy that concern a principal, an action and a resource.

    Attributes:
        denials: the statements that deny if they apply.
        grants: the statements that allow if they apply.
        delegations: those that allow the account of the principal, not the principal itself.
    """

    denials: tuple[Statement, ...]
    grants: tuple[Statement, ...]
    delegations: tuple[Statement, ...]

    def allows(self, *, to_account: bool) -> tuple[Statement, ...]:
        """Return the statements that may allow, to the account of the principal if that counts."""
        return (*self.grants, *self.delegations) if to_account else self.grants


_Key: TypeAlias = tuple[object, ...]


class Policy:
    """A compiled policy. It is immutable, except for its cache.

    Attributes:
        name: what logs call the policy.
        statements: in the order of the document, which no decision depends on.
        warnings: one line each for an operator, about parts that have no effect.
    """

    def __init__(
        self,
        name: str,
        kind: PolicyKind,
        statements: tuple[Statement, ...],
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.statements = statements
        self.warnings = warnings
        self._names_principals = kind is PolicyKind.QUEUE
        self._cache: dict[_Key, Matches] = {}

    def find(self, principal: Principal, action: str, arn: str) -> Matches:
        """Return the statements that concern a principal, an action and a resource.

        They depend on nothing else, so they are cached. Conditions are not part of that.
        """
        key: _Key = (action, arn)
        if self._names_principals:
            # Everything of a principal that the elements Principal and NotPrincipal read.
            key = (
                action,
                arn,
                principal.arn,
                principal.account,
                principal.service,
                principal.is_admin,
                principal.kind.value,
            )
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= MAXIMUM_CACHED_MATCHES:
                self._cache.clear()
            found = self._cache[key] = self._match(principal, action, arn)
        return found

    def _match(self, principal: Principal, action: str, arn: str) -> Matches:
        denials: list[Statement] = []
        grants: list[Statement] = []
        delegations: list[Statement] = []
        for statement in self.statements:
            match = statement.match(principal, action, arn)
            if match is PrincipalMatch.NONE:
                continue
            if statement.is_denial:
                denials.append(statement)
            elif match is PrincipalMatch.ITSELF:
                grants.append(statement)
            else:
                delegations.append(statement)
        return Matches(tuple(denials), tuple(grants), tuple(delegations))


def compile_policy(text: str, kind: PolicyKind, name: str) -> Policy:
    """Parse and compile a document. `name` is what logs call the policy.

    Raises:
        PolicyError: the text is not a policy of this kind.
    """
    return compile_document(parse_document(text, kind), name)


def compile_document(document: Document, name: str) -> Policy:
    """Compile a document whose grammar is checked.

    Raises:
        PolicyError: a text of the document cannot be parsed.
    """
    statements = compile_statements(document)
    return Policy(name, document.kind, statements, tuple(warn_of_statements(document)))
