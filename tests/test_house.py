"""House rules that no linter knows: purity, time, settings, SQL dialects, locks and lengths.

tests/test_imports.py has the rules on imports, tests/test_docstrings.py those on docstrings, and
tests/test_words.py the words that must not come back. Each rule is tried on offenders too, so it
cannot fall silent.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import (
    MODULES,
    PACKAGES,
    TESTS,
    Offences,
    Rule,
    check_offender,
    dotted_name,
    functions,
    imports,
    offences,
    offences_of_file,
    package_of,
    relative_path,
    string_statements,
)

DIALECT_MODULES = (
    "storage/postgresql/",
    "storage/sqlite/",
    "storage/database.py",  # chooses the engine
    "storage/maintenance.py",  # chooses the transactions of a command
    "storage/settings.py",  # timeouts and limits of each database
    "storage/schema.py",  # DDL
    "storage/migrations.py",  # DDL
    "storage/sql/arrays.py",  # arrays, which the two databases write differently
)
DATABASES = ("sqlite", "postgres", "asyncpg", "psycopg")
DIALECT_WORDS = ("dialect", "is_shared")
ONE_DATABASE_ONLY = {"any_", "array", "bool_and", "generate_series", "json_each", "unnest"}
ONE_DATABASE_ONLY |= {"on_conflict_do_nothing", "on_conflict_do_update"}
LOCKING_MODULE = "storage/locking.py"
IO_MODULES = {"asyncio", "http", "io", "os", "pathlib", "selectors", "shutil", "socket", "sqlite3"}
IO_MODULES |= {"subprocess", "tempfile", "threading", "concurrent"}
CURRENT_TIME_CALLS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")
MEANINGLESS = {"util", "helper", "common", "base", "manager", "service"}
LONGEST_FUNCTION_LINES = 60
LONGEST_FILE_LINES = 500


def no_input_or_output_in_protocol(path: str, tree: ast.Module, _: str) -> Offences:
    """Keep protocol pure: no files, no sockets, no async.

    It turns bytes into values and values into bytes, so tests of it need nothing but bytes.
    """
    if package_of(path) != "protocol":
        return
    for line, name in imports(tree):
        if name.partition(".")[0] in IO_MODULES:
            yield f"{path}:{line} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{path}:{node.lineno} is async"
        elif isinstance(node, ast.Call) and dotted_name(node.func) in {"open", "print", "input"}:
            yield f"{path}:{node.lineno} calls {dotted_name(node.func)}"


def no_environment_outside_cli(path: str, tree: ast.Module, _: str) -> Offences:
    """Read argv and the environment only in queueserver/cli.py.

    All other code gets its settings from a Config, so each setting is defined in one place.
    """
    if path == "queueserver/cli.py":
        return
    forbidden = {"os": {"environ", "environb", "getenv"}, "sys": {"argv", "orig_argv"}}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted_name(node.value) in forbidden:
            if node.attr in forbidden[dotted_name(node.value)]:
                yield f"{path}:{node.lineno} reads {dotted_name(node)}"
        elif isinstance(node, ast.ImportFrom) and node.module in forbidden:
            for name in node.names:
                if name.name in forbidden[node.module]:
                    yield f"{path}:{node.lineno} reads {node.module}.{name.name}"


def perf_counter_imports(tree: ast.Module) -> set[int]:
    """Return the lines that import `perf_counter` alone: it measures durations, not the time."""
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and [name.name for name in node.names] == ["perf_counter"]
    }


def no_time_outside_clock(path: str, tree: ast.Module, _: str) -> Offences:
    """Read the time only from a clock argument: then tests move the clock and do not sleep."""
    if path == "queueserver/clock.py":
        return
    for line, name in imports(tree):
        if name == "time" and line not in perf_counter_imports(tree):
            yield f"{path}:{line} imports time"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted_name(node).endswith(CURRENT_TIME_CALLS):
            yield f"{path}:{node.lineno} calls {dotted_name(node)}"


def names_and_strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every identifier, keyword and string except docstrings."""
    excluded = set(string_statements(tree))
    for node in ast.walk(tree):
        if node not in excluded:
            for _, value in ast.iter_fields(node):
                if isinstance(value, str):
                    yield getattr(node, "lineno", 0), value


