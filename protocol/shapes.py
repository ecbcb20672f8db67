"""Wire names and types of the structures in `protocol.actions`, derived from their fields.

Fields are declared in snake_case; the codecs, and the test that compares the structures with
AWS's service model, get names and types from `members`.
"""

from __future__ import annotations

import functools
from typing import Annotated, TypeAlias, cast

import msgspec
from msgspec import inspect

_WIRE_NAMES = {
    "aws_account_ids": "AWSAccountIds",
    "md5_of_body": "MD5OfBody",
    "md5_of_message_attributes": "MD5OfMessageAttributes",
    "md5_of_message_body": "MD5OfMessageBody",
    "md5_of_message_system_attributes": "MD5OfMessageSystemAttributes",
    "queue_owner_aws_account_id": "QueueOwnerAWSAccountId",
}
_QUERY_NAMES = {"Actions": "ActionName", "MessageSystemAttributeNames": "AttributeName"}
_MAP_KEYS = {"Tag": "Key"}


def wire_name(field: str) -> str:
    """Return the wire name of a field: `message_body` is `MessageBody`; a few have acronyms.

    `tags` and `queueUrls` are lower-case in one action each: those fields declare their name.
    """
    return _WIRE_NAMES.get(field) or "".join(word.capitalize() for word in field.split("_"))


class Shape(msgspec.Struct, rename=wire_name, omit_defaults=True, gc=False):
    """A structure on the wire. A member that is None is absent; unknown members are ignored.

    Shapes never contain themselves, so the garbage collector does not need to track them.
    """


QueueUrl = Annotated[str, msgspec.Meta(min_length=1)]
"""A queue URL; an empty string counts as absent."""

INTEGERS = range(-(2**63), 2**63)
"""The integers that a request may contain; the rules check the ranges of SQS."""

Integer = Annotated[int, msgspec.Meta(ge=INTEGERS.start, le=INTEGERS.stop - 1)]


class Scalar(msgspec.Struct, frozen=True):
    """A string, integer, boolean or blob; `filled` means that an empty string counts as absent."""

    kind: str
    filled: bool = False


class ListOf(msgspec.Struct, frozen=True):
    """A list; the Query protocol flattens it."""

    item: Type
    kind: str = "list"


class MapOf(msgspec.Struct, frozen=True):
    """A map with string keys; the Query protocol flattens it into a list of entries."""

    item: Type
    kind: str = "map"


class Structure(msgspec.Struct, frozen=True):
    """A structure, given by its class."""

    shape: type[msgspec.Struct]
    kind: str = "structure"


Type: TypeAlias = Scalar | ListOf | MapOf | Structure


class Member(msgspec.Struct, frozen=True):
    """A member of a structure.

    Attributes:
        field: the name of the Python field.
        wire_name: the name in JSON.
        query_name: the name in the Query protocol: singular for lists and maps.
        key_name: the name of a map's keys in the Query protocol.
        required: whether a request without the member is rejected.
        type: the type.
    """

    field: str
    wire_name: str
    query_name: str
    key_name: str
    required: bool
    type: Type


@functools.cache
def members(shape: type[msgspec.Struct]) -> tuple[Member, ...]:
    """Return the members of a structure in the order of declaration."""
    info = cast("inspect.StructType", inspect.type_info(shape))
    return tuple(_member(field) for field in info.fields)


def _member(field: inspect.Field) -> Member:
    kind = _type(field.type)
    name = _query_name(field.encode_name, kind)
    key = _MAP_KEYS.get(name, "Name")
    return Member(field.name, field.encode_name, name, key, field.required, kind)


def _query_name(name: str, kind: Type) -> str:
    """Return the Query name: that of the structure for a list of them, else without the final s."""
    match kind:
        case ListOf(Structure(shape)):
            return shape.__name__
        case ListOf() | MapOf():
            return _QUERY_NAMES.get(name) or name[0].upper() + name[1:].removesuffix("s")
        case _:
            return name


def _type(info: inspect.Type) -> Type:
    match info:
        case inspect.UnionType():
            [only] = [one for one in info.types if not isinstance(one, inspect.NoneType)]
            return _type(only)
        case inspect.StructType():
            return Structure(info.cls)
        case inspect.ListType():
            return ListOf(_type(info.item_type))
        case inspect.DictType():
            return MapOf(_type(info.value_type))
        case inspect.StrType():
            return Scalar("string", filled=bool(info.min_length))
        case _:
            return Scalar(_SCALARS[type(info)])


_SCALARS: dict[type[inspect.Type], str] = {
    inspect.IntType: "integer",
    inspect.BoolType: "boolean",
    inspect.BytesType: "blob",
}
