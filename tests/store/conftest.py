import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from store_room import Room


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path / "home")
