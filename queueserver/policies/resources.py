"""The elements Resource and NotResource: the queues that a statement names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from queueserver.policies.documents import Document
from queueserver.policies.errors import PolicyError, quote
from queueserver.policies.patterns import (
    WILDCARDS,
    IndexedText,
    Pattern,
    compile_resource_pattern,
    parse_wildcards,
)
from queueserver.policies.requests import Request
from queueserver.policies.ternary import any_of, negate
from queueserver.policies.variables import Template, Unresolved, parse_template

_SERVICE_SEGMENT = 2
_ARN_SEGMENTS = 6


class ResourceElement(msgspec.Struct, frozen=True):
    """A compiled element.

    Attributes:
        patterns: the ARNs without variables.
        templates: the ARNs with variables, which differ from request to request.
        is_negated: whether the element is NotResource.
    """

    patterns: tuple[Pattern, ...]
    templates: tuple[Template, ...]
    is_negated: bool

    def may_match(self, arn: str) -> bool:
        """Return whether the element matches an ARN in some request.

        Without templates, it then matches in each request.
        """
        if self.templates:
            return True
        indexed = IndexedText(arn)
        return any(pattern.matches(indexed) for pattern in self.patterns) != self.is_negated

    def is_met(self, request: Request) -> bool | None:
        """Return whether the element matches the resource of a request.

        A variable without a value matches nothing. In NotResource that would make the statement
        match everything, so it cannot be evaluated.
        """
        outcome = any_of(self._outcomes(request))
        return negate(outcome) if self.is_negated else outcome

    def _outcomes(self, request: Request) -> Iterator[bool | None]:
        indexed = IndexedText(request.resource_arn)
        yield from (pattern.matches(indexed) for pattern in self.patterns)
        for template in self.templates:
            parts = template.resolve(request)
            if isinstance(parts, Unresolved):
                yield None if self.is_negated else parts.outcome
            else:
                yield compile_resource_pattern(parts).matches(indexed)


def compile_resources(
    texts: Sequence[str], document: Document, *, is_negated: bool
) -> ResourceElement:
    """Compile the texts of an element.

    Raises:
        PolicyError: a text is neither `*` nor the ARN of a resource.
    """
    patterns: list[Pattern] = []
    templates: list[Template] = []
    for text in texts:
        if text == "*":
            patterns.append(Pattern(parse_wildcards(text)))
            continue
        template = parse_template(text, document, has_wildcards=True)
        constant = template.constant
        _check_arn(text, has_variables=constant is None)
        if constant is None:
            templates.append(template)
        else:
            patterns.append(compile_resource_pattern(constant))
    return ResourceElement(tuple(patterns), tuple(templates), is_negated)


def _check_arn(text: str, *, has_variables: bool) -> None:
    """Reject a text that is not the ARN of a resource, which may have wildcards.

    AWS: the service is named without wildcards, and variables are allowed in the last segment
    only. An ARN may be shorter if a segment ends in `*`.
    """
    segments = text.split(":", _ARN_SEGMENTS - 1)
    is_complete = len(segments) == _ARN_SEGMENTS
    if (
        segments[0] != "arn"
        or len(segments) <= _SERVICE_SEGMENT
        or not (is_complete or any(segment.endswith("*") for segment in segments))
    ):
        raise PolicyError(f'{quote(text)} is not "*" or the ARN of a resource')
    if not segments[_SERVICE_SEGMENT] or not WILDCARDS.keys().isdisjoint(
        segments[_SERVICE_SEGMENT]
    ):
        raise PolicyError(f"{quote(text)} does not name its service")
    if has_variables and (not is_complete or any("${" in part for part in segments[:-1])):
        raise PolicyError(f"{quote(text)} has a variable before its last segment")
