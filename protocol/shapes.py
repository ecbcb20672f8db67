"""How the table's structures look on the wire: names, kinds, and what must be there.

`protocol.actions` declares fields in snake_case; both codecs, and the test that compares the table
with AWS's model, read names and kinds from here. Refuses to know any action.
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
    """Name a field as SQS does: `message_body` is `MessageBody`, but for a few that keep capitals.

    Two members are lower-case in one action only and name themselves there: `tags`, `queueUrls`.
    """
    return _WIRE_NAMES.get(field) or "".join(word.capitalize() for word in field.split("_"))


class Shape(msgspec.Struct, rename=wire_name, omit_defaults=True, gc=False):
    """A structure of the wire. A member that is None is absent; unknown members are ignored.

    Shapes never contain themselves, so the garbage collector need not follow them.
    """


QueueUrl = Annotated[str, msgspec.Meta(min_length=1)]
"""A queue URL, in which nothing between the quotes is as good as no member at all."""

INTEGERS = range(-(2**63), 2**63)
"""What a number may be. SQS's ranges are rules; this keeps digits by the thousand from them."""

Integer = Annotated[int, msgspec.Meta(ge=INTEGERS.start, le=INTEGERS.stop - 1)]


class Scalar(msgspec.Struct, frozen=True):
    """A string, integer, boolean or blob; `filled` says that an empty text counts as absent."""

    kind: str
    filled: bool = False


class ListOf(msgspec.Struct, frozen=True):
    """A list; Query flattens it."""

    item: Type
    kind: str = "list"


class MapOf(msgspec.Struct, frozen=True):
    """A map from strings; Query flattens it into a list of entries."""

    item: Type
    kind: str = "map"


class Structure(msgspec.Struct, frozen=True):
    """A structure, by its class."""

    shape: type[msgspec.Struct]
    kind: str = "structure"


Type: TypeAlias = Scalar | ListOf | MapOf | Structure


class Member(msgspec.Struct, frozen=True):
    """A member of a structure, by every name it has.

    `query_name` is the Query protocol's, singular for lists and maps, which are flattened there;
    `key_name` is what a map's keys are called in it.
    """

    field: str
    wire_name: str
    query_name: str
    key_name: str
    required: bool
    type: Type


@functools.cache
def members(shape: type[msgspec.Struct]) -> tuple[Member, ...]:
    """Give a structure's members in the order of their declaration."""
    info = cast("inspect.StructType", inspect.type_info(shape))
    return tuple(_member(field) for field in info.fields)


def _member(field: inspect.Field) -> Member:
    kind = _type(field.type)
    name = _query_name(field.encode_name, kind)
    key = _MAP_KEYS.get(name, "Name")
    return Member(field.name, field.encode_name, name, key, field.required, kind)


def _query_name(name: str, kind: Type) -> str:
    """Name a member for Query: a list of structures takes theirs, the rest loses its final s."""
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
