import itertools
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.protocol.errors import UsageError
from octavo.store import apply as hands
from octavo.store.checkpoints import After, Before, Checkpoints, RootTree
from octavo.store.errors import StoreError
from octavo.store.pending import PendingUndo, read_pending
from octavo.store.snapshot import Limits
from octavo.store.undo import Conflict, Undo, thread_changes

THREAD = "0195d1a0-0000-7000-8000-000000000001"
NUMBERS = itertools.count(1)


class Place:
    """A folder with an agent that works in it, and the store that remembers."""

    def __init__(self, top: Path, limits: Limits | None = None) -> None:
        self.root = top / "work"
        self.root.mkdir(parents=True)
        self.store = Checkpoints(str(top / "home"), now_ns=time.time_ns, limits=limits)
        self.undo = Undo(self.store, new_id=lambda: f"n{next(NUMBERS)}")

    def state(self):
        with self.store.shared():
            return self.store.state(str(self.root))

    def roots(self):
        return (RootTree(path=os.fsencode(self.root), tree=self.state().tree),)

    def turn(self, work) -> str:
        """A turn that does this work."""
        name = f"t{next(NUMBERS)}"
        now = time.time_ns() // 1_000_000
        self.store.note(THREAD, Before(turn=name, roots=self.roots(), at_ms=now))
        work()
        self.store.note(THREAD, After(turn=name, roots=self.roots(), at_ms=now))
        return name

    def take_back(self, count=1, *, force=False):
        with self.undo.undoing(THREAD, count) as plan:
            self.undo.carry_out(plan, force=force)
            return plan

    def redo(self, *, force=False):
        with self.undo.redoing(THREAD) as plan:
            self.undo.carry_out(plan, force=force)
            return plan


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def seen(root: Path) -> dict[bytes, tuple]:
    """Everything under a folder, from an independent look: kind, mode, content."""
    found: dict[bytes, tuple] = {}
    waiting = [os.fsencode(root)]
    while waiting:
        folder = waiting.pop()
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            state = os.lstat(path)
            key = os.path.relpath(path, os.fsencode(root))
            mode = stat.S_IMODE(state.st_mode)
            if stat.S_ISLNK(state.st_mode):
                found[key] = ("link", os.readlink(path))
            elif stat.S_ISDIR(state.st_mode):
                found[key] = ("folder", mode)
                waiting.append(path)
            else:
                found[key] = ("file", mode, Path(os.fsdecode(path)).read_bytes())
    return found


# ---- random trees ---------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "ü", "ein Name", "\udcff", ".env", "x\ny", ".git", ".Git"])
ROOT = getattr(os, "geteuid", lambda: 1)() == 0
"""Modes that shut out their own user can be tried by root alone: nobody else could look again."""
MODES = st.sampled_from([0o644, 0o600, 0o755, 0o400, *([0o000] if ROOT else [])])
FOLDER_MODES = st.sampled_from([0o755, 0o700, *([0o555] if ROOT else [])])
PATHS = st.lists(NAMES, min_size=1, max_size=4)
FILES = st.tuples(st.just("file"), PATHS, st.binary(max_size=6), MODES)
LINKS = st.tuples(
    st.just("link"), PATHS, st.sampled_from([b"a", b"../..", b"/etc", b"nowhere"]), st.none()
)
FOLDERS = st.tuples(st.just("folder"), PATHS, st.none(), FOLDER_MODES)
GONE = st.tuples(st.just("gone"), PATHS, st.none(), st.none())
WORK = st.lists(FILES | LINKS | FOLDERS | GONE, max_size=12)


def guarded(steps: list[str]) -> bool:
    """Whether a path is in a repository's own folder, where nobody in these tests works."""
    return any(step.casefold() == ".git" for step in steps)


def do(root: Path, work, *, git=False) -> None:
    """Make the tree so, whatever is in the way."""
    for kind, steps, value, mode in work:
        if guarded(steps) and not git:
            continue
        path = root.joinpath(*steps)
        for folder in reversed([p for p in path.parents if p != root and root in p.parents]):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                folder.unlink()
            folder.mkdir(exist_ok=True)
        if guarded([s for f in [path, *path.parents] for s in inside(f)]) and not git:
            continue
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir() and kind != "folder":
            shutil.rmtree(path)
        match kind:
            case "file":
                path.write_bytes(value)
                path.chmod(mode)
            case "link":
                os.symlink(value, os.fsencode(path))
            case "folder":
                path.mkdir(exist_ok=True)
                path.chmod(mode)


