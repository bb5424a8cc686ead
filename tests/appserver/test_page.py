"""The reference page says what the table of methods says."""

import importlib.util
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "protocol.py"


def test_the_page_is_made_from_the_table():
    spec = importlib.util.spec_from_file_location("protocol_page", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == module.PAGE.read_text(encoding="utf-8")
