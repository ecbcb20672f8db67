"""Every link in the README and in docs leads somewhere, and every command and flag exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from tests.markdown import PAGES, ROOT, anchors, code_blocks, code_spans, links, text_of

INDEX = "docs/README.md"
README_LINES_AT_MOST = 200

_FLAG = re.compile(r"--[a-z][a-z-]*")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")

FOREIGN_FLAGS = {
    "curl": "--cacert",
    "docker": "--tag --publish --volume --env --read-only --tmpfs --cap-drop --security-opt --file "
    "--signal",
    "aws": "--endpoint-url --profile",
    "fallocate": "--length",
    "pip": "--quiet --editable",
    "psql": "--dbname --command",
    "pip-audit": "--requirement --require-hashes --disable-pip",
}
"""The flags of other projects' programs that the pages use: a flag that is missing is a typo."""

EVERY_PAGE = pytest.mark.parametrize("page", PAGES)


# Links


def broken_links(page: str, text: str) -> Iterator[str]:
    """Yield the relative links that lead to no file, or to no heading of a page."""
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        if not target.is_relative_to(ROOT) or not target.exists():
            yield f"{page}: {link}: there is no such file"
        elif anchor and anchor not in anchors(text if not name else target.read_text()):
            yield f"{page}: {link}: there is no such heading"


@EVERY_PAGE
def test_relative_links_lead_to_files_and_headings(page: str) -> None:
    text = text_of(page)
    assert links(text)
    assert list(broken_links(page, text)) == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        pytest.param("nothing.md", "there is no such file", id="file"),
        pytest.param("docs/nothing.md#settings", "there is no such file", id="file and heading"),
        pytest.param("docs/settings.md#nothing", "there is no such heading", id="heading"),
        pytest.param("#nothing", "there is no such heading", id="heading of the page itself"),
        pytest.param("../README.md", "there is no such file", id="outside of the repository"),
    ],
)
def test_broken_link_is_found(link: str, problem: str) -> None:
    page = f"# Start\n\n[x]({link}), [y](LICENSE), [z](#start), [w](https://example.com/)"
    assert list(broken_links("README.md", page)) == [f"README.md: {link}: {problem}"]


@EVERY_PAGE
def test_headings_of_a_page_differ(page: str) -> None:
    found = list(anchors(text_of(page)))
    assert len(found) == len(set(found))


def test_index_links_to_every_page() -> None:
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert pages - set(links(text_of(INDEX))) == {"README.md"}


def test_readme_links_to_every_page() -> None:
    assert {page for page in PAGES if page not in ("README.md", INDEX)} <= set(
        links(text_of("README.md"))
    )


def test_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= README_LINES_AT_MOST


# Commands


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in the shell's blocks and in code spans.

    The path `.venv/bin/` and assignments of variables before a command are left out.
    """
    lines = [line for block in code_blocks(text, "sh") for line in block.splitlines()]
    for line in [*lines, *code_spans(text)]:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a code span need not be a command
            continue
        for command in _split(words):
            while command and _ASSIGNMENT.match(command[0]):
                del command[0]
            if command:
                yield [command[0].removeprefix(".venv/bin/"), *command[1:]]


def _split(words: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if set(word) <= set("&|;"):
            yield command
            command = []
        else:
            command.append(word)
    yield command


@cache
def help_of(*command: str) -> str:
    """Return what `python -m ... --help` prints, or nothing if there is no such program."""
    ended = subprocess.run(
        [sys.executable, "-m", *command, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if ended.returncode else ended.stdout


def flags_of(command: Sequence[str]) -> set[str] | None:
    """Return the flags that a command has, or None if there is no such command."""
    program, *rest = command
    if program == "queueserver":
        is_bare = not rest or rest[0].startswith("-")
        subcommand = [] if is_bare else rest[:1]
        shown = help_of("queueserver", *subcommand)
        usage = " ".join(["usage: queueserver", *subcommand])
        return set(_FLAG.findall(shown)) if shown.startswith(f"{usage} [") else None
    if program == "python" and rest[:1] == ["-m"] and rest[1:]:
        if not rest[1].startswith("tests."):
            return set() if rest[1] == "pytest" else None
        shown = help_of(rest[1])
        return set(_FLAG.findall(shown)) if shown else None
    if program in FOREIGN_FLAGS:
        return set(FOREIGN_FLAGS[program].split())
    return None


def is_ours(command: Sequence[str]) -> bool:
    """Return whether a command must exist: it is the server or a module of the tests."""
    return command[0] == "queueserver" or (
        command[0] == "python" and " ".join(command[1:3]).startswith("-m tests.")
    )


def wrong_commands(text: str) -> Iterator[str]:
    """Yield the commands that do not exist, and flags that their commands do not have.

    A flag that stands alone must be one of the server's, or of a command on the same page.
    """
    alone: set[str] = set()
    known = set(flags_of(["queueserver"]) or ())
    for command in commands(text):
        given = {found[0] for word in command if (found := _FLAG.match(word))}
        if command[0].startswith("--"):
            alone |= given
            continue
        flags = flags_of(command) if given or is_ours(command) else set()
        if flags is None:
            yield f"there is no command {' '.join(command)!r}"
            continue
        known |= flags
        for flag in sorted(given - flags):
            yield f"{' '.join(command)!r} has no flag {flag}"
    for flag in sorted(alone - known):
        yield f"no command on the page has a flag {flag}"


@EVERY_PAGE
def test_commands_and_flags_exist(page: str) -> None:
    assert list(wrong_commands(text_of(page))) == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("queueserver restore", "there is no command 'queueserver restore'"),
        ("queueserver --prot 80", "'queueserver --prot 80' has no flag --prot"),
        ("queueserver check --port 80", "'queueserver check --port 80' has no flag --port"),
        ("A=b .venv/bin/queueserver x", "there is no command 'queueserver x'"),
        ("python -m tests.nothing", "there is no command 'python -m tests.nothing'"),
        (
            "python -m tests.crash --crash 2",
            "'python -m tests.crash --crash 2' has no flag --crash",
        ),
        ("x && docker run --no-root y", "'docker run --no-root y' has no flag --no-root"),
        ("unknown --flag", "there is no command 'unknown --flag'"),
        ("--crashes", "no command on the page has a flag --crashes"),
    ],
)
def test_wrong_command_is_found(code: str, problem: str) -> None:
    assert list(wrong_commands(f"Run `{code}` now.")) == [problem]
    if not code.startswith("--"):
        assert list(wrong_commands(f"Run:\n\n```sh\n{code}\n```\n")) == [problem]


def test_commands_are_found_in_blocks_and_spans() -> None:
    text = "`--port` of `queueserver`\n\n```sh\nA=1 python -m tests.crash --crashes 2 && ls\n```\n"
    assert list(commands(text)) == [
        ["python", "-m", "tests.crash", "--crashes", "2"],
        ["ls"],
        ["--port"],
        ["queueserver"],
    ]


@EVERY_PAGE
def test_paths_in_commands_exist(page: str) -> None:
    named = {word for command in commands(text_of(page)) for word in command}
    named = {word for word in named if re.match(r"(tests|locks|\.ci)/", word)}
    assert not [path for path in named if not (ROOT / path).exists()]
