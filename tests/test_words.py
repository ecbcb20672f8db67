"""House rules on words: the terms of the field, and none of the pictures that once stood for them.

The rules read the names that the code defines, docstrings, comments, log texts, assertion messages,
ids of test cases, and the text of the Markdown pages. They do not read other strings: these hold
SQS's own error messages.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.markdown import PAGES, prose_lines
from tests.sources import (
    MODULES,
    ROOT,
    TESTS,
    Offences,
    Rule,
    offences,
    offences_of_file,
    relative_path,
    string_statements,
)

WORDS = {
    r"duty|duties|whose turn": "leader, leadership",
    r"employ\w*": "start, run, use",
    r"company": "notification handler",
    r"circles?": "deadlock, cycle",
    r"collid\w+|collisions?": "deadlock, write conflict",
    r"drain\w*": "batch, group commit; empty a queue",
    r"anew|again and again": "retry, repeatedly",
    r"news": "notification",
    r"hear|hears|heard|hearing": "receive, be notified",
    r"bury|buries|buried|burial": "move to the dead-letter queue",
    r"erase\w*|erasing": "delete, free",
    r"leftovers?": "dropped queue",
    r"lets? go|letting go": "release, unlock",
    r"whoever|whomever": "name the actor",
    r"somebody|anybody|nobody|everybody": "name the actor: client, server, receiver",
    r"of use": "useful",
    r"go on|goes on|going on|went on": "continue, resume",
    r"look around|looks around|looked around": "resync",
    r"to be had": "available",
    r"moments": "time floor, times",
    r"patien\w+|impatien\w+": "timeout, deadline",
    r"told|tells?|telling": "return, report, notify",
    r"turn away|turns away|turned away": "reject",
    r"in line": "waiting",
    # The text of ECONNREFUSED, and a server that does not start, are worded so in all manuals.
    r"(?<!connection )refus(?!e to\b|es to\b|ed to\b|es connections\b)\w+": "reject",
    r"forget\w*|forgot\w*": "delete, drop",
    r"touched": "dirty, changed",
    r"seal\w*": "sign, encode",
    r"hurry|hurried": "run soon",
}
"""Banned words, as regular expressions, and the words to use."""

NAMES_ONLY = {
    # In text, a transaction holds a lock: that is PostgreSQL's own word.
    r"held|hold|holds|holding": "lock, locked",
    # In text, a moment is a point in time.
    r"moment": "time, crash, restart",
}
"""Words that are banned in names only, because their use in text is the field's own."""

ALLOWED_NAMES = {"drain", "_drain_helper"}
"""Names that asyncio gives to the methods of its streams."""

_RIDDLE = re.compile(r"(?:^|[.:;] )(?:Who|What|Whoever|That which)\b[^.?]*(?:\.|$)")
_PARTS_OF_NAME = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
_COMMENT = re.compile(r"(?:^|\s)#(.*)")


