"""Templates: texts of a policy with variables, such as `queue-${aws:username}`.

The value of a variable is literal text. A `*` in the name of a user never becomes a wildcard.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from queueserver.policies.condition_keys import ConditionKey, find_condition_key
from queueserver.policies.documents import Document
from queueserver.policies.errors import PolicyError, quote
from queueserver.policies.patterns import PatternPart, parse_wildcards
from queueserver.policies.requests import Request

_ESCAPES = {"*", "?", "$"}


class Unresolved(enum.Enum):
    """Why a template has no text in a request."""

    MISSING = "a variable has no value and no default"
    AMBIGUOUS = "a variable has several values"

    @property
    def outcome(self) -> bool | None:
        """The outcome of a comparison: AWS lets a variable without a value match nothing."""
        return False if self is Unresolved.MISSING else None


class Variable(msgspec.Struct, frozen=True):
    """A variable in a template. `default` is None if the policy has none."""

    key: ConditionKey
    default: str | None

    def value(self, request: Request) -> str | Unresolved:
        """Return the value in a request."""
        found = self.key.read(request)
        if isinstance(found, tuple):
            return Unresolved.AMBIGUOUS
        if found is None:
            return Unresolved.MISSING if self.default is None else self.default
        return found


TemplatePart: TypeAlias = PatternPart | Variable


class Template(msgspec.Struct, frozen=True):
    """A text of a policy: literal texts, wildcards and variables."""

    parts: tuple[TemplatePart, ...]

    @property
    def constant(self) -> tuple[PatternPart, ...] | None:
        """The parts, or None if they depend on the request."""
        parts = tuple(part for part in self.parts if not isinstance(part, Variable))
        return parts if len(parts) == len(self.parts) else None

    def resolve(self, request: Request) -> tuple[PatternPart, ...] | Unresolved:
        """Return the parts, each variable replaced by its value."""
        resolved: list[PatternPart] = []
        for part in self.parts:
            value = part.value(request) if isinstance(part, Variable) else part
            if isinstance(value, Unresolved):
                return value
            if value:
                resolved.append(value)
        return tuple(resolved)


def parse_template(text: str, document: Document, *, has_wildcards: bool) -> Template:
    """Parse a text. Only documents of the newest version have variables.

    Raises:
        PolicyError: a variable is malformed or names no condition key.
    """
    if not document.has_variables:
        return Template(_literal_parts(text, has_wildcards=has_wildcards))
    literal, *others = text.split("${")
    parts: list[TemplatePart] = list(_literal_parts(literal, has_wildcards=has_wildcards))
    for other in others:
        content, brace, literal = other.partition("}")
        if not brace:
            raise PolicyError(f"{quote('${' + content)} has no closing brace")
        parts.append(content if content in _ESCAPES else _parse_variable(content, document))
        parts += _literal_parts(literal, has_wildcards=has_wildcards)
    return Template(tuple(parts))


def _literal_parts(text: str, *, has_wildcards: bool) -> tuple[PatternPart, ...]:
    if has_wildcards:
        return parse_wildcards(text)
    return (text,) if text else ()


def _parse_variable(content: str, document: Document) -> Variable:
    """Parse `key` or `key, 'default'`."""
    name, comma, default = content.partition(",")
    key = find_condition_key(name.strip(" "), document.kind)
    if not key.has_one_value:
        raise PolicyError(f"variable {quote(name)} may have several values")
    if not comma:
        return Variable(key, None)
    default = default.strip(" ")
    quoted = default[1:-1]
    if default != f"'{quoted}'" or "'" in quoted:
        raise PolicyError(f"variable {quote(name)}: the default is not in single quotes")
    return Variable(key, quoted)
