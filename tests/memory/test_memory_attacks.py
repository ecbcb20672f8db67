"""Attacks on the memory of a server: it stays below a limit, whatever clients send."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.memory.attacks import ATTACKS, MIB, Attack, measure


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_memory_of_a_server_stays_below_its_limit_under_attack(
    attack: Attack, tmp_path: Path
) -> None:
    growth = measure(attack, tmp_path)
    assert growth.bytes < attack.most_mib * MIB, growth
