"""Overlays: what a path comes to, what keeping brings, what is a conflict, what undo takes back."""

import os
import stat
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import SandboxUnavailable
from octavo.protocol.ids import ThreadId
from octavo.store import overlay as overlays
from octavo.store.checkpoints import Checkpoints
from octavo.store.errors import StoreError
from octavo.store.keep import KeepConflict, keep, planned
from octavo.store.overlay import Layers, Overlay, begin, drop, find, mounted_below
from octavo.store.undo import Undo

THREAD = ThreadId("0195d1a0-0000-7000-8000-000000000001")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="overlays are Linux's")

# ---- what a path comes to -------------------------------------------------------------------


def layers(**kinds):
    """A finder on a disk that is a table: path -> kind, `link TARGET`, `opaque` for folders."""
    table = {path.replace("__", "/"): kind for path, kind in kinds.items()}

    def kind(path):
        return {"opaque": "folder"}.get(found := table.get(path, "missing"), found.split(" ")[0])

    return Layers(
        "/w", "/u", kind=kind, opaque=lambda path: table.get(path) == "opaque",
        target=lambda path: table[path].split(" ")[1],
    )  # fmt: skip


def test_the_upper_layer_is_looked_at_first():
    found = layers(__w__a="file", __w__b="file", __u__b="file")
    assert found("/w/a") == ("/w/a", "/w/a")
    assert found("/w/b") == ("/w/b", "/u/b")
    assert found("/other") == ("/other", "/other")


def test_what_was_removed_is_nowhere_and_so_is_all_below_it():
    found = layers(__w__a="folder", __w__a__x="file", __u__a="gone")
    assert found("/w/a") == ("/w/a", None)
    assert found("/w/a/x") == ("/w/a/x", None)


def test_a_folder_made_anew_hides_what_was_in_it():
    found = layers(__w__a="folder", __w__a__x="file", __u__a="opaque", __u__a__y="file")
    assert found("/w/a/x")[1] is None
    assert found("/w/a/y")[1] == "/u/a/y"


def test_a_folder_in_both_layers_shows_both():
    found = layers(__w__a="folder", __w__a__x="file", __u__a="folder", __u__a__y="file")
    assert found("/w/a/x")[1] == "/w/a/x"
    assert found("/w/a/y")[1] == "/u/a/y"


def test_a_file_in_place_of_a_folder_has_nothing_below_it():
    found = layers(__w__a="folder", __w__a__x="file", __u__a="file")
    assert found("/w/a/x")[1] != "/w/a/x"


def test_links_lead_through_both_layers_and_out():
    found = layers(
        __u__l="link b/../b/x", __w__b="folder", __w__b__x="file", __u__out="link /etc/passwd",
        __u__up="link ../secret",
    )  # fmt: skip
    assert found("/w/l") == ("/w/b/x", "/w/b/x")
    assert found("/w/out") == ("/etc/passwd", "/etc/passwd")
    assert found("/w/up") == ("/secret", "/secret")


def test_a_circle_of_links_ends():
    with pytest.raises(OSError, match="symbolic links"):
        layers(__u__a="link b", __w__b="link a")("/w/a")


NAMES = st.sampled_from(["/w", "/u", "/w/a", "/w/a/b", "/u/a", "/u/a/b", "/w/c", "/u/c"])
KINDS = st.sampled_from(["file", "folder", "opaque", "gone", "link c", "link /w/a", "link ../x"])


@given(st.dictionaries(NAMES, KINDS), st.sampled_from(["/w/a/b", "/w/c", "/w/a/../c", "/w/c/a/b"]))
def test_whatever_the_layers_hold_a_file_is_found_in_one_of_them_or_nowhere(table, path):
    found = layers(**{name.replace("/", "__"): kind for name, kind in table.items()})
    try:
        view, host = found(path)
    except OSError:
        return
    assert ".." not in view.split("/")
    rest = view[len("/w") :]
    inside = view == "/w" or view.startswith("/w/")
    assert host in ((None, "/w" + rest, "/u" + rest) if inside else (None, view))


def test_a_mount_inside_the_folder_is_named():
    line = "36 35 98:0 / {} rw - ext4 /dev/x rw\n"
    text = line.format("/") + line.format("/work") + line.format("/work/my\\040disk")
    assert mounted_below("/work", text) == "/work/my disk"
    assert mounted_below("/wor", text) == ""


# ---- keeping --------------------------------------------------------------------------------


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    (folder / "src").mkdir(parents=True)
    (folder / "kept").write_text("before\n")
    (folder / "gone").write_text("bye\n")
    (folder / "src" / "old").write_text("old\n")
    return folder


@pytest.fixture
def made(tmp_path, work):
    """An overlay with a changed file, a new one, a removed one and a folder made anew."""
    if sys.platform != "linux":
        pytest.skip("overlays are Linux's")
    (tmp_path / "home").mkdir()
    try:
        found = begin(str(tmp_path / "home"), THREAD, str(work), mounts="")
    except SandboxUnavailable as wrong:
        pytest.skip(str(wrong))
    upper = tmp_path / "home" / "overlays" / THREAD / "upper"
    (upper / "kept").write_text("after\n")
    (upper / "tool").write_text("#!\n")
    (upper / "tool").chmod(0o755)
    (upper / "src").mkdir()
    os.setxattr(upper / "src", overlays.OPAQUE, b"y")
    (upper / "src" / "new").symlink_to("../kept")
    whiteout(upper / "gone")
    return found


