"""The house rules that no linter knows: who may import what, who may ask for what, how long.

Each rule reads a module's syntax tree and names what breaks it; its docstring is the reason that a
failure shows. Every rule is tried on an offender too, so that none can fall silent.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "storage", "queueserver")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAY_IMPORT = {
    "protocol": {"protocol", "msgspec", "xmltodict"},
    "storage": {"storage", "sqlalchemy", "aiosqlite", "asyncpg"},
    "queueserver": {"queueserver", "protocol", "storage", "aiohttp", "msgspec", "uvloop"},
}
HTTP_PLACES = ("queueserver/http/",)
DIALECT_PLACES = (
    "storage/postgresql/",
    "storage/sqlite/",
    "storage/database.py",  # chooses
    "storage/settings.py",  # timeouts and limits of each
    "storage/schema.py",  # DDL
    "storage/migrations.py",  # DDL
    "storage/sql/arrays.py",  # what the two write differently
)
DATABASES = ("sqlite", "postgres", "asyncpg", "psycopg")
DIALECT_WORDS = ("dialect", "is_shared")
ONE_DATABASE_ONLY = {"any_", "array", "bool_and", "generate_series", "json_each", "unnest"}
ONE_DATABASE_ONLY |= {"on_conflict_do_nothing", "on_conflict_do_update"}
LOCKING_PLACE = "storage/locking.py"
EARLY_IMPORTS: dict[str, set[str]] = {
    "queueserver/__init__.py": set(),
    "queueserver/__main__.py": {"sys", "queueserver.entry_point"},
    "queueserver/entry_point.py": set(sys.stdlib_module_names),
}
IO_MODULES = {"asyncio", "http", "io", "os", "pathlib", "selectors", "shutil", "socket", "sqlite3"}
IO_MODULES |= {"subprocess", "tempfile", "threading", "concurrent"}
TIME_QUESTIONS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
MEANINGLESS = {"util", "helper", "common", "base", "manager", "service"}
LONGEST_FUNCTION_LINES = 60
LONGEST_FILE_LINES = 500

Offences = Iterator[str]
Rule = Callable[[str, ast.Module, str], Offences]


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give every imported module with its line, wherever in the module it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Relative imports stay inside their package.
            yield node.lineno, node.module or "" if not node.level else "."


def dotted(node: ast.AST) -> str:
    """Spell `a.b.c`; what is not such a chain is empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """Give the constants that stand alone as a statement: what they say is no code."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def package_of(path: str) -> str:
    return path.partition("/")[0]


def no_foreign_imports(path: str, tree: ast.Module, _: str) -> Offences:
    """Three packages, three questions: what was said, is it allowed, what is true.

    protocol and storage know neither each other nor queueserver, so that each can be understood,
    tested and changed alone; libraries come in only where MAY_IMPORT lists them.
    """
    allowed = MAY_IMPORT[package_of(path)] | set(sys.stdlib_module_names)
    for line, name in imports(tree):
        if name != "." and name.partition(".")[0] not in allowed:
            yield f"{path}:{line} imports {name}"


def no_early_import(path: str, tree: ast.Module, _: str) -> Offences:
    """Importing `queueserver` as a library costs nothing and imports nothing.

    In the wheel, `storage` and `protocol` lie inside `queueserver`: before the entry point has
    installed their finder, these names are another project's, or nobody's.
    """
    if path not in EARLY_IMPORTS:
        return
    later = ast.FunctionDef | ast.AsyncFunctionDef
    at_once = ast.Module([node for node in tree.body if not isinstance(node, later)], [])
    for line, name in imports(at_once):
        if not {name, name.partition(".")[0]} & EARLY_IMPORTS[path]:
            yield f"{path}:{line} imports {name}"


def no_http_outside_its_module(path: str, tree: ast.Module, _: str) -> Offences:
    """aiohttp is how requests arrive, not what they mean: rules must work without a socket."""
    for line, name in imports(tree):
        if name.partition(".")[0] == "aiohttp" and not path.startswith(HTTP_PLACES):
            yield f"{path}:{line} imports {name}"


def no_input_or_output_in_protocol(path: str, tree: ast.Module, _: str) -> Offences:
    """The wire is pure: bytes in, values out, no files, no sockets, no async.

    Both codecs can so be examined with bytes alone.
    """
    if package_of(path) != "protocol":
        return
    for line, name in imports(tree):
        if name.partition(".")[0] in IO_MODULES:
            yield f"{path}:{line} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{path}:{node.lineno} is async"
        elif isinstance(node, ast.Call) and dotted(node.func) in {"open", "print", "input"}:
            yield f"{path}:{node.lineno} calls {dotted(node.func)}"


def no_environment_outside_cli(path: str, tree: ast.Module, _: str) -> Offences:
    """A Config is all that the server knows of its surroundings.

    Were argv or the environment read anywhere else, a setting would have two homes.
    """
    if path == "queueserver/cli.py":
        return
    hidden = {"os": {"environ", "environb", "getenv"}, "sys": {"argv", "orig_argv"}}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node.value) in hidden:
            if node.attr in hidden[dotted(node.value)]:
                yield f"{path}:{node.lineno} reads {dotted(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module in hidden:
            for name in node.names:
                if name.name in hidden[node.module]:
                    yield f"{path}:{node.lineno} reads {node.module}.{name.name}"


def stopwatches(tree: ast.Module) -> set[int]:
    """Find lines that import what tells how long something takes, and not when it was."""
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and [name.name for name in node.names] == ["perf_counter"]
    }


def no_time_outside_clock(path: str, tree: ast.Module, _: str) -> Offences:
    """Time is an argument: whoever asks what time it is cannot be tested without sleeping."""
    if path == "queueserver/clock.py":
        return
    for line, name in imports(tree):
        if name == "time" and line not in stopwatches(tree):
            yield f"{path}:{line} imports time"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node).endswith(TIME_QUESTIONS):
            yield f"{path}:{node.lineno} asks {dotted(node)}"


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give every identifier, attribute, keyword and text with its line, but for docstrings."""
    said = docstrings(tree)
    for node in ast.walk(tree):
        if node not in said:
            for _, value in ast.iter_fields(node):
                if isinstance(value, str):
                    yield getattr(node, "lineno", 0), value


