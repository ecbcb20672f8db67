"""House rules on imports: who may import what, no cycles, and no room with too many modules.

A room is a folder inside a package. The root folder of a package is not a room.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.sources import (
    MODULES,
    Offences,
    Rule,
    check_offender,
    imports,
    offences,
    offences_of_file,
    package_of,
    relative_path,
)

MAY_IMPORT = {
    "protocol": {"protocol", "msgspec", "xmltodict"},
    "storage": {"storage", "sqlalchemy", "aiosqlite", "asyncpg", "cryptography"},
    "queueserver": {
        "queueserver",
        "protocol",
        "storage",
        "aiohttp",
        "httptools",
        "msgspec",
        "uvloop",
    },
}
HTTP_FOLDER = "queueserver/http/"
EARLY_IMPORTS: dict[str, set[str]] = {
    "queueserver/__init__.py": set(),
    "queueserver/__main__.py": {"sys", "queueserver.entry_point"},
    "queueserver/entry_point.py": set(sys.stdlib_module_names),
    # The entry point uses these before it installs the finder.
    "queueserver/line_writer.py": set(sys.stdlib_module_names),
    "queueserver/reload_signal.py": set(sys.stdlib_module_names),
    "queueserver/standard_streams.py": {*sys.stdlib_module_names, "queueserver.line_writer"},
    "queueserver/stop_signals.py": set(sys.stdlib_module_names),
}
MAXIMUM_MODULES_OF_A_ROOM = 17

Trees: TypeAlias = Mapping[str, ast.Module]
Graph: TypeAlias = Mapping[str, Mapping[str, str]]
"""For each node, the nodes that it imports, each with the `path:line` of one such import."""


def no_foreign_imports(path: str, tree: ast.Module, _: str) -> Offences:
    """Keep each package independent: what was said, is it allowed, what is true.

    protocol and storage import neither each other nor queueserver, so each can be understood,
    tested and changed alone. A package may import only the libraries in MAY_IMPORT.
    """
    allowed = MAY_IMPORT[package_of(path)] | set(sys.stdlib_module_names)
    for line, name in imports(tree):
        if name != "." and name.partition(".")[0] not in allowed:
            yield f"{path}:{line} imports {name}"


def no_early_import(path: str, tree: ast.Module, _: str) -> Offences:
    """Import nothing when `queueserver` is imported as a library.

    In the wheel, `storage` and `protocol` are inside `queueserver`. Before the entry point has
    installed their finder, these names belong to another project or to none.
    """
    if path not in EARLY_IMPORTS:
        return
    function = ast.FunctionDef | ast.AsyncFunctionDef
    at_import = ast.Module([node for node in tree.body if not isinstance(node, function)], [])
    for line, name in imports(at_import):
        if not {name, name.partition(".")[0]} & EARLY_IMPORTS[path]:
            yield f"{path}:{line} imports {name}"


def no_http_outside_its_folder(path: str, tree: ast.Module, _: str) -> Offences:
    """Import aiohttp only in queueserver/http: every other module must work without a socket."""
    for line, name in imports(tree):
        if name.partition(".")[0] == "aiohttp" and not path.startswith(HTTP_FOLDER):
            yield f"{path}:{line} imports {name}"


RULES: tuple[Rule, ...] = (no_foreign_imports, no_early_import, no_http_outside_its_folder)


@pytest.mark.parametrize("module", MODULES, ids=relative_path)
def test_module_imports_only_what_its_package_may(module: Path) -> None:
    found = offences_of_file(RULES, module)
    assert not found, "\n".join(found)


OFFENDERS = [
    (no_foreign_imports, "protocol/wire.py", "import storage.queues"),
    (no_foreign_imports, "protocol/wire.py", "from queueserver import limits"),
    (no_foreign_imports, "protocol/wire.py", "def f():\n    import aiohttp.web"),
    (no_foreign_imports, "protocol/wire.py", "import sqlalchemy"),
    (no_foreign_imports, "storage/queues.py", "from protocol.errors import SQSError"),
    (no_foreign_imports, "storage/queues.py", "import queueserver"),
    (no_foreign_imports, "queueserver/actions/queues.py", "from sqlalchemy import select"),
    (no_foreign_imports, "queueserver/actions/queues.py", "import boto3"),
    (no_early_import, "queueserver/__init__.py", "from queueserver import limits"),
    (no_early_import, "queueserver/__init__.py", "if True:\n    import sys"),
    (no_early_import, "queueserver/__main__.py", "from queueserver.cli import main"),
    (no_early_import, "queueserver/entry_point.py", "import storage.database"),
    (no_http_outside_its_folder, "queueserver/actions/queues.py", "from aiohttp import web"),
]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [pytest.param(*row, id=f"{row[0].__name__}: {row[2][:40]!r} in {row[1]}") for row in OFFENDERS],
)
def test_offender_is_found_and_the_reason_is_shown(rule: Rule, path: str, source: str) -> None:
    check_offender(rule, path, source)


ALLOWED = [
    (
        "protocol/wire.py",
        "import re\nimport msgspec\nfrom protocol import names\nfrom . import xml",
    ),
    ("storage/database.py", "import sqlalchemy\nimport asyncpg"),
    ("queueserver/http/routes.py", "from aiohttp import web\nfrom storage import queues"),
    ("queueserver/entry_point.py", "def main():\n    from queueserver.cli import main"),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_allowed_import_is_not_an_offence(path: str, source: str) -> None:
    assert offences(RULES, path, source) == []


# Cycles and rooms


def import_graph(trees: Trees) -> dict[str, dict[str, str]]:
    """Return the imports between modules, which are named by their paths."""
    graph: dict[str, dict[str, str]] = {path: {} for path in trees}
    for path, tree in trees.items():
        for line, name in imported_names(tree):
            imported = f"{name.replace('.', '/')}.py"
            if imported in trees and imported != path:
                graph[path].setdefault(imported, f"{path}:{line}")
    return graph


def imported_names(tree: ast.Module) -> Iterable[tuple[int, str]]:
    """Yield the line and the name of everything that is imported, which may be a module."""
    yield from imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def room_of(path: str) -> str | None:
    """Return the folder of a module, or None in the root folder of a package."""
    folder = path.rpartition("/")[0]
    return folder if "/" in folder else None


def room_graph(graph: Graph) -> dict[str, dict[str, str]]:
    """Return the imports between rooms."""
    rooms: dict[str, dict[str, str]] = {}
    for path, imported in graph.items():
        room = room_of(path)
        for other_path, place in imported.items():
            other = room_of(other_path)
            if room and other and room != other:
                rooms.setdefault(room, {}).setdefault(other, place)
    return rooms


def import_cycle(graph: Graph) -> list[str]:
    """Return one cycle of a graph as `path:line imports node`, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # The error lists each node before the node that imports it.
        cycle = list(reversed(error.args[1]))
        return [f"{graph[node][imported]} imports {imported}" for node, imported in pairwise(cycle)]
    return []


