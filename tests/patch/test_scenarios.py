"""The public scenarios of the format, run where they are; see docs/apply-patch.md for 015."""

from pathlib import Path

import pytest

from octavo.patch.parse import parse
from octavo.patch.plan import plan
from octavo.patch.refusal import PatchRefused
from octavo.tools.disk import Resolver, read_file, work_of
from octavo.tools.write_files import write_files

HERE = Path(__file__).resolve().parents[2].parent / "shared" / "conformance" / "apply_patch"
SCENARIOS = sorted(path.parent for path in HERE.glob("*/patch.txt"))
FAILING = ("005_", "006_", "007_", "008_", "009_", "012_", "013_", "015_")
ALL_OR_NOTHING = "015_failure_after_partial_success_leaves_changes"


def test_the_scenarios_are_there():
    if not HERE.exists():
        pytest.skip("the folder with the public scenarios is not beside the repository")
    assert len(SCENARIOS) >= 25


def tree(root):
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_scenario(scenario, tmp_path):
    for name, data in (tree(scenario / "input") if (scenario / "input").is_dir() else {}).items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(exist_ok=True) if data is None else place.write_bytes(data)
    before = tree(tmp_path)
    failed = False
    try:
        text = (scenario / "patch.txt").read_text()
        write_files(work_of(plan(parse(text), read_file, resolve=Resolver(str(tmp_path))).files))
    except PatchRefused:
        failed = True
    assert failed == scenario.name.startswith(FAILING)
    expected = before if scenario.name == ALL_OR_NOTHING else tree(scenario / "expected")
    assert tree(tmp_path) == expected
