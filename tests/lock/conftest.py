from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A session file's path in a folder of its own."""
    return tmp_path / "session"
