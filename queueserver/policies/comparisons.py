"""Comparisons of one value of a request with one value of a policy.

All parsers are strict. A policy with a value that its parser rejects is invalid. A value of a
request that the parser rejects cannot be compared: the outcome is None.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Generic, Protocol, TypeAlias, TypeVar

from queueserver.policies.documents import Document
from queueserver.policies.errors import PolicyError, quote
from queueserver.policies.letter_case import fold_ascii
from queueserver.policies.patterns import (
    IndexedText,
    Pattern,
    PatternPart,
    compile_arn_pattern,
    is_arn,
)
from queueserver.policies.requests import Request
from queueserver.policies.ternary import any_of
from queueserver.policies.variables import Template, Unresolved, parse_template

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAXIMUM_RESOLVED_CHARACTERS = 4_096
"""Characters in all values of one condition after variables are replaced.

A policy may repeat a variable that a client sets, such as aws:UserAgent, hundreds of times."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Found = TypeVar("Found")
Expected = TypeVar("Expected")

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2})))?"
)
_EPOCH_SECONDS = re.compile(r"[0-9]{1,11}")
_FEWEST_EPOCH_DIGITS = 9
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_MAPPED_PREFIX_LENGTH = 96
"""The bits before the IPv4 address in an IPv6 address such as ::ffff:10.0.0.1."""


class Comparison(Protocol):
    """The values of a policy for one key, ready to be compared with values of requests."""

    @property
    def size(self) -> int:
        """The number of patterns and variables that a value of a request is compared with."""

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether a value of the request matches one of them.

        None means that it cannot be evaluated.
        """


class ParsedComparison(Generic[Found, Expected]):
    """A comparison of parsed values, such as numbers."""

    def __init__(
        self,
        parse: Callable[[str], Found],
        compare: Callable[[Found, Expected], bool],
        expected: Sequence[Expected],
    ) -> None:
        self._parse = parse
        self._compare = compare
        self._expected = expected

    @property
    def size(self) -> int:
        """The number of values in the policy."""
        return len(self._expected)

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether a value matches, or None if the value found cannot be parsed."""
        try:
            value = self._parse(found)
        except ValueError:
            return None
        return any(self._compare(value, expected) for expected in self._expected)


class TextComparison:
    """A comparison of whole texts."""

    def __init__(
        self, texts: Sequence[str], document: Document, *, ignores_case: bool = False
    ) -> None:
        self._fold = fold_ascii if ignores_case else str
        self._constants: set[str] = set()
        self._templates: list[Template] = []
        for text in texts:
            template = parse_template(text, document, has_wildcards=False)
            if template.constant is None:
                self._templates.append(template)
            else:
                self._constants.add(self._fold(_joined(template.constant)))

    @property
    def size(self) -> int:
        """The number of texts with variables: constant texts are looked up in a set."""
        return len(self._templates)

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether a text is equal. A variable without a value equals no text."""
        folded = self._fold(found)
        if folded in self._constants:
            return True
        return any_of(self._outcome(folded, template, request) for template in self._templates)

    def _outcome(self, folded: str, template: Template, request: Request) -> bool | None:
        parts = template.resolve(request)
        if isinstance(parts, Unresolved):
            return parts.outcome
        # A variable may have megabytes, hundreds of times: the length is compared first.
        if sum(len(part) for part in parts if isinstance(part, str)) != len(folded):
            return False
        return self._fold(_joined(parts)) == folded


class PatternComparison:
    """A comparison of a text with patterns, or of an ARN with patterns of ARNs."""

    def __init__(
        self, texts: Sequence[str], document: Document, *, compares_arns: bool = False
    ) -> None:
        self._compares_arns = compares_arns
        self._compile = compile_arn_pattern if compares_arns else Pattern
        self._patterns: list[Pattern] = []
        self._templates: list[Template] = []
        for text in texts:
            template = parse_template(text, document, has_wildcards=True)
            if template.constant is None:
                self._templates.append(template)
                continue
            pattern = self._compile(template.constant)
            if pattern is None:
                raise PolicyError(f"{quote(text)} is not an ARN")
            self._patterns.append(pattern)

    @property
    def size(self) -> int:
        """The number of patterns, with and without variables."""
        return len(self._patterns) + len(self._templates)

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether a pattern matches. A variable without a value matches no text.

        A comparison of ARNs with a text that is none cannot be evaluated.
        """
        if self._compares_arns and not is_arn(found):
            return None
        indexed = IndexedText(found)
        if any(pattern.matches(indexed) for pattern in self._patterns):
            return True
        return any_of(self._outcomes(indexed, request))

    def _outcomes(self, indexed: IndexedText, request: Request) -> Iterator[bool | None]:
        """Yield the outcomes of the patterns with variables, whose total length is limited."""
        characters = 0
        for template in self._templates:
            parts = template.resolve(request)
            if isinstance(parts, Unresolved):
                yield parts.outcome
                continue
            characters += sum(len(part) for part in parts if isinstance(part, str))
            if characters > MAXIMUM_RESOLVED_CHARACTERS:
                yield None
                return
            pattern = self._compile(parts)
            yield None if pattern is None else pattern.matches(indexed)


