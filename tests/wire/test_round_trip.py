"""Both protocols meet at one value: what is written in either way is read back the same."""

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

NASTY = " &=+%;#<>\"'\\/\t\n\r\x7f\x85\u2028é\U0001f600"
SCALARS: dict[str, object] = {
    "integer": -(2**63),
    "boolean": True,
    "blob": bytes(range(256)),
}
ALL = [pytest.param(action, id=action.name) for action in ACTIONS.values()]
RESULTS = [pytest.param(action, id=action.name) for action in ACTIONS.values() if action.result]


def sample(type_: Type, name: str) -> object:
    """Fill a type; equal Query names get equal values, since they are one parameter."""
    match type_:
        case Structure(shape):
            return full(shape)
        case ListOf(item):
            return [sample(item, f"{name} {index}") for index in range(12)]
        case MapOf(item):
            return {key: sample(item, name) for key in ("k.1", NASTY, "")}
        case Scalar(kind):
            return SCALARS.get(kind, name + NASTY)


def full(shape: type[msgspec.Struct]) -> msgspec.Struct:
    return shape(**{one.field: sample(one.type, one.query_name) for one in members(shape)})


def least(shape: type[msgspec.Struct]) -> msgspec.Struct:
    required = [one for one in members(shape) if one.required]
    return shape(**{one.field: sample(one.type, one.query_name) for one in required})


def parameters(value: object, type_: Type, prefix: str, key_name: str) -> Iterator[tuple[str, str]]:
    match type_:
        case Structure():
            yield from structure_parameters(cast("msgspec.Struct", value), prefix)
        case ListOf(item):
            for index, one in enumerate(cast("list[object]", value), 1):
                yield from parameters(one, item, f"{prefix}.{index}", key_name)
        case MapOf(item):
            for index, (key, one) in enumerate(cast("dict[str, object]", value).items(), 1):
                yield f"{prefix}.{index}.{key_name}", key
                yield from parameters(one, item, f"{prefix}.{index}.Value", key_name)
        case Scalar("blob"):
            yield prefix, base64.b64encode(cast("bytes", value)).decode()
        case Scalar():
            yield prefix, str(value)


def structure_parameters(structure: msgspec.Struct, prefix: str) -> Iterator[tuple[str, str]]:
    for member in members(type(structure)):
        value = getattr(structure, member.field)
        if value is not None:
            name = f"{prefix}.{member.query_name}" if prefix else member.query_name
            yield from parameters(value, member.type, name, member.key_name)


def read(request: WireRequest) -> tuple[Action, msgspec.Struct]:
    return codec_for(request).read(request)


@pytest.mark.parametrize("build", [full, least])
@pytest.mark.parametrize("action", ALL)
def test_a_request_survives_json(action: Action, build: Build) -> None:
    request = build(action.request)
    body = msgspec.json.encode(request)
    target = f"AmazonSQS.{action.name}"
    assert read(WireRequest("POST", "/", target=target, body=body)) == (action, request)


@pytest.mark.parametrize("action", ALL)
def test_a_request_survives_json_when_it_is_read_again(action: Action) -> None:
    """A member of the wrong kind sends the request down the slow way; its repetition is right."""
    request = full(action.request)
    rest = msgspec.json.encode(request)[1:]
    for member in members(action.request):
        body = f'{{"{member.wire_name}":[[]],'.encode() + rest
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=action.request)
        target = f"AmazonSQS.{action.name}"
        assert read(WireRequest("POST", "/", target=target, body=body)) == (action, request)


@pytest.mark.parametrize("build", [full, least])
@pytest.mark.parametrize("action", ALL)
def test_a_request_survives_a_form(action: Action, build: Build) -> None:
    request = build(action.request)
    pairs = [("Action", action.name), *structure_parameters(request, "")]
    for quote in (quote_plus, lambda text, *_: "".join(f"%{byte:02x}" for byte in text.encode())):
        form = urlencode(pairs, quote_via=cast("Any", quote))
        assert read(WireRequest("POST", "/", body=form.encode())) == (action, request)
        assert read(WireRequest("GET", "/", form)) == (action, request)


@pytest.mark.parametrize("build", [full, least])
@pytest.mark.parametrize("action", RESULTS)
def test_a_result_survives_json(action: Action, build: Build) -> None:
    assert action.result is not None
    result = build(action.result)
    codec = codec_for(WireRequest("POST", "/", target="AmazonSQS.X"))
    body = codec.write_result(action, result, "rid").body
    assert msgspec.json.decode(body, type=action.result) == result


@pytest.mark.parametrize("build", [full, least])
@pytest.mark.parametrize("action", RESULTS)
def test_a_result_survives_xml(action: Action, build: Build) -> None:
    assert action.result is not None
    result = build(action.result)
    body = codec_for(WireRequest("POST", "/")).write_result(action, result, "rid").body
    told = xmltodict.parse(body, strip_whitespace=False)[f"{action.name}Response"]
    assert told["ResponseMetadata"] == {"RequestId": "rid"}
    assert from_xml(told[f"{action.name}Result"] or {}, action.result) == result


def from_xml(told: dict[str, Any], shape: type[msgspec.Struct]) -> msgspec.Struct:
    """Read a structure as a client does, who knows what to expect."""
    found = {
        member.field: value_from_xml(told[member.query_name], member.type, member.key_name)
        for member in members(shape)
        if member.query_name in told
    }
    return shape(**found)


def value_from_xml(told: object, type_: Type, key_name: str) -> object:
    match type_:
        case Structure(shape):
            return from_xml(cast("dict[str, Any]", told), shape)
        case ListOf(item):
            items = told if isinstance(told, list) else [told]
            return [value_from_xml(one, item, key_name) for one in items]
        case MapOf(item):
            return {
                entry[key_name] or "": value_from_xml(entry["Value"], item, key_name)
                for entry in cast("list[dict[str, Any]]", told)
            }
        case Scalar(kind):
            return FROM_TEXT[kind](cast("str", told))


FROM_TEXT: dict[str, Callable[[str], object]] = {
    "string": str,
    "integer": int,
    "boolean": "true".__eq__,
    "blob": base64.b64decode,
}
