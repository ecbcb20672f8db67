"""Condition: operators, and what a missing key or a value that cannot be compared means.

Each row is tried in an Allow and in a Deny. The outcome MET has the statement's effect, NOT_MET
does not, and UNKNOWN denies in a Deny and does not allow in an Allow.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from queueserver.policies.errors import PolicyError
from tests.policies.requests import (
    ALICE,
    CALLERS,
    FACTS,
    OTHER,
    allow,
    decision,
    deny,
    user,
    user_policy,
)

MET, NOT_MET, UNKNOWN = True, False, None
TAGGED = user(
    "alice",
    tags={
        **ALICE.tags,
        "number": "10",
        "float": "-0.50",
        "words": "ten",
        "digits": "\u0661\u0660",
        "nan": "NaN",
        "underscore": "1_0",
        "long": "9" * 256,
        "date": "2026-01-02T03:04:05Z",
        "epoch": "1767323045",
        "yes": "TRUE",
        "maybe": "maybe",
        "ip": "10.9.9.9",
        "arn": f"arn:aws:sns:us-east-1:{OTHER}:topic:sub",
        "both": "x",
        "BOTH": "y",
        "kelvin": "\u212a",
    },
)
TAG = "aws:PrincipalTag/"


def outcome(
    condition: dict[str, Any], facts: dict[str, Any], caller: str | None = None
) -> bool | None:
    """Return the outcome of a condition, from an Allow and a Deny with it."""
    changed = msgspec.structs.replace(FACTS, **facts)
    principal = TAGGED if caller is None else CALLERS[caller]
    allows = user_policy(allow(Condition=condition))
    denies = user_policy(allow(), deny(Condition=condition))
    allowed = decision(principal, [allows], facts=changed).allowed
    denied = not decision(principal, [denies], facts=changed).allowed
    return None if denied and not allowed else allowed and denied


def tag(operator: str, name: str, *values: object) -> dict[str, Any]:
    return {operator: {TAG + name: list(values)}}


def ip(*networks: str) -> dict[str, Any]:
    return {"IpAddress": {"aws:SourceIp": list(networks)}}


def not_ip(*networks: str) -> dict[str, Any]:
    return {"NotIpAddress": {"aws:SourceIp": list(networks)}}


MFA = "aws:MultiFactorAuthPresent"
ROWS: list[tuple[str, dict[str, Any], dict[str, Any], bool | None]] = [
    ("no condition", {}, {}, MET),
    # Strings
    ("StringEquals", tag("StringEquals", "team", "blue"), {}, MET),
    ("StringEquals, other case", tag("StringEquals", "team", "Blue"), {}, NOT_MET),
    ("StringEquals has no wildcards", tag("StringEquals", "team", "bl*"), {}, NOT_MET),
    ("StringEquals, star itself", tag("StringEquals", "star", "*"), {}, MET),
    ("StringEquals, one of several", tag("StringEquals", "team", "red", "blue"), {}, MET),
    ("StringEquals, none of several", tag("StringEquals", "team", "red", "green"), {}, NOT_MET),
    ("StringEquals, empty value", tag("StringEquals", "empty", ""), {}, MET),
    ("StringEquals, number", tag("StringEquals", "level", 7), {}, MET),
    ("StringEquals, boolean", {"StringEquals": {"aws:SecureTransport": True}}, {}, MET),
    ("StringEquals, missing", tag("StringEquals", "none", "x"), {}, NOT_MET),
    ("StringNotEquals", tag("StringNotEquals", "team", "red"), {}, MET),
    ("StringNotEquals, equal", tag("StringNotEquals", "team", "blue"), {}, NOT_MET),
    ("StringNotEquals, one of several", tag("StringNotEquals", "team", "x", "blue"), {}, NOT_MET),
    ("StringNotEquals, none of several", tag("StringNotEquals", "team", "x", "y"), {}, MET),
    ("StringNotEquals, missing", tag("StringNotEquals", "none", "x"), {}, MET),
    ("IgnoreCase", tag("StringEqualsIgnoreCase", "team", "BLUE"), {}, MET),
    ("IgnoreCase folds ASCII only", tag("StringEqualsIgnoreCase", "kelvin", "k"), {}, NOT_MET),
    ("NotEqualsIgnoreCase", tag("StringNotEqualsIgnoreCase", "team", "BLUE"), {}, NOT_MET),
    ("NotEqualsIgnoreCase, missing", tag("StringNotEqualsIgnoreCase", "none", "x"), {}, MET),
    ("StringLike", tag("StringLike", "team", "b*e"), {}, MET),
    ("StringLike, one character", tag("StringLike", "team", "bl?e"), {}, MET),
    ("StringLike, ? needs a character", tag("StringLike", "team", "blue?"), {}, NOT_MET),
    ("StringLike, whole text", tag("StringLike", "team", "lu"), {}, NOT_MET),
    ("StringLike, empty text", tag("StringLike", "empty", "*"), {}, MET),
    ("StringLike, ? and empty text", tag("StringLike", "empty", "?"), {}, NOT_MET),
    ("StringLike, missing", tag("StringLike", "none", "*"), {}, NOT_MET),
    ("StringLike, across a colon", tag("StringLike", "arn", "arn:*:topic:?ub"), {}, MET),
    ("StringNotLike", tag("StringNotLike", "team", "r*"), {}, MET),
    ("StringNotLike, match", tag("StringNotLike", "team", "b*"), {}, NOT_MET),
    ("StringNotLike, missing", tag("StringNotLike", "none", "*"), {}, MET),
    # Numbers
    ("NumericEquals", tag("NumericEquals", "number", "10.0"), {}, MET),
    ("NumericEquals, JSON number", tag("NumericEquals", "number", 10), {}, MET),
    ("NumericEquals, exponent", tag("NumericEquals", "number", "1e1"), {}, MET),
    ("NumericEquals, fraction", tag("NumericEquals", "float", -0.5), {}, MET),
    ("NumericEquals, other", tag("NumericEquals", "number", 11), {}, NOT_MET),
    ("NumericEquals, no number", tag("NumericEquals", "words", 10), {}, NOT_MET),
    ("NumericEquals, foreign digits", tag("NumericEquals", "digits", 10), {}, NOT_MET),
    ("NumericEquals, underscore", tag("NumericEquals", "underscore", 10), {}, NOT_MET),
    ("NumericEquals, missing", tag("NumericEquals", "none", 1), {}, NOT_MET),
    ("NumericNotEquals", tag("NumericNotEquals", "number", 11), {}, MET),
    ("NumericNotEquals, equal", tag("NumericNotEquals", "number", 10), {}, NOT_MET),
    ("NumericNotEquals, no number", tag("NumericNotEquals", "words", 11), {}, UNKNOWN),
    ("NumericNotEquals, NaN", tag("NumericNotEquals", "nan", 11), {}, UNKNOWN),
    ("NumericNotEquals, missing", tag("NumericNotEquals", "none", 11), {}, MET),
    ("NumericLessThan", tag("NumericLessThan", "number", 11), {}, MET),
    ("NumericLessThan, not as text", tag("NumericLessThan", "number", 9), {}, NOT_MET),
    ("NumericLessThan, equal", tag("NumericLessThan", "number", 10), {}, NOT_MET),
    ("NumericLessThan, no number", tag("NumericLessThan", "nan", 10), {}, NOT_MET),
    ("NumericLessThanEquals", tag("NumericLessThanEquals", "number", 10), {}, MET),
    ("NumericLessThanEquals, less", tag("NumericLessThanEquals", "number", 9.9), {}, NOT_MET),
    ("NumericGreaterThan", tag("NumericGreaterThan", "number", 9.99), {}, MET),
    ("NumericGreaterThan, equal", tag("NumericGreaterThan", "number", 10), {}, NOT_MET),
    ("NumericGreaterThan, 256 digits", tag("NumericGreaterThan", "long", "1e255"), {}, MET),
    ("NumericGreaterThanEquals", tag("NumericGreaterThanEquals", "number", 10), {}, MET),
    ("NumericGreaterThanEquals, more", tag("NumericGreaterThanEquals", "number", 11), {}, NOT_MET),
    # Dates; the request is at 2026-01-02T03:04:05Z
    *(
        (f"{operator} {value!r}", {operator: {"aws:CurrentTime": value}}, {}, expected)
        for operator, value, expected in (
            ("DateEquals", "2026-01-02T03:04:05Z", MET),
            ("DateEquals", "2026-01-02T04:04:05+01:00", MET),
            ("DateEquals", "2026-01-01T23:34:05-03:30", MET),
            ("DateEquals", "1767323045", MET),
            ("DateEquals", 1767323045, MET),
            ("DateEquals", "2026-01-02T03:04Z", NOT_MET),
            ("DateNotEquals", "2026-01-02T03:04:05Z", NOT_MET),
            ("DateNotEquals", "2026-01-02", MET),
            ("DateLessThan", "2026-01-02T03:04:05.5Z", MET),
            ("DateLessThan", "2026-01-02T03:04:05Z", NOT_MET),
            ("DateLessThan", "2026-01-03", MET),
            ("DateLessThanEquals", "2026-01-02T03:04:05Z", MET),
            ("DateLessThanEquals", "2026-01-02", NOT_MET),
            ("DateGreaterThan", "2026-01-02", MET),
            ("DateGreaterThan", "2026-01-02T03:04:05Z", NOT_MET),
            ("DateGreaterThan", "2009-06-30T12:00Z", MET),
            ("DateGreaterThanEquals", "2026-01-02T03:04:05Z", MET),
            ("DateGreaterThanEquals", "2026-01-02T03:04:06Z", NOT_MET),
        )
    ),
    ("EpochTime as a date", {"DateEquals": {"aws:EpochTime": "2026-01-02T03:04:05Z"}}, {}, MET),
    ("EpochTime as a number", {"NumericLessThan": {"aws:EpochTime": 1767323046}}, {}, MET),
    ("date of a tag", tag("DateEquals", "epoch", "2026-01-02T03:04:05Z"), {}, MET),
    ("tag that is no date", tag("DateLessThan", "words", "2026-01-02"), {}, UNKNOWN),
    ("tag that is no date, negated", tag("DateNotEquals", "words", "2026-01-02"), {}, UNKNOWN),
    ("date, missing", tag("DateLessThan", "none", "2026-01-02"), {}, NOT_MET),
    ("date, missing, negated", tag("DateNotEquals", "none", "2026-01-02"), {}, MET),
    # Booleans
    ("Bool", {"Bool": {"aws:SecureTransport": "true"}}, {}, MET),
    ("Bool, JSON", {"Bool": {"aws:SecureTransport": True}}, {}, MET),
    ("Bool, upper case", {"Bool": {"aws:SecureTransport": "TRUE"}}, {}, MET),
    ("Bool, plain HTTP", {"Bool": {"aws:SecureTransport": "false"}}, {"is_secure": False}, MET),
    ("Bool, HTTPS", {"Bool": {"aws:SecureTransport": "false"}}, {}, NOT_MET),
    ("Bool, both values", {"Bool": {"aws:SecureTransport": ["true", "false"]}}, {}, MET),
    ("Bool of a tag", tag("Bool", "yes", "true"), {}, MET),
    ("Bool of a tag that is none", tag("Bool", "maybe", "false"), {}, UNKNOWN),
    ("Bool, missing", {"Bool": {MFA: "false"}}, {}, NOT_MET),
    ("BoolIfExists, missing", {"BoolIfExists": {MFA: "false"}}, {}, MET),
    # Binary
    ("BinaryEquals", tag("BinaryEquals", "team", "Ymx1ZQ=="), {}, MET),
    ("BinaryEquals, other", tag("BinaryEquals", "team", "cmVk"), {}, NOT_MET),
    ("BinaryEquals, missing", tag("BinaryEquals", "none", "cmVk"), {}, NOT_MET),
    # Addresses; the request comes from 10.1.2.3
    ("IpAddress", ip("10.0.0.0/8"), {}, MET),
    ("IpAddress, host bits", ip("10.9.9.9/8"), {}, MET),
    ("IpAddress, no prefix", ip("10.1.2.3"), {}, MET),
    ("IpAddress, another", ip("10.1.2.4", "192.168.0.0/16"), {}, NOT_MET),
    ("IpAddress, one of several", ip("192.168.0.0/16", "10.1.0.0/16"), {}, MET),
    ("IpAddress, all of IPv4", ip("0.0.0.0/0"), {}, MET),
    ("IpAddress, all of IPv6", ip("::/0"), {}, NOT_MET),
    ("IpAddress, mapped client", ip("10.0.0.0/8"), {"source_ip": "::ffff:10.1.1.1"}, MET),
    ("IpAddress, mapped network", ip("::ffff:10.0.0.0/104"), {}, MET),
    ("IpAddress, mapped address", ip("::ffff:10.1.2.3"), {}, MET),
    ("IpAddress, IPv6", ip("2001:db8::/32"), {"source_ip": "2001:DB8::1"}, MET),
    ("IpAddress, IPv6 host", ip("2001:db8::1"), {"source_ip": "2001:db8:0::1"}, MET),
    ("IpAddress, zone", ip("fe80::/10"), {"source_ip": "fe80::1%eth0"}, MET),
    ("NotIpAddress, zone", not_ip("fe80::/10"), {"source_ip": "fe80::1%eth0"}, NOT_MET),
    ("NotIpAddress", not_ip("192.168.0.0/16"), {}, MET),
    ("NotIpAddress, inside", not_ip("10.0.0.0/8"), {}, NOT_MET),
    ("NotIpAddress, in one of several", not_ip("192.168.0.0/16", "10.0.0.0/8"), {}, NOT_MET),
    ("NotIpAddress, mapped", not_ip("10.0.0.0/8"), {"source_ip": "::ffff:10.1.1.1"}, NOT_MET),
    *(
        (f"{text!r} {name}", condition, {"source_ip": text}, UNKNOWN)
        for text in ("", "0x0a.1.1.1", "010.1.1.1", "10.1.1", "167772161", "10.1.2.3:80", "\u0661")
        for name, condition in (("inside", ip("10.0.0.0/8")), ("outside", not_ip("10.0.0.0/8")))
    ),
    ("address of a tag", tag("IpAddress", "ip", "10.9.0.0/16"), {}, MET),
    # ARNs
    ("ArnEquals", tag("ArnEquals", "arn", f"arn:aws:sns:us-east-1:{OTHER}:topic:sub"), {}, MET),
    ("ArnEquals has wildcards", tag("ArnEquals", "arn", "arn:aws:sns:*:*:topic*"), {}, MET),
    ("ArnLike", tag("ArnLike", "arn", "arn:*:sns:us-*-?:*:*"), {}, MET),
    ("ArnLike, last part has colons", tag("ArnLike", "arn", "arn:aws:sns:*:*:*b"), {}, MET),
    ("ArnLike, part by part", tag("ArnLike", "arn", f"arn:aws:*:{OTHER}:*:sub"), {}, NOT_MET),
    ("ArnLike, no star across parts", tag("ArnLike", "arn", "arn:*:*:*:topic:sub"), {}, NOT_MET),
    ("ArnLike, other case", tag("ArnLike", "arn", "arn:aws:SNS:*:*:*"), {}, NOT_MET),
    ("ArnLike, missing", tag("ArnLike", "none", "arn:*:*:*:*:*"), {}, NOT_MET),
    ("ArnLike, tag that is no ARN", tag("ArnLike", "team", "arn:*:*:*:*:*"), {}, UNKNOWN),
    ("ArnNotLike", tag("ArnNotLike", "arn", "arn:aws:s3:*:*:*"), {}, MET),
    ("ArnNotLike, match", tag("ArnNotLike", "arn", "arn:aws:sns:*:*:*"), {}, NOT_MET),
    ("ArnNotLike, missing", tag("ArnNotLike", "none", "arn:*:*:*:*:*"), {}, MET),
    ("ArnNotLike, tag that is no ARN", tag("ArnNotLike", "team", "arn:*:*:*:*:*"), {}, UNKNOWN),
    ("ArnNotEquals", tag("ArnNotEquals", "arn", "arn:aws:sns:*:*:topic:*"), {}, NOT_MET),
    # Null
    ("Null, absent", {"Null": {MFA: "true"}}, {}, MET),
    ("Null, JSON", {"Null": {MFA: True}}, {}, MET),
    ("Null, not present", {"Null": {MFA: "false"}}, {}, NOT_MET),
    ("Null, present", tag("Null", "team", "false"), {}, MET),
    ("Null, not absent", tag("Null", "team", "true"), {}, NOT_MET),
    ("Null, present and empty", tag("Null", "empty", "false"), {}, MET),
    ("Null, both", {"Null": {MFA: ["true", "false"]}}, {}, MET),
    ("Null, no tag keys", {"Null": {"aws:TagKeys": "true"}}, {"tag_keys": []}, MET),
    # IfExists
    ("IfExists, match", tag("StringEqualsIfExists", "team", "blue"), {}, MET),
    ("IfExists, no match", tag("StringEqualsIfExists", "team", "red"), {}, NOT_MET),
    ("IfExists, missing", tag("StringEqualsIfExists", "none", "red"), {}, MET),
    ("NotEqualsIfExists, missing", tag("StringNotEqualsIfExists", "none", "red"), {}, MET),
    ("NotEqualsIfExists, match", tag("StringNotEqualsIfExists", "team", "blue"), {}, NOT_MET),
    ("NumericIfExists, missing", tag("NumericLessThanIfExists", "none", 1), {}, MET),
    ("IpAddressIfExists", {"IpAddressIfExists": {"aws:VpcSourceIp": "10.0.0.0/8"}}, {}, MET),
    # Several operators, keys and values
    ("both operators", {**tag("StringLike", "team", "b*"), **ip("10.0.0.0/8")}, {}, MET),
    ("one operator only", {**tag("StringLike", "team", "b*"), **ip("11.0.0.0/8")}, {}, NOT_MET),
    ("one key only", {"StringEquals": {TAG + "team": "blue", TAG + "level": "8"}}, {}, NOT_MET),
    ("false and unknown", {**tag("ArnLike", "team", "arn:*:*:*:*:*"), **ip("::1")}, {}, NOT_MET),
    (
        "true and unknown",
        {**tag("ArnLike", "team", "arn:*:*:*:*:*"), **ip("10.1.2.3")},
        {},
        UNKNOWN,
    ),
    # Keys of a name in any letter case, and ambiguous ones
    ("key in lower case", {"StringEquals": {"aws:principaltag/TEAM": "blue"}}, {}, MET),
    ("prefix in upper case", {"IpAddress": {"AWS:SOURCEIP": "10.1.2.3"}}, {}, MET),
    ("two tags of one name", tag("StringEquals", "both", "x"), {}, UNKNOWN),
    ("two tags of one name, negated", tag("StringNotEquals", "Both", "z"), {}, UNKNOWN),
]


@pytest.mark.parametrize(
    ("condition", "facts", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS]
)
def test_condition_has_this_outcome(
    condition: dict[str, Any], facts: dict[str, Any], expected: bool | None
) -> None:
    assert outcome(condition, facts) is expected


def test_names_of_rows_are_distinct() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS)


def sets(qualifier: str, operator: str, *values: str) -> dict[str, Any]:
    return {f"{qualifier}:{operator}": {"aws:TagKeys": list(values)}}


ANY, ALL = "ForAnyValue", "ForAllValues"
SET_ROWS: list[tuple[dict[str, Any], list[str] | None, bool | None]] = [
    (sets(ANY, "StringEquals", "a", "b"), ["a", "x"], MET),
    (sets(ANY, "StringEquals", "a", "b"), ["x", "y"], NOT_MET),
    (sets(ANY, "StringEquals", "a"), [], NOT_MET),
    (sets(ANY, "StringEquals", "a"), None, NOT_MET),
    (sets(ANY, "StringNotEquals", "a"), ["a", "x"], MET),
    (sets(ANY, "StringNotEquals", "a"), ["a"], NOT_MET),
    (sets(ANY, "StringNotEquals", "a"), None, NOT_MET),
    (sets(ANY, "StringEqualsIfExists", "a"), None, MET),
    (sets(ANY, "StringLike", "env-*"), ["x", "env-1"], MET),
    (sets(ALL, "StringEquals", "a", "b"), ["a", "b", "a"], MET),
    (sets(ALL, "StringEquals", "a", "b"), ["a", "x"], NOT_MET),
    (sets(ALL, "StringEquals", "a"), [], MET),
    (sets(ALL, "StringEquals", "a"), None, MET),
    (sets(ALL, "StringNotEquals", "a"), ["x", "y"], MET),
    (sets(ALL, "StringNotEquals", "a"), ["x", "a"], NOT_MET),
    (sets(ALL, "StringNotEquals", "a"), None, MET),
    (sets(ALL, "StringEqualsIfExists", "a"), None, MET),
    ({**sets(ALL, "StringEquals", "a"), "Null": {"aws:TagKeys": "false"}}, None, NOT_MET),
    ({**sets(ALL, "StringEquals", "a"), "Null": {"aws:TagKeys": "false"}}, ["a"], MET),
    ({"StringEquals": {"aws:TagKeys": "a"}}, ["a"], MET),
    ({"StringEquals": {"aws:TagKeys": "a"}}, ["x"], NOT_MET),
    ({"StringEquals": {"aws:TagKeys": "a"}}, ["a", "x"], UNKNOWN),
    ({"StringNotEquals": {"aws:TagKeys": "a"}}, ["x", "y"], UNKNOWN),
    ({"StringEquals": {"aws:TagKeys": "a"}}, [], NOT_MET),
    ({"StringNotEquals": {"aws:TagKeys": "a"}}, [], MET),
    ({"ForAnyValue:StringEquals": {TAG + "team": "blue"}}, None, MET),
    ({"ForAllValues:StringEquals": {TAG + "team": "red"}}, None, NOT_MET),
    ({"ForAllValues:Bool": {MFA: "true"}}, None, MET),
    (sets(ALL, "ArnLike", "arn:*:*:*:*:*"), ["x"], UNKNOWN),
    (sets(ANY, "ArnNotLike", "arn:*:*:*:*:*"), ["x"], UNKNOWN),
]


@pytest.mark.parametrize(
    ("condition", "tag_keys", "expected"),
    [pytest.param(*row, id=f"{[*row[0]]}, {row[1]}") for row in SET_ROWS],
)
def test_set_of_values_has_this_outcome(
    condition: dict[str, Any], tag_keys: list[str] | None, expected: bool | None
) -> None:
    assert outcome(condition, {"tag_keys": tag_keys}) is expected


INVALID: list[tuple[str, object]] = [
    *((name, {name: {"aws:UserAgent": "x"}}) for name in ("StringEqual", "stringequals", "")),
    *((name, {name: {"aws:UserAgent": "x"}}) for name in ("IfExists", "ForAnyValue:", "Equals")),
    ("two qualifiers", {"ForAnyValue:ForAllValues:StringEquals": {"aws:UserAgent": "x"}}),
    ("suffix twice", {"StringEqualsIfExistsIfExists": {"aws:UserAgent": "x"}}),
    ("qualifier in lower case", {"forAnyValue:StringEquals": {"aws:UserAgent": "x"}}),
    ("NullIfExists", {"NullIfExists": {"aws:UserAgent": "true"}}),
    ("set of Null", {"ForAnyValue:Null": {"aws:UserAgent": "true"}}),
    ("Null with a text", {"Null": {"aws:UserAgent": "yes"}}),
    ("no keys", {"StringEquals": {}}),
    ("no values", {"StringEquals": {"aws:UserAgent": []}}),
    ("key twice", {"StringEquals": {"aws:UserAgent": "x", "aws:useragent": "y"}}),
    *(
        (f"key {key!r}", {"StringEquals": {key: "x"}})
        for key in (
            "",
            "k",
            "aws",
            "aws:",
            "aws:SourceIps",
            "aws:PrincipalTag",
            "aws:PrincipalTag/",
            "aws:TagKeys/x",
            "asw:SourceIp",
            "sqs:QueueName",
            "s3:",
            "SourceIp",
            "aws:SourceIp ",
            "a\u212as:SourceIp",
            "aws:\u017fourceIp",
        )
    ),
    *(
        (f"number {text!r}", tag("NumericEquals", "n", text))
        for text in (
            "",
            "x",
            "NaN",
            "Infinity",
            "1_000",
            "\u0661",
            " 1",
            "1\n",
            "1,5",
            "0x10",
            "1e9999",
            True,
        )
    ),
    *(
        (f"date {text!r}", tag("DateEquals", "n", text))
        for text in (
            "",
            "x",
            "2026",
            "2026-01",
            "20260102",
            "1767323045000",
            2026,
            "2026-13-01",
            "2026-02-30",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:60Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02 03:04Z",
            "2026-01-02T03:04:05+24:00",
            "2026-W01-1",
            "\u0662026-01-02",
            "2026-01-02\n",
            "0000-01-01",
        )
    ),
    *(
        (f"boolean {text!r}", tag("Bool", "n", text))
        for text in ("", "yes", 1, "true ", "tr\u00fce")
    ),
    *(
        (f"base64 {text!r}", tag("BinaryEquals", "n", text))
        for text in (
            "YQ",
            "YQ=",
            "YR==",
            "Y Q==",
            "YQ==\n",
            "\u00e9",
            "-_==",
        )
    ),
    *(
        (f"network {text!r}", ip(text))
        for text in (
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/08",
            "10.0.0.0/255.0.0.0",
            "10.0.0/8",
            "010.0.0.0/8",
            "0x0a.0.0.0/8",
            "10.0.0.0/8/8",
            "::/129",
            "fe80::1%eth0",
            "10.0.0.0/-1",
            "*",
            "10.*",
            "10.0.0.0/\u0668",
        )
    ),
    *(
        (f"ARN {text!r}", tag("ArnLike", "n", text))
        for text in ("", "*", "a", "arn:aws:sns:*:topic")
    ),
]


@pytest.mark.parametrize(
    "condition", [pytest.param(row[1], id=row[0] or "empty") for row in INVALID]
)
def test_condition_that_cannot_be_evaluated_is_rejected(condition: dict[str, Any]) -> None:
    for statement in (allow(Condition=condition), deny(Condition=condition)):
        with pytest.raises(PolicyError, match=r"^statement 1: Condition: "):
            user_policy(statement)


@pytest.mark.parametrize(
    "key",
    [
        "s3:prefix",
        "kms:ViaService",
        "accounts.google.com:aud",
        "aws:PrincipalOrgID",
        "aws:SourceVpce",
    ],
)
def test_key_that_no_request_has_is_absent(key: str) -> None:
    assert outcome({"Null": {key: True}}, {}) is MET
    assert outcome({"StringNotEquals": {key: "x"}}, {}) is MET
    assert outcome({"StringEquals": {key: "x"}}, {}) is NOT_MET


@pytest.mark.parametrize("operator", ["StringLike", "StringNotLike"])
def test_pattern_that_variables_make_too_long_cannot_be_evaluated(operator: str) -> None:
    condition = {operator: {"aws:UserAgent": ["*${aws:UserAgent}*b"] * 400}}
    assert outcome(condition, {"user_agent": "a" * 8_000}) is UNKNOWN
    assert outcome(condition, {"user_agent": "a"}) is (operator == "StringNotLike")


@pytest.mark.parametrize(
    ("condition", "facts"),
    [
        pytest.param(
            {"StringLike": {"aws:UserAgent": "a*"}}, {"user_agent": "a" * 20_000}, id="text"
        ),
        pytest.param(sets(ALL, "StringLike", "a*"), {"tag_keys": ["a" * 100] * 200}, id="texts"),
        pytest.param(
            sets(ANY, "StringNotLike", "x"), {"tag_keys": [""] * 20_000}, id="empty texts"
        ),
    ],
)
def test_condition_on_values_longer_than_any_of_aws_cannot_be_evaluated(
    condition: dict[str, Any], facts: dict[str, Any]
) -> None:
    assert outcome(condition, facts) is UNKNOWN
