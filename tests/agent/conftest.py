"""A gateway's stores for every test of the agent, closed when it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from box import Box


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    one = Box(tmp_path / "home")
    yield one
    one.close()
