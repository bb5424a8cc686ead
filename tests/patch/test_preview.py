"""A patch that is still being written."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from octavo.patch.preview import PatchPreview

TEXT = """*** Begin Patch
*** Add File: n
+one
+two
*** Update File: a
*** Move to: b
@@ here
 x
-y
+z
*** Delete File: c
*** End Patch
"""


def test_the_diff_grows_with_the_text():
    preview = PatchPreview()
    assert preview.feed("*** Begin Patch\n*** Add Fi") == ()
    (file,) = preview.feed("le: n\n+one\n+tw")
    assert (file.kind, file.path, file.diff, file.complete) == ("add", "n", "+one\n", False)
    done, begun = preview.feed("o\n*** Update File: a\n*** Move to: b\n")
    assert (done.diff, done.complete) == ("+one\n+two\n", True)
    assert (begun.kind, begun.move_path, begun.lines) == ("update", "b", ())


@given(st.lists(st.integers(0, len(TEXT))))
def test_however_it_is_cut_the_end_is_the_same(cuts):
    whole = PatchPreview()
    whole.feed(TEXT)
    pieces = PatchPreview()
    edges = [0, *sorted(cuts), len(TEXT)]
    for start, stop in pairwise(edges):
        pieces.feed(TEXT[start:stop])
    assert pieces.files == whole.files
    assert [file.kind for file in whole.files] == ["add", "update", "delete"]
    assert whole.files[1].lines == ("@@ here", " x", "-y", "+z")
    assert all(file.complete for file in whole.files)


@given(st.text())
def test_nothing_makes_it_fail(text):
    preview = PatchPreview()
    preview.feed("*** Begin Patch\n" + text)
    preview.feed(text)
    assert preview.files is not None
