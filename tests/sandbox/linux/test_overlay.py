"""A view with a layer of changes: what is below rules stays in its place, failures say why."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("overlays are Linux's", allow_module_level=True)

from octavo.process.run import run
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.session import Session
from octavo.sandbox.spec import Policy
from octavo.sandbox.warm import WarmLauncher

pytestmark = pytest.mark.linux


class Room:
    def __init__(self, top):
        self.top = top
        self.work = top / "work"
        (self.work / "a" / "b").mkdir(parents=True)
        (self.work / "a" / "b" / "secret").write_text("secret\n")
        (self.work / "a" / "fixed").write_text("fixed\n")
        for name in ("upper", "work"):
            (top / "layers" / "one" / name).mkdir(parents=True)
        self.layers = tuple(
            str(path)
            for path in (self.work, *((top / "layers" / "one" / n) for n in ("upper", "work")))
        )
        self.launcher = WarmLauncher(Session(journal=str(top / "journal")))

    def policy(self, *rules, overlay=None):
        usual = [("/", "read", "root"), (str(self.work), "write", "work")]
        return Policy((*usual, *rules), overlay=overlay or self.layers)

    async def start(self, policy, text):
        spec = ProcessSpec(
            argv=("sh", "-c", text), env={"PATH": os.environ["PATH"]}, cwd=str(self.work),
            stdio=Pipes(merge_stderr=True),
        )  # fmt: skip
        return await self.launcher.start(spec, policy)

    async def run(self, policy, text):
        done = await run(await self.start(policy, text), timeout_s=20)
        return done.stdout.text()


@pytest.fixture
async def room(tmp_path):
    made = Room(tmp_path)
    try:
        await made.run(made.policy(), "true")
    except SandboxUnavailable as wrong:
        made.launcher.close()
        pytest.skip(f"no overlay here: {wrong}")
    yield made
    made.launcher.close()


async def test_what_is_hidden_or_fixed_cannot_be_moved_away_with_its_folder(room):
    policy = room.policy(
        (str(room.work / "a" / "b" / "secret"), "none", "secret"),
        (str(room.work / "a" / "fixed"), "read", "fixed"),
    )
    text = await room.run(
        policy,
        "mv a c; mv a/b a/d; rm -r a/b; cat a/b/secret c/b/secret; echo x > a/fixed; echo y > a/new;"
        "cat a/fixed a/new",
    )
    assert text.endswith("fixed\ny\n")
    assert "secret\n" not in text.replace("secret: ", "")
    assert sorted(os.listdir(room.work / "a")) == ["b", "fixed"]
    assert (room.work / "a" / "b" / "secret").read_text() == "secret\n"


async def test_views_with_other_rules_see_the_same_changes_one_after_the_other(room):
    assert await room.run(room.policy(), "echo new > made") == ""
    looks = Policy((("/", "read", "root"),), overlay=room.layers)
    assert "new\n" in await room.run(looks, "cat made; echo x > made")
    assert await room.run(room.policy(), "cat made") == "new\n"
    assert not (room.work / "made").exists()


async def test_two_views_of_one_layer_never_stand_at_once(room):
    child = await room.start(room.policy(), "echo up; read line; cat made")
    try:
        looks = Policy((("/", "read", "root"),), overlay=room.layers)
        with pytest.raises(SandboxUnavailable, match="still run in it"):
            await room.start(looks, "true")
        assert await room.run(room.policy(), "echo two > made; cat made") == "two\n"
    finally:
        child.close()


async def test_a_writable_folder_apart_from_the_layer_is_refused(room):
    policy = room.policy(
        (str(room.work / "a"), "read", "a"), (str(room.work / "a" / "b"), "write", "b")
    )
    with pytest.raises(SandboxUnavailable, match="would be real"):
        await room.start(policy, "true")


async def test_a_kernel_that_cannot_says_so_and_nothing_runs(room):
    # the upper layer below the lower one: the kernel refuses
    inside = room.work / "in"
    for name in ("upper", "work"):
        (inside / name).mkdir(parents=True)
    overlay = (str(room.work), str(inside / "upper"), str(inside / "missing"))
    with pytest.raises(SandboxUnavailable) as refused:
        await room.start(room.policy(overlay=overlay), "echo x > made")
    assert "overlay" in str(refused.value)
    assert refused.value.hint
    assert not (room.work / "made").exists()
    plain = Policy((("/", "read", "root"), (str(room.work), "write", "work")))
    assert await room.run(plain, "echo fine") == "fine\n"
