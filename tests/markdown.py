"""Read the project's Markdown pages: their code, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)


def text_of(page: str) -> str:
    """Return the text of a page, named by its path from the root of the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    """Return the fenced code blocks that are marked with a language, without their indentation."""
    return [block for marked, block in marked_code_blocks(text) if marked == language]


def marked_code_blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the text of each fenced code block, without its indentation."""
    return [(marked, dedent(block)) for _, marked, block in _BLOCK.findall(text)]


def code_spans(text: str) -> list[str]:
    """Return the code between single backticks, outside of fenced code blocks."""
    return [" ".join(span.split()) for span in _SPAN.findall(_BLOCK.sub("", text))]


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line outside of fenced code blocks and code spans."""
    is_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            yield number, _SPAN.sub("", line)


def links(text: str) -> list[str]:
    """Return the targets of all links, outside of code."""
    return _LINK.findall(_SPAN.sub("", _BLOCK.sub("", text)))


def anchors(text: str) -> Iterator[str]:
    """Yield the anchors that GitHub makes of the headings.

    Two headings with the same text would need a counter: `tests/test_docs.py` rejects them.
    """
    for heading in _HEADING.findall(_BLOCK.sub("", text)):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
