"""XML of the Query protocol's results and errors.

A writer for each structure is built once from its members; it joins strings. Characters that XML
1.0 cannot represent, which only the quotation of a rejected value can contain, become U+FFFD.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from protocol.shapes import ListOf, MapOf, Scalar, Structure, Type, members

Writer: TypeAlias = Callable[[Any], str]

_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#xD;"}


def escape(text: str) -> str:
    """Escape a text; a carriage return is escaped because XML readers turn it into a line feed."""
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\ufffd"), text)


@functools.cache
def members_writer(shape: type[msgspec.Struct]) -> Writer:
    """Return a writer for the members of a structure, without an enclosing element."""
    writers = [
        (member.field, _writer(member.query_name, member.type, member.key_name))
        for member in members(shape)
    ]
    return lambda structure: "".join(
        write(value) for field, write in writers if (value := getattr(structure, field)) is not None
    )


def _writer(name: str, type_: Type, key_name: str) -> Writer:
    match type_:
        case ListOf(item):
            write_item = _writer(name, item, key_name)
            return lambda items: "".join(map(write_item, items))
        case MapOf(item):
            return _map_writer(name, key_name, _writer("Value", item, key_name))
        case Structure(shape):
            write_members = members_writer(shape)
            return lambda structure: f"<{name}>{write_members(structure)}</{name}>"
        case Scalar(kind):
            text = _TEXTS[kind]
            return lambda value: f"<{name}>{text(value)}</{name}>"


def _map_writer(name: str, key_name: str, write_value: Writer) -> Writer:
    return lambda entries: "".join(
        f"<{name}><{key_name}>{escape(key)}</{key_name}>{write_value(value)}</{name}>"
        for key, value in entries.items()
    )


_TEXTS: dict[str, Writer] = {
    "string": escape,
    "integer": str,
    "boolean": lambda value: "true" if value else "false",
    "blob": lambda value: base64.b64encode(value).decode(),
}