def no_dialect_outside_its_module(path: str, tree: ast.Module, _: str) -> Offences:
    """One set of statements runs on both databases; what differs has a file of its own.

    Elsewhere, code asks for a named capability of the engine, and neither which database it is nor
    a flag that means it. A statement that only one database can execute comes from its engine.
    """
    if package_of(path) != "storage" or path.startswith(DIALECT_PLACES):
        return
    names = DATABASES if path.startswith("storage/sql/") else (*DATABASES, *DIALECT_WORDS)
    found = {
        line: word
        for line, word in words(tree)
        if any(name in word.lower() for name in names) or word in ONE_DATABASE_ONLY
    }
    for line, word in found.items():
        yield f"{path}:{line} mentions {word!r}"


def no_lock_outside_locking(path: str, tree: ast.Module, _: str) -> Offences:
    """All statements that lock rows are made by one module, which states the lock order.

    A lock that is taken elsewhere is out of that order sooner or later, and servers deadlock.
    """
    if package_of(path) != "storage" or path == LOCKING_PLACE:
        return
    for line, word in words(tree):
        if word == "with_for_update" or "for update" in word.lower():
            yield f"{path}:{line} locks by {word!r}"


def no_module_without_a_noun(path: str, tree: ast.Module, _: str) -> Offences:
    """One file per noun: a module named after nothing collects everything."""
    for word in Path(path).stem.lower().split("_"):
        if word.removesuffix("s") in MEANINGLESS:
            yield f"{path} is named {word!r}"