def compile_words(words: dict[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """Return patterns that find the words in a text, each with the words to use."""
    return [
        (re.compile(rf"\b(?:{word})\b", re.IGNORECASE), instead) for word, instead in words.items()
    ]


_IN_TEXT = compile_words(WORDS)
_IN_NAMES = compile_words(WORDS | NAMES_ONLY)


def no_banned_word(path: str, tree: ast.Module, source: str) -> Offences:
    """Use the term of the field, which every engineer knows, and not a picture for it."""
    for line, name in defined_names(path, tree):
        if name not in ALLOWED_NAMES:
            words = " ".join(_PARTS_OF_NAME.findall(name))
            yield from banned_words(_IN_NAMES, f"{path}:{line} {name}", words)
    for line, text in texts(tree, source):
        yield from banned_words(_IN_TEXT, f"{path}:{line}", " ".join(text.split()))


def no_riddle(path: str, tree: ast.Module, source: str) -> Offences:
    """Begin a sentence with its subject, not with a clause such as `What is left`."""
    for line, text in texts(tree, source):
        yield from riddles(f"{path}:{line}", " ".join(text.split()))


def riddles(place: str, text: str) -> Iterator[str]:
    """Yield the place and the text of a sentence that begins with a clause as its subject."""
    if found := _RIDDLE.search(text):
        yield f"{place} {found[0].strip(' .:;')!r}"


def banned_words(words: list[tuple[re.Pattern[str], str]], place: str, text: str) -> Iterator[str]:
    """Yield the place of each banned word in a text, with the words to use."""
    for pattern, instead in words:
        if found := pattern.search(text):
            yield f"{place} has {found[0]!r}, write: {instead}"


def defined_names(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of the module and of everything that it defines."""
    yield 1, Path(path).stem
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def texts(tree: ast.Module, source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of everything in a module that is written for people."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for constant in string_statements(tree):
        yield constant.lineno, str(constant.value)
    for node in ast.walk(tree):
        for written in messages(node):
            for part in ast.walk(written):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def messages(node: ast.AST) -> list[ast.expr]:
    """Return the expressions of a node that are a log text, an assertion message or a test id."""
    match node:
        case ast.Assert(msg=ast.expr() as message):
            return [message]
        case ast.Call(func=ast.Attribute(attr=method), args=[text, *_]) if method in _LOG_METHODS:
            return [text]
        case ast.Call(keywords=keywords):
            return [keyword.value for keyword in keywords if keyword.arg in {"id", "ids"}]
    return []


RULES: tuple[Rule, ...] = (no_banned_word, no_riddle)
SCRIPTS = [path for path in sorted((ROOT / ".ci").iterdir()) if path.is_file()]
SCRIPTS += [ROOT / "Dockerfile", ROOT / "pyproject.toml"]


@pytest.mark.parametrize("module", [*MODULES, *TESTS], ids=relative_path)
def test_module_has_no_banned_words_and_no_riddles(module: Path) -> None:
    found = offences_of_file(RULES, module)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_page_has_no_banned_words_and_no_riddles(page: str) -> None:
    found = [
        offence
        for number, line in prose_lines((ROOT / page).read_text(encoding="utf-8"))
        for offence in (
            *banned_words(_IN_TEXT, f"{page}:{number}", line),
            *riddles(f"{page}:{number}", line),
        )
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("script", SCRIPTS, ids=relative_path)
def test_comments_of_a_script_have_no_banned_words(script: Path) -> None:
    found = [
        offence
        for number, line in enumerate(script.read_text(encoding="utf-8").splitlines(), 1)
        for comment in _COMMENT.findall(line)
        for offence in banned_words(_IN_TEXT, f"{relative_path(script)}:{number}", comment)
    ]
    assert not found, "\n".join(found)


OFFENDERS = [
    pytest.param("def hear(): ...", id="function"),
    pytest.param("class NewsDesk: ...", id="class"),
    pytest.param("def f(queue_told): ...", id="parameter"),
    pytest.param("is_refused = 1", id="variable"),
    pytest.param("self.held = 1", id="word that is banned in names only"),
    pytest.param("HTTPNews = 1", id="name that begins with an abbreviation"),
    pytest.param('"""Erase the queue."""', id="docstring"),
    pytest.param('x = 1\n"""The leftover."""', id="docstring of an attribute"),
    pytest.param("x = 1  # try anew", id="comment"),
    pytest.param('"""Try it again\nand again."""', id="words on two lines"),
    pytest.param("log.warning('%s goes on', name)", id="log text"),
    pytest.param("assert x, f'{x} was told'", id="assertion message"),
    pytest.param("pytest.param(1, id='is refused')", id="test id"),
]


@pytest.mark.parametrize("source", OFFENDERS)
def test_banned_word_is_found_and_the_reason_is_shown(source: str) -> None:
    (offence,) = offences((no_banned_word,), "storage/queues.py", source)
    assert offence.startswith("storage/queues.py:")
    assert offence.endswith(inspect.getdoc(no_banned_word) or "no reason")


def test_banned_word_in_the_name_of_a_module_is_found() -> None:
    assert offences((no_banned_word,), "storage/news.py", "")


RIDDLES = ['"""What is left."""', '"""Rows. What is damaged stays."""', "# Whoever waits is woken"]


@pytest.mark.parametrize("source", RIDDLES)
def test_riddle_is_found_and_the_reason_is_shown(source: str) -> None:
    (*_, offence) = offences((no_riddle,), "storage/queues.py", source)
    assert offence.startswith("storage/queues.py:1 ")
    assert offence.endswith(inspect.getdoc(no_riddle) or "no reason")


ALLOWED = [
    pytest.param("async def drain(self): ...", id="method of asyncio"),
    pytest.param("raise E('The request was refused.')", id="error message of SQS"),
    pytest.param("stream.tell()", id="name that the code does not define"),
    pytest.param("# The transaction holds the lock at that moment.", id="lock in text"),
    pytest.param("thresholds, holder_ids, tellers = 1, 2, 3", id="part of another word"),
    pytest.param('"""Connection refused: the server refuses to start."""', id="usual phrases"),
    pytest.param('"""What does a lock cost? See storage/locking.py."""', id="question"),
    pytest.param('"""Return what is left."""', id="what as an object"),
]


@pytest.mark.parametrize("source", ALLOWED)
def test_allowed_text_is_not_an_offence(source: str) -> None:
    assert offences(RULES, "storage/queues.py", source) == []


@pytest.mark.parametrize("pattern", WORDS | NAMES_ONLY)
def test_each_alternative_of_a_banned_word_is_found(pattern: str) -> None:
    without_lookarounds = re.sub(r"\(\?.*?\)(?=\\w|refus)", "", pattern)
    for example in without_lookarounds.replace(r"\w*", "").replace(r"\w+", "ed").split("|"):
        text = f"It is {example.replace('?', '')} now."
        assert list(banned_words(_IN_NAMES, "here", text)), text
