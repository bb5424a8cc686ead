import contextlib
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows import sids

A, B = "S-1-5-21-1-2-3-4", "S-1-5-21-1-2-3-5"


def test_a_new_sid_has_four_numbers_of_the_randomness():
    made = sids.new_sid(lambda size: bytes(range(size)))
    assert made == "S-1-5-21-50462976-117835012-185207048-252579084"
    assert sids.is_capability(made)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), st.none(), max_size=5))
def test_the_file_says_what_was_written(names):
    known = sids.fresh(os.urandom)
    for name in names:
        known, _ = sids.sid_for(known, name, os.urandom)
        known, _ = sids.sid_for(known, name, os.urandom, is_cwd=True)
    again, rewrite = sids.decode(sids.encode(known), "cap_sid", os.urandom)
    assert not rewrite
    assert again.all() == known.all()
    assert dict(again.writable_root_by_path) == dict(known.writable_root_by_path)


def test_a_root_keeps_its_sid_and_another_root_gets_another():
    known, one = sids.sid_for(sids.fresh(os.urandom), "c:/a", os.urandom)
    same, again = sids.sid_for(known, "c:/a", os.urandom)
    assert same is known
    assert again == one
    assert sids.sid_for(known, "c:/b", os.urandom)[1] != one


def test_a_usual_workspace_is_filed_under_its_plain_path_and_another_shape_is_not():
    assert sids.root_key("Z:\\tmp\\WS") == "z:/tmp/ws"
    other = sids.root_key("Z:\\tmp\\ws", [(".git", "read"), ("docs", "none")])
    assert re.fullmatch(r"z:/tmp/ws\|[0-9a-f]{16}", other)
    assert other == sids.root_key("z:\\TMP\\ws", [("DOCS", "none"), (".git", "read")])
    assert other != sids.root_key("Z:\\tmp\\ws", [(".git", "read"), ("docs", "read")])


def test_an_old_file_is_taken_over():
    known, rewrite = sids.decode(f" {A}\r\n".encode(), "cap_sid", os.urandom)
    assert known.workspace == A
    assert rewrite


GOOD = {"workspace": A, "readonly": B, "workspace_by_cwd": {}, "writable_root_by_path": {}}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"{\n\n", "cap_sid:3"),
        (b'{"workspace": "x", "workspace": "y"}', "there twice"),
        ({**GOOD, "readonly": "S-1-1-0"}, "readonly is 'S-1-1-0'"),
        ({"workspace": A}, "readonly is nothing"),
        ({**GOOD, "workspace": "S-1-5-21-1-2-3-4294967296"}, "workspace is"),
        ({**GOOD, "workspace_by_cwd": []}, "object of SIDs"),
        ({**GOOD, "writable_root_by_path": {"c:/a": 3}}, "writable_root_by_path.c:/a is 3"),
        ({**GOOD, "writable_root_by_path": {"c:/a": A}}, "more than one folder"),
    ],
)
def test_a_damaged_file_is_named_and_never_replaced(data, reason):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(ConfigError, match=re.escape(reason)) as caught:
        sids.decode(raw, "cap_sid", os.urandom)
    assert caught.value.file == "cap_sid"
    assert caught.value.hint


@given(st.binary(max_size=80))
def test_any_bytes_are_sids_or_one_clear_error(data):
    with contextlib.suppress(ConfigError):
        sids.decode(data, "cap_sid", os.urandom)
