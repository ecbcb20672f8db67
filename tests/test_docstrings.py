"""House rules on docstrings: they begin with an imperative verb and name the errors raised."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.sources import (
    MODULES,
    TESTS,
    Function,
    Offences,
    Rule,
    dotted_name,
    functions,
    offences,
    offences_of_file,
    relative_path,
)

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_VERBS = """
Accept Acquire Add Advance Allow Answer Append Apply Assert Authenticate Await Back Begin Bind Block
Build Call Cancel Change Check Checkpoint Choose Claim Clean Clear Close Collect Combine Commit
Compare Compile Complete Compute Configure Connect Convert Copy Count Crash Create Cut Decide Decode
Decorate Delay Delete Deliver Describe Detect Digest Disable Discard Disconnect Do Document Drop
Enable Encode Encrypt End Enforce Enter Escape Estimate Evaluate Exchange Exclude Execute Exit
Expire Fail Fetch Fill Find Finish Flatten Follow Forbid Format Free Generate Get Group Handle
Import Include Increment Insert Install Interrupt Invalidate Iterate Join Keep Kill Limit List
Listen Load Lock Log Look Make Map Mark Measure Merge Migrate Move Normalize Notify Open Order Parse
Partition Pass Pause Perform Pick Poll Post Prepare Prevent Print Probe Publish Purge Put Query
Queue Raise Read Rebuild Receive Recompute Reconnect Record Recover Redrive Refresh Register Reject
Release Remove Rename Renew Replace Replay Report Request Require Reserve Reset Resolve Restart
Restore Resume Resync Retry Return Reuse Revert Roll Run Save Scan Schedule Search Select Send
Serialize Serve Set Shuffle Shut Sign Simulate Skip Sleep Sort Split Start Stop Store Stream
Subtract Suspend Swap Synchronize Take Terminate Trim Truncate Try Undo Unlock Unquote Unwrap
Update Use Validate Verify Visit Wait Wake Walk Warn Watch Wrap Write Yield
"""
IMPERATIVE_VERBS = frozenset(_VERBS.split())
"""Plain verbs of technical English, which is all that a docstring may begin with.

