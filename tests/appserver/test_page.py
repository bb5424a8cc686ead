"""The reference page says what the table of methods says."""

import importlib.util
import re
from pathlib import Path

from octavo.appserver.schema import as_text, bundle, files
from octavo.appserver.typescript import write_types

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOOL = ROOT / "tools" / "protocol.py"


def test_the_page_is_made_from_the_table():
    spec = importlib.util.spec_from_file_location("protocol_page", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == module.PAGE.read_text(encoding="utf-8")


def test_the_schema_that_is_checked_in_is_the_one_that_is_made():
    assert as_text(bundle()) == (DOCS / "app-server.schema.json").read_text(encoding="utf-8")


def test_clients_find_the_types_of_a_method_by_its_name():
    made = files()
    for name in (
        "ThreadGoalSetParams",
        "TurnStartParams",
        "ThreadResumeParams",
        "ThreadForkParams",
    ):
        assert made[f"v2/{name}.json"]["title"] == name
    assert "serviceTier" in made["v2/TurnStartParams.json"]["properties"]


def test_every_type_becomes_typescript(tmp_path):
    write_types(str(tmp_path))
    index = (tmp_path / "index.ts").read_text()
    for file in (tmp_path / "v2").iterdir():
        text = file.read_text()
        assert f"export type {file.stem} =" in text
        for name in re.findall(r'from "\./(\w+)"', text):
            assert (tmp_path / "v2" / f"{name}.ts").exists()
        assert f"{{ {file.stem} }}" in index
    assert '"turn/start": StartedTurnResponse;' in (tmp_path / "ClientRequest.ts").read_text()
