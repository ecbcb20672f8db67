"""XML of the Query protocol's results and errors, in UTF-8.

A writer for each structure is built once from its members; it joins bytes. Characters that XML
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

Writer: TypeAlias = Callable[[Any], bytes]

_FORBIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_FORBIDDEN_CHARACTER = re.compile(f"[{_FORBIDDEN}]")
_SPECIAL_CHARACTER = re.compile(f'[&<>"\r{_FORBIDDEN}]')


def escape(text: str) -> bytes:
    """Escape a text; a carriage return is escaped because XML readers turn it into a line feed.

    Each replacement is one pass in C. A function for each match would take 0.2 s per megabyte.
    """
    if _SPECIAL_CHARACTER.search(text) is None:
        return text.encode()
    text = _FORBIDDEN_CHARACTER.sub("\ufffd", text)
    escaped = text.encode().replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")
    return escaped.replace(b'"', b"&quot;").replace(b"\r", b"&#xD;")


@functools.cache
def members_writer(shape: type[msgspec.Struct]) -> Writer:
    """Return a writer for the members of a structure, without an enclosing element."""
    writers = [
        (member.field, _writer(member.query_name, member.type, member.key_name))
        for member in members(shape)
    ]
    return lambda structure: b"".join(
        [
            write(value)
            for field, write in writers
            if (value := getattr(structure, field)) is not None
        ]
    )


def _writer(name: str, type_: Type, key_name: str) -> Writer:
    match type_:
        case ListOf(item):
            write_item = _writer(name, item, key_name)
            return lambda items: b"".join(map(write_item, items))
        case MapOf(item):
            return _map_writer(name, key_name, _writer("Value", item, key_name))
        case Structure(shape):
            return element_writer(name, members_writer(shape))
        case Scalar(kind):
            return element_writer(name, _TEXTS[kind])


def element_writer(name: str, write_content: Writer) -> Writer:
    """Return a writer for an element of this name around some content."""
    opening, closing = f"<{name}>".encode(), f"</{name}>".encode()
    return lambda value: opening + write_content(value) + closing


def _map_writer(name: str, key_name: str, write_value: Writer) -> Writer:
    write_key = element_writer(key_name, escape)
    write_entry = element_writer(name, lambda entry: write_key(entry[0]) + write_value(entry[1]))
    return lambda entries: b"".join(map(write_entry, entries.items()))


_TEXTS: dict[str, Writer] = {
    "string": escape,
    "integer": lambda value: b"%d" % value,
    "boolean": lambda value: b"true" if value else b"false",
    "blob": base64.b64encode,
}
