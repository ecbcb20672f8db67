"""A few crashes on each database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.crash.crashes import crash
from tests.encryption.load_encryption import encryption_on

CRASHES = 6
MIN_ACKNOWLEDGED = 200


@pytest.mark.parametrize("seed", [1])
def test_every_promise_is_kept_through_crashes(
    database_url: str, tmp_path: Path, seed: int
) -> None:
    report = asyncio.run(crash(database_url, tmp_path, CRASHES, seed))
    summary = "\n".join(report.lines())
    assert not report.findings, summary
    assert not report.failures, summary
    assert report.history.acknowledged_sends() > MIN_ACKNOWLEDGED, summary


def test_encrypted_messages_survive_crashes(database_url: str, tmp_path: Path) -> None:
    encryption = encryption_on(tmp_path)
    report = asyncio.run(crash(database_url, tmp_path, CRASHES // 3, seed=2, encryption=encryption))
    summary = "\n".join(report.lines())
    assert not report.findings, summary
    assert not report.failures, summary
    assert report.stored.encrypted > 0, summary
    assert report.stored.clear == 0, summary