def inside(path: Path) -> list[str]:
    """The names in a folder, if it is one."""
    return os.listdir(path) if path.is_dir() and not path.is_symlink() else []


def relaxed(top: Path) -> None:
    """So that the folder can be removed."""
    for folder, _, _ in os.walk(top):
        os.chmod(folder, 0o700)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return lambda: tmp_path_factory.mktemp("place")


@given(first=WORK, second=WORK, third=WORK)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_undo_brings_back_contents_modes_and_links_and_redo_takes_that_back(
    many, first, second, third
):
    place = Place(many())
    do(place.root, first)
    zero = seen(place.root)
    place.turn(lambda: do(place.root, second))
    one = seen(place.root)
    place.turn(lambda: do(place.root, third))
    two = seen(place.root)
    turns = len(place.store.history(THREAD).done)
    assert turns == (zero != one) + (one != two)
    if turns:
        place.take_back(turns)
        assert seen(place.root) == zero
        place.redo()
        assert seen(place.root) == two
    if one != two:
        place.take_back()
        assert seen(place.root) == one
        place.redo()
        assert seen(place.root) == two
    relaxed(place.root)


def hashed(folder: Path):
    """A folder with everything about it that a write would change."""
    found = {}
    for top, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            state = os.lstat(os.path.join(top, name))
            content = Path(top, name).read_bytes() if name in files else b""
            found[os.path.join(top, name)] = (
                state.st_mtime_ns,
                state.st_ino,
                state.st_mode,
                content,
            )
    return found


GIT = dict(os.environ, GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull)


def repository(folder: Path) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "kept").write_text("kept\n")
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(folder)]
    subprocess.run(["git", "init", "-q", str(folder)], check=True, env=GIT)
    subprocess.run([*run, "add", "."], check=True, env=GIT)
    subprocess.run([*run, "commit", "-qm", "one"], check=True, env=GIT)


@given(first=WORK, second=WORK)
@settings(max_examples=6, suppress_health_check=list(HealthCheck))
def test_no_repository_is_ever_written(many, first, second):
    place = Place(many())
    for folder in (place.root, place.root / "inner" / "nested"):
        repository(folder)
    gits = [place.root / ".git", place.root / "inner" / "nested" / ".git"]
    before = [hashed(git) for git in gits]
    do(place.root, first)
    do(place.root / "inner" / "nested", second)
    zero = seen(place.root)
    place.turn(lambda: (do(place.root, second), do(place.root / "inner" / "nested", first)))
    if place.store.history(THREAD).done:
        place.take_back()
        assert seen(place.root) == zero
        place.redo()
    assert [hashed(git) for git in gits] == before
    relaxed(place.root)


def test_a_repository_the_turn_made_stays_and_is_named(place):
    place.turn(lambda: repository(place.root / "new"))
    before = hashed(place.root / "new" / ".git")
    plan = place.take_back()
    assert plan.left == ((str(place.root / "new" / ".git"), "belongs to a repository"),)
    assert not (place.root / "new" / "kept").exists()
    assert hashed(place.root / "new" / ".git") == before


# ---- what the user did meanwhile --------------------------------------------------------------


def test_what_the_user_changed_since_is_not_overwritten(place):
    (place.root / "a").write_text("before")
    (place.root / "b").write_text("before")
    place.turn(lambda: [(place.root / name).write_text("turn") for name in "ab"])
    (place.root / "a").write_text("user")
    with pytest.raises(Conflict) as refused:
        place.take_back()
    assert refused.value.paths == (str(place.root / "a"),)
    assert (place.root / "b").read_text() == "turn"
    place.take_back(force=True)
    assert [(place.root / name).read_text() for name in "ab"] == ["before", "before"]
    place.redo()
    assert [(place.root / name).read_text() for name in "ab"] == ["user", "turn"]


def test_what_the_turn_did_not_touch_stays_as_the_user_left_it(place):
    (place.root / "a").write_text("before")
    place.turn(lambda: (place.root / "a").write_text("turn"))
    (place.root / "mine").write_text("user")
    place.take_back()
    assert (place.root / "a").read_text() == "before"
    assert (place.root / "mine").read_text() == "user"


