"""Fixtures for tests of access control."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.user_files import UserFiles


@pytest.fixture
def files(tmp_path: Path) -> UserFiles:
    """Return a folder for configuration files with users."""
    return UserFiles(tmp_path)