def whiteout(path):
    """Both forms mean the same; anybody may make the second."""
    path.write_bytes(b"")
    os.setxattr(path, overlays.WHITEOUT, b"y")


def states(work):
    return Checkpoints(str(work.parent / "home"), now_ns=time.time_ns)


def tree(work):
    return states(work).state(str(work)).snapshot.tree


def test_keeping_brings_everything_and_undo_takes_it_back(made, work):
    before = tree(work)
    kept = keep(states(work), made, turn="t")
    assert kept.changes == (
        ("-", "gone"),
        ("~", "kept"),
        ("-", "src/old"),
        ("+", "tool"),
        ("+", "src/new"),
    )
    assert (work / "kept").read_text() == "after\n"
    assert not (work / "gone").exists()
    assert os.listdir(work / "src") == ["new"]
    assert os.readlink(work / "src" / "new") == "../kept"
    assert stat.S_IMODE((work / "tool").stat().st_mode) == 0o755
    assert find(str(work.parent / "home"), THREAD) is None
    undo = Undo(states(work), new_id=lambda: "u")
    with undo.undoing(THREAD) as plan:
        undo.carry_out(plan)
    assert tree(work) == before


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("kept", lambda p: p.write_text("mine\n")),
        ("gone", lambda p: p.write_text("mine\n")),
        ("src/old", lambda p: p.write_text("mine\n")),
        ("src/mine", lambda p: p.write_text("mine\n")),
        ("tool", lambda p: p.mkdir()),
    ],
)
def test_what_both_sides_changed_stops_everything_until_forced(made, work, path, change):
    change(work / path)
    before = tree(work)
    with pytest.raises(KeepConflict) as refused:
        keep(states(work), made, turn="t")
    assert refused.value.paths == (path,)
    assert "--force" in refused.value.hint
    assert tree(work) == before
    assert find(str(work.parent / "home"), THREAD) == made
    keep(states(work), made, turn="t", force=True)
    assert (work / "kept").read_text() == "after\n"
    assert os.listdir(work / "src") == ["new"]


def test_what_somebody_changed_elsewhere_stays(made, work):
    (work / "mine").write_text("mine\n")
    keep(states(work), made, turn="t")
    assert (work / "mine").read_text() == "mine\n"


def test_the_same_change_on_both_sides_is_no_conflict(made, work):
    mode = stat.S_IMODE(os.lstat(os.path.join(made.upper, "kept")).st_mode)
    (work / "kept").write_text("after\n")
    (work / "kept").chmod(mode)
    (work / "gone").unlink()
    assert planned(made).conflicts == ()


def test_a_link_in_the_folder_is_never_followed(made, work, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (work / "src" / "old").unlink()
    (work / "src").rmdir()
    (work / "src").symlink_to(tmp_path / "elsewhere")
    keep(states(work), made, turn="t", force=True)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert os.listdir(work / "src") == ["new"]


def test_a_failure_in_the_middle_is_taken_back_and_the_overlay_stays(made, work, monkeypatch):
    before = tree(work)
    (work.parent / "home" / "overlays" / THREAD / "upper" / "zz").write_text("x")
    usual = os.symlink

    def full(*args, **more):
        raise OSError(28, "No space left on device", "src/new")

    monkeypatch.setattr(os, "symlink", full)
    with pytest.raises(StoreError, match="No space left"):
        keep(states(work), made, turn="t")
    monkeypatch.setattr(os, "symlink", usual)
    assert tree(work) == before
    assert find(str(work.parent / "home"), THREAD) == made


def test_keeping_waits_for_no_turn(made, work):
    with states(work).root_gate(str(work), alone=False), pytest.raises(StoreError, match="running"):
        keep(states(work), made, turn="t")


def test_dropping_leaves_nothing_even_of_folders_nobody_may_read(made, work, tmp_path):
    closed = tmp_path / "home" / "overlays" / THREAD / "work" / "work"
    closed.mkdir(mode=0)
    drop(made)
    assert os.listdir(tmp_path / "home" / "overlays") == []
    assert (work / "kept").read_text() == "before\n"


@LINUX
def test_an_overlay_of_another_folder_is_refused(made, work, tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(SandboxUnavailable, match="already") as refused:
        begin(str(tmp_path / "home"), THREAD, str(tmp_path / "other"), mounts="")
    assert "octavo keep" in refused.value.hint
    assert begin(str(tmp_path / "home"), THREAD, str(work), mounts="") == made


@LINUX
def test_a_damaged_record_is_named(made, tmp_path):
    path = tmp_path / "home" / "overlays" / THREAD / "overlay.json"
    path.write_text("{")
    with pytest.raises(StoreError, match=r"overlay\.json"):
        find(str(tmp_path / "home"), THREAD)


def test_another_system_refuses(monkeypatch, tmp_path):
    monkeypatch.setattr(overlays, "LINUX", False)
    with pytest.raises(SandboxUnavailable, match="only Linux"):
        begin(str(tmp_path), THREAD, "/work")


def test_a_record_reads_as_it_was_written():
    one = Overlay(thread=THREAD, root=b"/w\xff", began_ns=1, folder=b"/h")
    assert os.fsencode(one.workspace) == b"/w\xff"
