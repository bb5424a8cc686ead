"""Looking for folders that everybody may write, where commands come by."""

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

from octavo.sandbox.windows.paths import fold


def test_folders_are_judged_by_their_lists(tmp_path):
    from octavo.sandbox.win32 import disk, own, scan

    top = disk.canonical(str(tmp_path))
    os.mkdir(top + "\\sub")
    nobody = scan.world_writable(top, {}, ["S-1-5-21-1-2-3-4"])
    assert nobody.open == ()
    mine = scan.world_writable(top, {"PATH": top + "\\missing"}, [own.user_sid()])
    found = [fold(path) for path in mine.open]
    assert fold(top) in found
    assert fold(top + "\\sub") in found
    assert mine.unreadable >= 1