def parse_values(texts: Sequence[str], parse: Callable[[str], Expected]) -> list[Expected]:
    """Parse the values of a policy for one key.

    Raises:
        PolicyError: a value cannot be parsed.
    """
    values = []
    for text in texts:
        try:
            values.append(parse(text))
        except ValueError:
            raise PolicyError(f"{quote(text)} is not a value of this operator") from None
    return values


def _joined(parts: Sequence[PatternPart]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def parse_number(text: str) -> Decimal:
    """Parse a number in ASCII digits.

    Raises:
        ValueError: the text is not a number.
    """
    # Decimal alone would accept NaN, 1_000, and the digits of all scripts.
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def parse_boolean(text: str) -> bool:
    """Parse `true` or `false` in any letter case.

    Raises:
        ValueError: the text is neither.
    """
    folded = fold_ascii(text)
    if folded not in {"true", "false"}:
        raise ValueError(text)
    return folded == "true"


def parse_date(text: str) -> float:
    """Return the seconds since 1970 of a date: ISO 8601 with a time zone, or such seconds.

    Raises:
        ValueError: the text is no date.
    """
    if _EPOCH_SECONDS.fullmatch(text):
        return float(text)
    matched = _DATE.fullmatch(text)
    if not matched:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in matched.groups()[:6])
    fraction, sign, zone_hour, zone_minute = matched.groups()[6:]
    offset = timedelta(hours=int(zone_hour or 0), minutes=int(zone_minute or 0))
    zone = timezone(-offset if sign == "-" else offset)
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    date = datetime(year, month, day, hour, minute, second, microsecond, zone)
    return (date - _EPOCH).total_seconds()


def parse_policy_date(text: str) -> float:
    """Parse a date of a policy.

    Raises:
        ValueError: the text is no date. A year (2026), a date without hyphens (20260102) and
            milliseconds, which would be taken for other seconds, are rejected.
    """
    if text.isdigit() and len(text) < _FEWEST_EPOCH_DIGITS:
        raise ValueError(text)
    return parse_date(text)


def parse_network(text: str) -> Network:
    """Parse an IP address, or a network in CIDR notation.

    Raises:
        ValueError: the text is neither.
    """
    _, slash, length = text.partition("/")
    if "%" in text or (slash and not _PREFIX_LENGTH.fullmatch(length)):
        raise ValueError(text)
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_PREFIX_LENGTH:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX_LENGTH))
    return network


@lru_cache(maxsize=1_024)
def parse_address(text: str) -> Address:
    """Parse the IP address of a client, without the zone of a link-local address.

    An IPv4 client of a socket that serves both has an address such as ::ffff:10.0.0.1.

    Raises:
        ValueError: the text is not an address.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_binary(text: str) -> bytes:
    """Decode base64 in its only canonical form.

    Raises:
        ValueError: the text is not base64.
    """
    content = base64.b64decode(text.encode("ascii"), validate=True)
    if base64.b64encode(content).decode() != text:
        raise ValueError(text)
    return content


def encode_text(text: str) -> bytes:
    """Return the bytes of a value of a request, which BinaryEquals compares."""
    return text.encode("utf-8", "surrogatepass")


def is_in_network(address: Address, network: Network) -> bool:
    """Return whether a network contains an address."""
    return address in network
