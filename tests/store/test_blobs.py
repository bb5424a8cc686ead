import os

import pytest

from octavo.store.blobs import Blobs
from octavo.store.errors import StoreError


def test_the_same_data_is_kept_once(tmp_path):
    blobs = Blobs(str(tmp_path / "blobs"))
    one, two = blobs.put(b"data"), blobs.put(b"data")
    assert one == two
    assert blobs.get(one.digest) == b"data"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize("digest", ["", "../../../etc/passwd", "f" * 64, "F" * 64])
def test_what_is_not_there_is_none(tmp_path, digest):
    assert Blobs(str(tmp_path)).get(digest) is None


def test_what_was_used_longest_ago_goes_first(tmp_path):
    blobs = Blobs(str(tmp_path), cap_bytes=10)
    old, used = blobs.put(b"aaaa"), blobs.put(b"bbbb")
    for age, blob in enumerate((old, used), 1):
        os.utime(tmp_path / blob.digest[:2] / blob.digest[2:], (age, age))
    new = blobs.put(b"cccc")
    assert blobs.get(old.digest) is None
    assert blobs.get(used.digest) == b"bbbb"
    assert blobs.get(new.digest) == b"cccc"
    with pytest.raises(StoreError, match="larger than the store may grow"):
        blobs.put(b"x" * 11)


def test_a_blob_that_was_changed_is_none(tmp_path):
    blobs = Blobs(str(tmp_path))
    blob = blobs.put(b"data")
    (tmp_path / blob.digest[:2] / blob.digest[2:]).write_bytes(b"other")
    assert blobs.get(blob.digest) is None


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Blobs(str(tmp_path / "file")).put(b"x")
