"""Comparisons of one value of a request with one value of a policy.

All parsers are strict. A policy with a value that its parser rejects is invalid. A value of a
request that the parser rejects cannot be compared: the outcome is None.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Generic, Protocol, TypeAlias, TypeVar

from queueserver.policies.documents import Document
from queueserver.policies.letter_case import fold_ascii
from queueserver.policies.patterns import (
    Pattern,
    PatternPart,
    compile_arn_pattern,
    is_arn,
)
from queueserver.policies.requests import Request
from queueserver.policies.variables import Unresolved, parse_template

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

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
    """A value of a policy, ready to be compared with values of requests."""

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether a value of the request matches, or None if that cannot be evaluated."""


class ParsedComparison(Generic[Found, Expected]):
    """A comparison of parsed values, such as numbers."""

    def __init__(
        self,
        parse: Callable[[str], Found],
        compare: Callable[[Found, Expected], bool],
        expected: Expected,
    ) -> None:
        self._parse = parse
        self._compare = compare
        self._expected = expected

    def matches(self, found: str, request: Request) -> bool | None:
        """Return the comparison's outcome, or None if the value found cannot be parsed."""
        try:
            value = self._parse(found)
        except ValueError:
            return None
        return self._compare(value, self._expected)


class TextComparison:
    """A comparison of whole texts."""

    def __init__(self, text: str, document: Document, *, ignores_case: bool = False) -> None:
        self._template = parse_template(text, document, has_wildcards=False)
        self._ignores_case = ignores_case
        constant = self._template.constant
        self._constant = None if constant is None else self._joined(constant)

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether the texts are equal. A variable without a value equals no text."""
        expected = self._constant
        if expected is None:
            parts = self._template.resolve(request)
            if isinstance(parts, Unresolved):
                return parts.outcome
            expected = self._joined(parts)
        return expected == (fold_ascii(found) if self._ignores_case else found)

    def _joined(self, parts: Iterable[PatternPart]) -> str:
        text = "".join(part for part in parts if isinstance(part, str))
        return fold_ascii(text) if self._ignores_case else text


class PatternComparison:
    """A comparison of a text with a pattern."""

    def __init__(self, text: str, document: Document) -> None:
        self._template = parse_template(text, document, has_wildcards=True)
        constant = self._template.constant
        self._constant = None if constant is None else Pattern(constant)

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether the text matches. A variable without a value matches no text."""
        pattern = self._constant
        if pattern is None:
            parts = self._template.resolve(request)
            if isinstance(parts, Unresolved):
                return parts.outcome
            pattern = Pattern(parts)
        return pattern.matches(found)


class ArnComparison:
    """A comparison of an ARN with a pattern, part by part."""

    def __init__(self, text: str, document: Document) -> None:
        self._template = parse_template(text, document, has_wildcards=True)
        constant = self._template.constant
        self._constant = None if constant is None else compile_arn_pattern(constant)
        if constant is not None and self._constant is None:
            raise ValueError(text)

    def matches(self, found: str, request: Request) -> bool | None:
        """Return whether the ARN matches, or None if one of the two is not an ARN."""
        pattern = self._constant
        if pattern is None:
            parts = self._template.resolve(request)
            if isinstance(parts, Unresolved):
                return parts.outcome
            pattern = compile_arn_pattern(parts)
        if pattern is None or not is_arn(found):
            return None
        return pattern.matches(found)


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
