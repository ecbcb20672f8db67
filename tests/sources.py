"""The project's source files and their syntax trees, for the tests that enforce house rules.

A rule is a function that reads one module and yields its offences as `path:line what is wrong`.
Its docstring is the reason, which a failing test shows next to each offence.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "storage", "queueserver")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def relative_path(path: Path) -> str:
    """Return the path of a file from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


Offences: TypeAlias = Iterator[str]
Rule: TypeAlias = Callable[[str, ast.Module, str], Offences]
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def package_of(path: str) -> str:
    """Return the top-level folder of a path."""
    return path.partition("/")[0]


def offences(rules: tuple[Rule, ...], path: str, source: str) -> list[str]:
    """Return what breaks the rules in a module, each offence with the reason of the rule."""
    tree = ast.parse(source)
    return [
        f"{offence}. {inspect.getdoc(rule)}"
        for rule in rules
        for offence in rule(path, tree, source)
    ]


def offences_of_file(rules: tuple[Rule, ...], path: Path) -> list[str]:
    """Return what breaks the rules in a file, each offence with the reason of the rule."""
    return offences(rules, relative_path(path), path.read_text(encoding="utf-8"))


def check_offender(rule: Rule, path: str, source: str) -> None:
    """Assert that a rule finds the one offence in a module, and shows its reason."""
    (offence,) = offences((rule,), path, source)
    assert offence.startswith(path)
    assert offence.endswith(inspect.getdoc(rule) or "no reason")


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of every imported module, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Relative imports stay inside their package.
            yield node.lineno, node.module or "" if not node.level else "."


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method, also nested ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def dotted_name(node: ast.AST) -> str:
    """Return the text of a chain such as `a.b.c`, or an empty string for any other node."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return ""


def string_statements(tree: ast.AST) -> list[ast.Constant]:
    """Return the strings that are statements: docstrings, also those of attributes."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