def test_changes_between_two_turns_are_the_users(place):
    (place.root / "a").write_text("0")
    place.turn(lambda: (place.root / "a").write_text("1"))
    (place.root / "between").write_text("user")
    place.turn(lambda: (place.root / "a").write_text("2"))
    place.take_back(2)
    assert (place.root / "a").read_text() == "0"
    assert (place.root / "between").read_text() == "user"


def test_a_folder_of_the_turn_stays_while_something_of_the_users_lies_in_it(place):
    def work():
        (place.root / "made").mkdir()
        (place.root / "made" / "by-turn").write_text("x")

    place.turn(work)
    (place.root / "made" / "mine").write_text("user")
    place.take_back()
    assert inside(place.root / "made") == ["mine"]


def test_a_file_where_a_folder_was_waits_for_force(place):
    (place.root / "d").mkdir()
    (place.root / "d" / "f").write_text("before")
    place.turn(lambda: (place.root / "d" / "f").write_text("turn"))
    shutil.rmtree(place.root / "d")
    (place.root / "d").write_text("user")
    with pytest.raises(Conflict):
        place.take_back()
    place.take_back(force=True)
    assert (place.root / "d" / "f").read_text() == "before"
    place.redo()
    assert (place.root / "d").read_text() == "user"


def test_something_new_in_a_folder_that_becomes_a_file_again_waits_for_force(place):
    (place.root / "d").write_text("file")

    def work():
        (place.root / "d").unlink()
        (place.root / "d").mkdir()

    place.turn(work)
    (place.root / "d" / "mine").write_text("user")
    with pytest.raises(Conflict):
        place.take_back()
    place.take_back(force=True)
    assert (place.root / "d").read_text() == "file"
    place.redo()
    assert (place.root / "d" / "mine").read_text() == "user"


@given(first=WORK, second=WORK, user=WORK)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_force_gets_there_and_redo_brings_the_users_files_back(many, first, second, user):
    place = Place(many())
    do(place.root, first)
    zero = place.state().snapshot.tree
    place.turn(lambda: do(place.root, second))
    one = place.state().snapshot.tree
    do(place.root, user)
    mine = seen(place.root)
    if place.store.history(THREAD).done:
        place.take_back(force=True)
        now = place.state().snapshot.tree
        for path in {*zero, *one}:
            if zero.get(path) != one.get(path) and (entry := zero.get(path)) is not None:
                assert now[path] == entry
        place.redo()
        assert seen(place.root) == mine
    relaxed(place.root)


# ---- nothing outside ----------------------------------------------------------------------------