def no_dialect_outside_its_module(path: str, tree: ast.Module, _: str) -> Offences:
    """Keep differences between SQLite and PostgreSQL in the modules of each database.

    Other code asks for a named capability of the engine, not for the kind of the database. A
    statement that only one database can execute comes from its engine.
    """
    if package_of(path) != "storage" or path.startswith(DIALECT_MODULES):
        return
    names = DATABASES if path.startswith("storage/sql/") else (*DATABASES, *DIALECT_WORDS)
    found = {
        line: word
        for line, word in names_and_strings(tree)
        if any(name in word.lower() for name in names) or word in ONE_DATABASE_ONLY
    }
    for line, word in found.items():
        yield f"{path}:{line} mentions {word!r}"


def no_lock_outside_locking(path: str, tree: ast.Module, _: str) -> Offences:
    """Lock rows only in storage/locking.py, which defines the lock order.

    A lock that another module takes may break that order, and then servers deadlock.
    """
    if package_of(path) != "storage" or path == LOCKING_MODULE:
        return
    for line, word in names_and_strings(tree):
        if word == "with_for_update" or "for update" in word.lower():
            yield f"{path}:{line} locks by {word!r}"


def no_meaningless_module_name(path: str, tree: ast.Module, _: str) -> Offences:
    """Call a module by its subject: a module such as `utils` collects unrelated code."""
    for word in Path(path).stem.lower().split("_"):
        if word.removesuffix("s") in MEANINGLESS:
            yield f"{path} is named {word!r}"


def no_long_function(path: str, tree: ast.Module, _: str) -> Offences:
    """Keep a function short enough to read on one screen: 60 lines at most."""
    for node in functions(tree):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > LONGEST_FUNCTION_LINES:
            yield f"{path}:{node.lineno} {node.name} has {lines} lines"


def no_long_file(path: str, tree: ast.Module, source: str) -> Offences:
    """Keep a module to one subject: one of more than 500 lines has at least two."""
    lines = len(source.splitlines())
    if lines > LONGEST_FILE_LINES:
        yield f"{path} has {lines} lines"


RULES: tuple[Rule, ...] = (
    no_input_or_output_in_protocol,
    no_environment_outside_cli,
    no_time_outside_clock,
    no_dialect_outside_its_module,
    no_lock_outside_locking,
    no_meaningless_module_name,
    no_long_function,
    no_long_file,
)
RULES_FOR_TESTS: tuple[Rule, ...] = (no_meaningless_module_name, no_long_function, no_long_file)


def test_sources_include_all_packages_and_tests() -> None:
    assert {path.parent.name for path in MODULES} >= set(PACKAGES)
    assert Path(__file__).resolve() in TESTS


@pytest.mark.parametrize("module", MODULES, ids=relative_path)
def test_module_follows_the_house_rules(module: Path) -> None:
    found = offences_of_file(RULES, module)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("module", TESTS, ids=relative_path)
def test_test_module_follows_the_house_rules(module: Path) -> None:
    found = offences_of_file(RULES_FOR_TESTS, module)
    assert not found, "\n".join(found)


OFFENDERS = [
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
    (no_meaningless_module_name, "storage/utils.py", ""),
    (no_meaningless_module_name, "queueserver/queue_manager.py", ""),
    (no_long_function, "storage/queues.py", "def f():\n" + "    f()\n" * 60),
    (no_long_file, "storage/queues.py", "f()\n" * 501),
]


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [pytest.param(*row, id=f"{row[0].__name__}: {row[2][:40]!r} in {row[1]}") for row in OFFENDERS],
)
def test_offender_is_found_and_the_reason_is_shown(rule: Rule, path: str, source: str) -> None:
    check_offender(rule, path, source)


ALLOWED = [
    ("protocol/wire.py", "import re\nimport msgspec\nfrom . import xml"),
    ("storage/database.py", "import asyncpg\nx = 'sqlite'"),
    ("storage/queues.py", '"""Works on SQLite and PostgreSQL."""\nimport sqlalchemy'),
    ("storage/messages/claim.py", "if capabilities.has_concurrent_writers: ..."),
    ("storage/postgresql/statements.py", "sa.func.bool_and(x)"),
    ("storage/sql/statement.py", "compiled(connection.dialect)"),
    ("storage/locking.py", "select.with_for_update()"),
    ("queueserver/cli.py", "import os, sys\nos.environ\nsys.argv"),
    ("queueserver/clock.py", "import time\ntime.time_ns()"),
    ("storage/sqlite/engine.py", "from time import perf_counter"),
    ("queueserver/actions/queues.py", "datetime.fromtimestamp(0, UTC)\nclock.now()"),
    ("storage/queues.py", "def f():\n" + "    f()\n" * 59 + "f()\n" * 440),
]


@pytest.mark.parametrize(("path", "source"), ALLOWED)
def test_allowed_code_is_not_an_offence(path: str, source: str) -> None:
    assert offences(RULES, path, source) == []