def modules_of_rooms(paths: Iterable[str]) -> Counter[str]:
    """Return the number of modules in each room, without `__init__.py`."""
    rooms = [room_of(path) for path in paths if not path.endswith("/__init__.py")]
    return Counter(room for room in rooms if room)


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Return the imports between the modules of the three packages."""
    return import_graph(
        {relative_path(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    )


def test_modules_do_not_import_each_other_in_a_cycle(graph: Graph) -> None:
    assert sum(len(imported) for imported in graph.values()) > 100
    assert import_cycle(graph) == []


def test_rooms_do_not_import_each_other_in_a_cycle(graph: Graph) -> None:
    assert len(room_graph(graph)) > 3
    assert import_cycle(room_graph(graph)) == []


def test_no_room_has_too_many_modules(graph: Graph) -> None:
    counts = modules_of_rooms(graph)
    assert counts["storage/messages"] > 1
    assert {room: n for room, n in counts.items() if n > MAXIMUM_MODULES_OF_A_ROOM} == {}


MODULE_CYCLES = [
    pytest.param({"a": "import storage.b", "b": "import storage.a"}, id="two modules"),
    pytest.param(
        {"a": "from storage import b", "b": "from storage import c", "c": "import storage.a"},
        id="three modules",
    ),
    pytest.param(
        {"a": "def f():\n    from storage.b import x", "b": "from storage.a import y"},
        id="import inside a function",
    ),
]


@pytest.mark.parametrize("sources", MODULE_CYCLES)
def test_cycle_of_modules_is_found(sources: dict[str, str]) -> None:
    trees = {f"storage/{name}.py": ast.parse(source) for name, source in sources.items()}
    cycle = import_cycle(import_graph(trees))
    assert len(cycle) == len(sources)
    assert any(offence.startswith("storage/a.py:") for offence in cycle)
    for offence in cycle:
        place, _, imported = offence.partition(" imports ")
        assert imported in import_graph(trees)[place.partition(":")[0]]


def test_cycle_of_rooms_is_found_where_no_modules_form_one() -> None:
    graph = import_graph(
        {
            "storage/sql/a.py": ast.parse("import storage.sqlite.a"),
            "storage/sqlite/a.py": ast.parse("import storage.clock"),
            "storage/sqlite/b.py": ast.parse("import storage.sql.b"),
            "storage/sql/b.py": ast.parse(""),
            "storage/clock.py": ast.parse(""),
        }
    )
    assert import_cycle(graph) == []
    assert sorted(import_cycle(room_graph(graph))) == [
        "storage/sql/a.py:1 imports storage/sqlite",
        "storage/sqlite/b.py:1 imports storage/sql",
    ]


def test_root_folder_of_a_package_is_not_a_room() -> None:
    paths = ["storage/a.py", "storage/sql/a.py", "storage/sql/b.py", "storage/sql/__init__.py"]
    assert modules_of_rooms(paths) == {"storage/sql": 2}
