"""Requests and results survive a round trip through each protocol."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast
from urllib.parse import quote_plus, urlencode

import msgspec
import pytest
import xmltodict

from protocol.actions import ACTIONS, Action
from protocol.codecs.choice import codec_for
from protocol.shapes import ListOf, MapOf, Scalar, Structure, Type, members
from protocol.wire import WireRequest

Build: TypeAlias = Callable[[type[msgspec.Struct]], msgspec.Struct]

SPECIAL_CHARACTERS = " &=+%;#<>\"'\\/\t\n\r\x7f\x85\u2028é\U0001f600"
SCALARS: dict[str, object] = {
    "integer": -(2**63),
    "boolean": True,
    "blob": bytes(range(256)),
}
ALL_ACTIONS = [pytest.param(action, id=action.name) for action in ACTIONS.values()]
ACTIONS_WITH_RESULT = [
    pytest.param(action, id=action.name) for action in ACTIONS.values() if action.result
]


def sample(type_: Type, name: str) -> object:
    """Return a value of a type; equal Query names get equal values, being one parameter."""
    match type_:
        case Structure(shape):
            return all_members(shape)
        case ListOf(item):
            return [sample(item, f"{name} {index}") for index in range(12)]
        case MapOf(item):
            return {key: sample(item, name) for key in ("k.1", SPECIAL_CHARACTERS, "")}
        case Scalar(kind):
            return SCALARS.get(kind, name + SPECIAL_CHARACTERS)


def all_members(shape: type[msgspec.Struct]) -> msgspec.Struct:
    return shape(
        **{member.field: sample(member.type, member.query_name) for member in members(shape)}
    )


def required_members(shape: type[msgspec.Struct]) -> msgspec.Struct:
    required = [member for member in members(shape) if member.required]
    return shape(**{member.field: sample(member.type, member.query_name) for member in required})


def query_parameters(
    value: object, type_: Type, prefix: str, key_name: str
) -> Iterator[tuple[str, str]]:
    match type_:
        case Structure():
            yield from structure_query_parameters(cast("msgspec.Struct", value), prefix)
        case ListOf(item):
            for index, element in enumerate(cast("list[object]", value), 1):
                yield from query_parameters(element, item, f"{prefix}.{index}", key_name)
        case MapOf(item):
            for index, (key, inner) in enumerate(cast("dict[str, object]", value).items(), 1):
                yield f"{prefix}.{index}.{key_name}", key
                yield from query_parameters(inner, item, f"{prefix}.{index}.Value", key_name)
        case Scalar("blob"):
            yield prefix, base64.b64encode(cast("bytes", value)).decode()
        case Scalar():
            yield prefix, str(value)


def structure_query_parameters(structure: msgspec.Struct, prefix: str) -> Iterator[tuple[str, str]]:
    for member in members(type(structure)):
        value = getattr(structure, member.field)
        if value is not None:
            name = f"{prefix}.{member.query_name}" if prefix else member.query_name
            yield from query_parameters(value, member.type, name, member.key_name)


def parse(request: WireRequest) -> tuple[Action, msgspec.Struct]:
    return codec_for(request).read(request)


@pytest.mark.parametrize("build", [all_members, required_members])
@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_request_round_trips_through_json(action: Action, build: Build) -> None:
    request = build(action.request)
    body = msgspec.json.encode(request)
    target = f"AmazonSQS.{action.name}"
    assert parse(WireRequest("POST", "/", target=target, body=body)) == (action, request)


@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_last_of_duplicate_json_members_wins_over_one_of_the_wrong_type(action: Action) -> None:
    # A member of the wrong type makes the codec parse the body a second time, leniently.
    request = all_members(action.request)
    rest = msgspec.json.encode(request)[1:]
    for member in members(action.request):
        body = f'{{"{member.wire_name}":[[]],'.encode() + rest
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=action.request)
        target = f"AmazonSQS.{action.name}"
        assert parse(WireRequest("POST", "/", target=target, body=body)) == (action, request)


@pytest.mark.parametrize("build", [all_members, required_members])
@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_request_round_trips_through_a_form(action: Action, build: Build) -> None:
    request = build(action.request)
    pairs = [("Action", action.name), *structure_query_parameters(request, "")]
    for quote in (quote_plus, lambda text, *_: "".join(f"%{byte:02x}" for byte in text.encode())):
        form = urlencode(pairs, quote_via=cast("Any", quote))
        assert parse(WireRequest("POST", "/", body=form.encode())) == (action, request)
        assert parse(WireRequest("GET", "/", form)) == (action, request)


@pytest.mark.parametrize("build", [all_members, required_members])
@pytest.mark.parametrize("action", ACTIONS_WITH_RESULT)
def test_result_round_trips_through_json(action: Action, build: Build) -> None:
    assert action.result is not None
    result = build(action.result)
    codec = codec_for(WireRequest("POST", "/", target="AmazonSQS.X"))
    body = codec.write_result(action, result, "rid").body
    assert msgspec.json.decode(body, type=action.result) == result


@pytest.mark.parametrize("build", [all_members, required_members])
@pytest.mark.parametrize("action", ACTIONS_WITH_RESULT)
def test_result_round_trips_through_xml(action: Action, build: Build) -> None:
    assert action.result is not None
    result = build(action.result)
    body = codec_for(WireRequest("POST", "/")).write_result(action, result, "rid").body
    response = xmltodict.parse(body, strip_whitespace=False)[f"{action.name}Response"]
    assert response["ResponseMetadata"] == {"RequestId": "rid"}
    assert from_xml(response[f"{action.name}Result"] or {}, action.result) == result


def from_xml(parsed: dict[str, Any], shape: type[msgspec.Struct]) -> msgspec.Struct:
    """Parse a structure by its shape, as a client does."""
    found = {
        member.field: value_from_xml(parsed[member.query_name], member.type, member.key_name)
        for member in members(shape)
        if member.query_name in parsed
    }
    return shape(**found)


def value_from_xml(parsed: object, type_: Type, key_name: str) -> object:
    match type_:
        case Structure(shape):
            return from_xml(cast("dict[str, Any]", parsed), shape)
        case ListOf(item):
            items = parsed if isinstance(parsed, list) else [parsed]
            return [value_from_xml(element, item, key_name) for element in items]
        case MapOf(item):
            return {
                entry[key_name] or "": value_from_xml(entry["Value"], item, key_name)
                for entry in cast("list[dict[str, Any]]", parsed)
            }
        case Scalar(kind):
            return FROM_TEXT[kind](cast("str", parsed))


FROM_TEXT: dict[str, Callable[[str], object]] = {
    "string": str,
    "integer": int,
    "boolean": "true".__eq__,
    "blob": base64.b64decode,
}
