"""The examples of the page about access control work when they are pasted."""

from __future__ import annotations

import re

import pytest

from queueserver.access.modes import AccessMode
from queueserver.access.named_policies import MANAGED_POLICIES, SHORT_FORMS
from tests.access.user_files import SECRET, UserFiles
from tests.markdown import code_blocks, text_of

PAGE = text_of("docs/access.md")
EXAMPLES = code_blocks(PAGE, "toml")


def test_page_has_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_of_users_can_be_loaded(number: int, files: UserFiles) -> None:
    document = EXAMPLES[number].replace("/run/secrets/", "")
    for name in set(re.findall(r'secret_file = "([^"]+)"', document)):
        files.write(name, SECRET)
    (policy,) = code_blocks(PAGE, "json")
    for path in re.findall(r'policy_files = \["([^"]+)"', document):
        files.write(path, policy, 0o644)
    config = files.load(document)
    assert config.access is AccessMode.ON
    assert len(config.users) == len(re.findall(r"^\[users\.\w+\]$", document, re.MULTILINE))


def test_page_lists_every_named_policy_with_its_actions() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| `")]
    short_forms = {f"{verb}:QUEUE": actions for verb, actions in SHORT_FORMS.items()}
    for name, actions in (MANAGED_POLICIES | short_forms).items():
        (row,) = (row for row in rows if row.startswith(f"| `{name}` |"))
        shown = row.split("|")[2].strip()
        assert shown.startswith("all actions" if actions == ("*",) else ", ".join(actions))