def test_a_link_that_took_the_place_of_a_folder_leads_nobody_out(place, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("outside")
    (place.root / "d").mkdir()
    (place.root / "d" / "f").write_text("before")
    place.turn(lambda: (place.root / "d" / "f").write_text("turn"))
    shutil.rmtree(place.root / "d")
    (place.root / "d").symlink_to(outside)
    place.take_back(force=True)
    assert (outside / "f").read_text() == "outside"
    assert (place.root / "d" / "f").read_text() == "before"


def test_a_link_put_there_at_the_last_moment_is_not_followed(place, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (place.root / "d").mkdir()
    (place.root / "d" / "f").write_text("before")
    place.turn((place.root / "d" / "f").unlink)
    with place.undo.undoing(THREAD) as plan:
        (place.root / "d").rmdir()
        (place.root / "d").symlink_to(outside)
        with pytest.raises(StoreError):
            place.undo.carry_out(plan)
    assert inside(outside) == []


def test_a_hard_link_is_replaced_and_never_written_through(place, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("outside")
    (place.root / "a").write_text("before")

    def work():
        (place.root / "a").unlink()
        os.link(outside, place.root / "a")

    place.turn(work)
    place.take_back()
    assert (place.root / "a").read_text() == "before"
    assert outside.read_text() == "outside"


def test_a_file_changed_at_the_last_moment_stops_the_undo_and_all_is_taken_back(place):
    for name in "abc":
        (place.root / name).write_text("before")
    place.turn(lambda: [(place.root / name).write_text("turn") for name in "abc"])
    with place.undo.undoing(THREAD) as plan:
        (place.root / "b").write_text("user at the last moment")
        with pytest.raises(hands.Changed):
            place.undo.carry_out(plan)
    assert [(place.root / name).read_text() for name in "abc"] == [
        "turn",
        "user at the last moment",
        "turn",
    ]
    assert read_pending(place.store.folder) == ()


# ---- limits -------------------------------------------------------------------------------------


def test_a_file_too_large_to_keep_is_named_and_stays(tmp_path):
    place = Place(tmp_path, Limits(max_file_bytes=100))
    (place.root / "big").write_bytes(b"0" * 101)
    (place.root / "small").write_text("before")

    def work():
        (place.root / "big").write_bytes(b"1" * 200)
        (place.root / "small").write_text("turn")

    place.turn(work)
    plan = place.take_back()
    assert plan.left == ((str(place.root / "big"), "too large to keep"),)
    assert (place.root / "big").read_bytes() == b"1" * 200
    assert (place.root / "small").read_text() == "before"


def test_a_file_that_grew_too_large_is_not_lost_by_undo(tmp_path):
    place = Place(tmp_path, Limits(max_file_bytes=100))
    (place.root / "f").write_text("before")
    place.turn(lambda: (place.root / "f").write_bytes(b"1" * 200))
    assert place.take_back().left
    assert (place.root / "f").read_bytes() == b"1" * 200


def test_the_oldest_states_go_first_when_the_store_is_full(tmp_path):
    place = Place(tmp_path, Limits(max_bytes=200_000))
    for number in range(6):
        place.turn(lambda n=number: (place.root / "f").write_bytes(os.urandom(50_000)))
    names = [turn.id for turn in place.store.history(THREAD).done]
    assert place.store.trim() > 0
    left = [turn.id for turn in place.store.history(THREAD).done]
    assert left == names[-len(left) :]
    assert 0 < len(left) < 6
    assert place.store.objects.total() <= 200_000
    place.take_back(len(left))


def test_nothing_is_dropped_while_another_process_takes_a_state(tmp_path):
    place = Place(tmp_path, Limits(max_bytes=200_000))
    for _ in range(6):
        place.turn(lambda: (place.root / "f").write_bytes(os.urandom(50_000)))
    with place.store.shared():
        assert place.store.trim() == 0


def test_a_content_that_was_damaged_is_found_out_and_nothing_is_changed(place):
    (place.root / "a").write_text("before")
    (place.root / "b").write_text("other")
    place.turn(lambda: [(place.root / n).write_text("turn") for n in "ab"])
    for path in Path(place.store.folder, "objects").glob("??/*"):
        if path.read_bytes() == b"other":
            path.write_bytes(b"othEr")
    with pytest.raises(StoreError, match="lost or damaged"):
        place.take_back()
    assert (place.root / "a").read_text() == "turn"
    assert (place.root / "b").read_text() == "turn"
    assert read_pending(place.store.folder) == ()


def test_a_content_that_is_gone_is_found_out_before_anything_changes(place):
    (place.root / "a").write_text("before")
    place.turn(lambda: (place.root / "a").write_text("turn"))
    for path in Path(place.store.folder, "objects").glob("??/*"):
        if path.read_bytes() == b"before":
            path.unlink()
    with pytest.raises(StoreError, match=r"undo.max_bytes.*nothing was changed"):
        place.take_back()


def test_undo_of_more_turns_than_there_are_is_refused(place):
    with pytest.raises(UsageError, match="no turn"):
        place.take_back()
    place.turn(lambda: (place.root / "a").write_text("turn"))
    with pytest.raises(UsageError, match="only 1"):
        place.take_back(2)
    with pytest.raises(UsageError, match="nothing was undone"):
        place.redo()


def test_redo_is_over_when_the_thread_goes_on(place):
    place.turn(lambda: (place.root / "a").write_text("1"))
    place.take_back()
    place.turn(lambda: (place.root / "b").write_text("2"))
    with pytest.raises(UsageError):
        place.redo()


def test_a_turn_that_was_cut_off_counts_with_the_files_as_they_are(place):
    (place.root / "a").write_text("before")
    place.store.note(THREAD, Before(turn="t", roots=place.roots()))
    (place.root / "a").write_text("half")
    place.take_back()
    assert (place.root / "a").read_text() == "before"


def test_undo_while_a_turn_runs_in_the_folder_is_refused(place):
    place.turn(lambda: (place.root / "a").write_text("turn"))
    with (
        place.store.root_gate(str(place.root), alone=False),
        pytest.raises(StoreError, match="a turn is running"),
    ):
        place.take_back()


def test_what_the_thread_changed_is_told_once_per_path(place):
    (place.root / "a").write_text("0")
    (place.root / "back").write_text("same")
    place.turn(lambda: [(place.root / n).write_text("1") for n in ("a", "back", "new")])
    place.turn(
        lambda: [(place.root / "a").write_text("2"), (place.root / "back").write_text("same")]
    )
    (found,) = thread_changes(place.store, THREAD)
    assert [path for path, _, _ in found.changes] == ["a", "new"]


# ---- a death in the middle ----------------------------------------------------------------------

KILLED = """
import os, sys, time
from octavo.store import apply as hands
from octavo.store.checkpoints import Checkpoints
from octavo.store.undo import Undo
home, thread, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
count = 0
for name in ("create", "link", "make_folder", "move", "remove", "remove_folder", "set_mode"):
    def wrap(call):
        def counted(self, *args, **more):
            global count
            count += 1
            if count == at:
                os.kill(os.getpid(), 9)
            return call(self, *args, **more)
        return counted
    setattr(hands.Under, name, wrap(getattr(hands.Under, name)))
undo = Undo(Checkpoints(home, now_ns=time.time_ns), new_id=lambda: "killed")
with undo.undoing(thread) as plan:
    undo.carry_out(plan)
"""


def before_kill(place):
    (place.root / "changed").write_text("before")
    (place.root / "removed").write_text("before")
    (place.root / "tool").write_text("#!")
    (place.root / "tool").chmod(0o755)
    (place.root / "was-file").write_text("file")
    (place.root / "was-link").symlink_to("changed")
    (place.root / "was-folder").mkdir()
    (place.root / "was-folder" / "in").write_text("in")
    (place.root / "empty").mkdir(mode=0o700)


def the_turn(place):
    (place.root / "changed").write_text("turn")
    (place.root / "removed").unlink()
    (place.root / "tool").chmod(0o644)
    (place.root / "was-file").unlink()
    (place.root / "was-file").mkdir()
    (place.root / "was-file" / "new").write_text("new")
    (place.root / "was-link").unlink()
    (place.root / "was-link").write_text("file now")
    shutil.rmtree(place.root / "was-folder")
    (place.root / "was-folder").symlink_to("empty")
    (place.root / "empty").rmdir()
    (place.root / "new").mkdir()
    (place.root / "new" / "f").write_text("new")


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True])
def test_a_death_at_any_step_can_be_finished_and_taken_back(tmp_path, back):
    ended = False
    for at in range(1, 60):
        place = Place(tmp_path / str(at))
        before_kill(place)
        zero = seen(place.root)
        place.turn(lambda p=place: the_turn(p))
        one = seen(place.root)
        run = [sys.executable, "-c", KILLED, place.store.home, THREAD, str(at)]
        ended = subprocess.run(run, timeout=60).returncode == 0
        if ended:
            assert seen(place.root) == zero
            break
        (pending,) = read_pending(place.store.folder)
        with pytest.raises(PendingUndo):
            place.take_back()
        place.undo.finish(pending, back=back)
        assert seen(place.root) == (one if back else zero)
        assert read_pending(place.store.folder) == ()
        if not back:
            place.redo()
            assert seen(place.root) == one
    assert ended
    assert at > 10


def test_what_the_user_did_after_a_death_waits_for_force(place):
    before_kill(place)
    place.turn(lambda: the_turn(place))
    run = [sys.executable, "-c", KILLED, place.store.home, THREAD, "6"]
    assert subprocess.run(run, timeout=60).returncode == -9
    (place.root / "changed").write_text("user")
    (pending,) = read_pending(place.store.folder)
    with pytest.raises(Conflict):
        place.undo.finish(pending, back=True)
    assert (place.root / "changed").read_text() == "user"
    place.undo.finish(pending, back=True, force=True)
    assert (place.root / "changed").read_text() == "turn"
