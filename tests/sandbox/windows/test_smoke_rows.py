import re
from collections import Counter

import pytest

from octavo.sandbox.windows.smoke_rows import ROWS

NAMES = {"ws", "out", "more", "home", "temp", "python", "port", "share"}


def test_every_row_has_a_number_of_its_own():
    assert Counter(row.number for row in ROWS).most_common(1)[0][1] == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_a_row_can_fail(row):
    if row.expected == "denied":
        assert row.written or row.unchanged or not row.control, "nothing on the disk would tell"
    words = [*row.command, *row.roots, *row.gone, *(path for path, _ in row.before)]
    for name in re.findall(r"(?<![$\w])\{(\w+)\}", " ".join(words)):
        assert name in NAMES


def test_the_references_table_is_there():
    numbers = {row.number for row in ROWS}
    assert {str(at) for at in range(1, 42)} <= numbers


def test_the_holes_that_were_closed_are_tried():
    assert len([row for row in ROWS if row.number.startswith("o5")]) == 4