def no_long_function(path: str, tree: ast.Module, _: str) -> Offences:
    """A function is read in one look: 60 lines at most."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {lines} lines"


def no_long_file(path: str, tree: ast.Module, source: str) -> Offences:
    """A module is one noun: one that is longer than 500 lines holds two."""
    lines = len(source.splitlines())
    if lines > LONGEST_FILE_LINES:
        yield f"{path} has {lines} lines"


RULES: tuple[Rule, ...] = (
    no_foreign_imports,
    no_early_import,
    no_http_outside_its_module,
    no_input_or_output_in_protocol,
    no_environment_outside_cli,
    no_time_outside_clock,
    no_dialect_outside_its_module,
    no_lock_outside_locking,
    no_module_without_a_noun,
    no_long_function,
    no_long_file,
)
RULES_FOR_TESTS: tuple[Rule, ...] = (no_module_without_a_noun, no_long_function, no_long_file)


def broken(rules: tuple[Rule, ...], path: str, source: str) -> list[str]:
    """Say what breaks the rules in a module, each offence with the reason why it is one."""
    tree = ast.parse(source)
    return [
        f"{offence}. {inspect.getdoc(rule)}"
        for rule in rules
        for offence in rule(path, tree, source)
    ]


def test_there_are_modules_to_examine() -> None:
    assert {path.parent.name for path in MODULES} >= set(PACKAGES)
    assert Path(__file__).resolve() in TESTS


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_keeps_the_house_rules(module: Path) -> None:
    path = module.relative_to(ROOT).as_posix()
    offences = broken(RULES, path, module.read_text(encoding="utf-8"))
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("module", TESTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_test_keeps_the_house_rules(module: Path) -> None:
    path = module.relative_to(ROOT).as_posix()
    offences = broken(RULES_FOR_TESTS, path, module.read_text(encoding="utf-8"))
    assert not offences, "\n".join(offences)


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
    (no_http_outside_its_module, "queueserver/actions/queues.py", "from aiohttp import web"),
    (no_input_or_output_in_protocol, "protocol/wire.py", "import asyncio"),
    (no_input_or_output_in_protocol, "protocol/wire.py", "async def f(): ..."),
    (no_input_or_output_in_protocol, "protocol/wire.py", "open('x')"),
    (no_environment_outside_cli, "queueserver/config.py", "import os\nos.environ['X']"),
    (no_environment_outside_cli, "queueserver/config.py", "from os import getenv"),
    (no_environment_outside_cli, "storage/database.py", "import sys\nsys.argv[1:]"),
    (no_time_outside_clock, "storage/queues.py", "import time"),
    (no_time_outside_clock, "storage/queues.py", "from time import time_ns"),
    (no_time_outside_clock, "queueserver/actions/queues.py", "datetime.datetime.now()"),
    (no_time_outside_clock, "queueserver/actions/queues.py", "date.today()"),
    (no_dialect_outside_its_module, "storage/queues.py", "x = dialect.name == 'sqlite'"),
    (no_dialect_outside_its_module, "storage/queues.py", "f(postgresql_where=True)"),
    (no_dialect_outside_its_module, "storage/queues.py", "from sqlalchemy.dialects import sqlite"),
    (no_dialect_outside_its_module, "storage/queues.py", "import asyncpg"),
    (no_dialect_outside_its_module, "storage/queues.py", "if transaction.is_shared: ..."),
    (no_dialect_outside_its_module, "storage/queues.py", "if connection.dialect.name: ..."),
    (no_dialect_outside_its_module, "storage/messages/claim.py", "sa.func.bool_and(x)"),
    (no_dialect_outside_its_module, "storage/messages/send.py", "insert.on_conflict_do_nothing()"),
    (no_dialect_outside_its_module, "storage/sql/statement.py", "x = dialect.name == 'sqlite'"),
    (no_lock_outside_locking, "storage/queues.py", "select.with_for_update(read=True)"),
    (no_lock_outside_locking, "storage/messages/send.py", "sa.text('SELECT 1 FOR UPDATE')"),
    (no_module_without_a_noun, "storage/utils.py", ""),
    (no_module_without_a_noun, "queueserver/queue_manager.py", ""),
    (no_long_function, "storage/queues.py", "def f():\n" + "    f()\n" * 60),
    (no_long_file, "storage/queues.py", "f()\n" * 501),
]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [pytest.param(*row, id=f"{row[0].__name__}: {row[2][:40]!r} in {row[1]}") for row in OFFENDERS],
)
def test_an_offender_is_found_and_told_the_reason(rule: Rule, path: str, source: str) -> None:
    (offence,) = broken((rule,), path, source)
    assert offence.startswith(path)
    assert offence.endswith(inspect.getdoc(rule) or "no reason")


LAW_ABIDING = [
    (
        "protocol/wire.py",
        "import re\nimport msgspec\nfrom protocol import names\nfrom . import xml",
    ),
    ("storage/database.py", "import sqlalchemy\nimport asyncpg\nx = 'sqlite'"),
    ("storage/queues.py", '"""Works on SQLite and PostgreSQL."""\nimport sqlalchemy'),
    ("storage/messages/claim.py", "if capabilities.has_concurrent_writers: ..."),
    ("storage/postgresql/statements.py", "sa.func.bool_and(x)"),
    ("storage/sql/statement.py", "compiled(connection.dialect)"),
    ("storage/locking.py", "select.with_for_update()"),
    ("queueserver/http/routes.py", "from aiohttp import web\nfrom storage import queues"),
    ("queueserver/cli.py", "import os, sys\nos.environ\nsys.argv"),
    ("queueserver/entry_point.py", "def main():\n    from queueserver.cli import main"),
    ("queueserver/clock.py", "import time\ntime.time_ns()"),
    ("storage/sqlite/engine.py", "from time import perf_counter"),
    ("queueserver/actions/queues.py", "datetime.fromtimestamp(0, UTC)\nclock.now()"),
    ("storage/queues.py", "def f():\n" + "    f()\n" * 59 + "f()\n" * 440),
]


@pytest.mark.parametrize(("path", "source"), LAW_ABIDING)
def test_what_the_rules_allow_is_not_refused(path: str, source: str) -> None:
    assert broken(RULES, path, source) == []
