"""The page about policies: its documents compile, and its tables have all actions and keys."""

from __future__ import annotations

import re

import pytest

from queueserver.access.authorizer import PERMISSIONS
from queueserver.policies import condition_keys
from queueserver.policies.actions import SHAREABLE_ACTIONS
from queueserver.policies.documents import PolicyKind
from queueserver.policies.policy import compile_policy
from tests.markdown import code_blocks, text_of

PAGE = text_of("docs/policies.md")


@pytest.mark.parametrize("document", code_blocks(PAGE, "json"))
def test_policy_of_the_page_compiles(document: str) -> None:
    policy = compile_policy(document, PolicyKind.QUEUE, "queue policy")
    assert not policy.warnings


def test_page_names_every_shareable_action() -> None:
    (sentence,) = re.findall(
        r"to other accounts, to services and to everyone:(.*?)\. All", PAGE, re.DOTALL
    )
    assert set(re.findall(r"[A-Z]\w+", sentence)) == SHAREABLE_ACTIONS


def test_table_of_permissions_names_calls_and_permissions_that_exist() -> None:
    section = PAGE.partition("## Permissions")[2].partition("## Language")[0]
    rows = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
    calls = {word for row in rows for word in re.findall(r"[A-Z][a-z]+(?:[A-Z]\w+)+", row)}
    known = {request.__name__ for request in PERMISSIONS}
    assert calls - {"RedrivePolicy"} <= known
    assert set(re.findall(r"`sqs:(\w+)`", section)) <= set(PERMISSIONS.values())


def test_table_lists_every_condition_key_that_a_request_has() -> None:
    listed = {
        key.lower() for key in re.findall(r"`aws:(\w+)(?:/KEY)?`", PAGE.partition("## Language")[2])
    }
    absent = {condition_keys._ABSENT, condition_keys._ABSENT_LIST}
    present = {name for name, key in condition_keys._GLOBAL_KEYS.items() if key not in absent}
    examples_of_absent = {"multifactorauthpresent", "sourcevpc"}
    assert listed - examples_of_absent == present | set(condition_keys._TAG_FAMILIES)