Add a verb only if it states what the function does to its object. Vague ones are left out on
purpose: Give, Let, Be, Have, Say, Ask, Note, Word, Hold, See.
"""


def docstring_begins_with_a_verb(path: str, tree: ast.Module, _: str) -> Offences:
    """Begin the docstring of a function with an imperative verb of IMPERATIVE_VERBS.

    A reader then learns first what the function does. Properties are excepted: their docstrings
    describe a value, like those of attributes.
    """
    for function in functions(tree):
        text = ast.get_docstring(function)
        if text is None or is_property(function):
            continue
        word = text.split()[0].rstrip(",;:.") if text.strip() else ""
        if word not in IMPERATIVE_VERBS:
            yield f"{path}:{function.lineno} docstring of {function.name} begins with {word!r}"


def is_property(function: Function) -> bool:
    """Return whether a function is a property or a cached property."""
    names = {dotted_name(decorator) for decorator in function.decorator_list}
    return bool(names & {"property", "cached_property", "functools.cached_property"})


def public_function_documents_its_errors(path: str, tree: ast.Module, _: str) -> Offences:
    """Document under `Raises:` the errors that a public function raises.

    Re-raising with a bare `raise` and an AssertionError, which only a bug can raise, are excepted.
    """
    for function in public_functions(tree.body):
        errors = [name for node in own_nodes(function) if (name := raised_error(node))]
        if errors and "Raises:" not in (ast.get_docstring(function) or ""):
            yield f"{path}:{function.lineno} {function.name} raises {errors[0]}"


def public_functions(body: Iterable[ast.stmt]) -> Iterator[Function]:
    """Yield the public functions of a module, and the public methods of its public classes."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, FUNCTION) and not node.name.startswith("_"):
            yield node


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions and classes inside it."""
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if not isinstance(node, FUNCTION | ast.ClassDef | ast.Lambda):
            yield node
            nodes += ast.iter_child_nodes(node)


def raised_error(node: ast.AST) -> str | None:
    """Return the error that a `raise` statement documents, or None for any other node."""
    if not isinstance(node, ast.Raise) or node.exc is None:
        return None
    error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    name = ast.unparse(error)
    return None if name == "AssertionError" else name


def documented_attribute_exists(path: str, tree: ast.Module, _: str) -> Offences:
    """Document under `Attributes:` only attributes that the class has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        section = (ast.get_docstring(node) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
        names = re.findall(r"^    (\w+):", section, re.MULTILINE)
        for name in set(names) - attributes(node):
            yield f"{path}:{node.lineno} {node.name} has no attribute {name}"


def attributes(class_: ast.ClassDef) -> set[str]:
    """Return the names that a class, or one of its methods on `self`, defines."""
    names = {node.name for node in class_.body if isinstance(node, FUNCTION)}
    for node in ast.walk(class_):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(dotted_name(node).removeprefix("self."))
    return names


RULES: tuple[Rule, ...] = (
    docstring_begins_with_a_verb,
    public_function_documents_its_errors,
    documented_attribute_exists,
)
RULES_FOR_TESTS: tuple[Rule, ...] = (docstring_begins_with_a_verb,)


@pytest.mark.parametrize("module", MODULES, ids=relative_path)
def test_docstrings_of_a_module_follow_the_rules(module: Path) -> None:
    found = offences_of_file(RULES, module)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("module", TESTS, ids=relative_path)
def test_docstrings_of_a_test_module_follow_the_rules(module: Path) -> None:
    found = offences_of_file(RULES_FOR_TESTS, module)
    assert not found, "\n".join(found)


VERB, ERRORS = docstring_begins_with_a_verb, public_function_documents_its_errors
ATTRIBUTES = documented_attribute_exists
OFFENDERS = [
    pytest.param(VERB, 'def f():\n    """The sum."""', id="noun"),
    pytest.param(VERB, 'def f():\n    """Returns the sum."""', id="third person"),
    pytest.param(VERB, 'def f():\n    """Give the sum."""', id="verb that is not allowed"),
    pytest.param(VERB, 'async def f():\n    """What is left."""', id="coroutine"),
    pytest.param(VERB, 'class A:\n    def f(self):\n        """Its sum."""', id="method"),
    pytest.param(VERB, 'def f():\n    """   """', id="empty"),
    pytest.param(ERRORS, "def f():\n    raise ValueError('x')", id="no docstring"),
    pytest.param(ERRORS, 'def f():\n    """Return 1."""\n    raise ValueError', id="no section"),
    pytest.param(
        ERRORS,
        'class A:\n    async def f(self):\n        """Return 1."""\n        raise g(x) from None',
        id="error made by a function",
    ),
    pytest.param(
        ATTRIBUTES,
        'class A:\n    """One.\n\n    Attributes:\n        b: its size.\n    """\n\n    a: int',
        id="attribute that the class lacks",
    ),
]


@pytest.mark.parametrize(("rule", "source"), OFFENDERS)
def test_offender_is_found_and_the_reason_is_shown(rule: Rule, source: str) -> None:
    (offence,) = offences((rule,), "storage/queues.py", source)
    assert offence.startswith("storage/queues.py:")
    assert offence.endswith(inspect.getdoc(rule) or "no reason")


ALLOWED = [
    pytest.param('def f():\n    """Return the sum."""', id="verb"),
    pytest.param('def f():\n    """Begin, and end."""', id="verb and comma"),
    pytest.param("def f(): ...", id="no docstring"),
    pytest.param('class A:\n    """The sum."""', id="class"),
    pytest.param(
        'class A:\n    @property\n    def f(self):\n        """The sum."""', id="property"
    ),
    pytest.param("def _f():\n    raise ValueError", id="private function"),
    pytest.param("class _A:\n    def f(self):\n        raise ValueError", id="private class"),
    pytest.param("def f():\n    def g():\n        raise ValueError\n    return g", id="nested"),
    pytest.param("def f():\n    try: g()\n    except E:\n        raise", id="bare raise"),
    pytest.param("def f():\n    raise AssertionError('x')", id="AssertionError"),
    pytest.param(
        'def f():\n    """Return 1.\n\n    Raises:\n        E: Why.\n    """\n    raise E',
        id="Raises section",
    ),
    pytest.param(
        'class A:\n    """One.\n\n    Attributes:\n        a: one.\n        b: two.\n    """\n\n'
        "    a: int\n\n    def __init__(self):\n        self.b = 1",
        id="attributes that the class has",
    ),
]


@pytest.mark.parametrize("source", ALLOWED)
def test_allowed_docstring_is_not_an_offence(source: str) -> None:
    assert offences(RULES, "storage/queues.py", source) == []
