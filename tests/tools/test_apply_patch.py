"""Patches from the model: checked, asked for, written inside the sandbox, told."""

import json
import os
import sys
from pathlib import Path

import pytest

from octavo.protocol.approvals import Decision, PatchApproval
from octavo.tools.apply_patch import FREEFORM, ApplyPatch, Patcher
from octavo.tools.registry import Registry


def patch(body):
    return f"*** Begin Patch\n{body}\n*** End Patch"


async def apply(world, text, *, tool=None, **more):
    tools = Registry([tool or ApplyPatch(Patcher())])
    return await tools.run(world.call("apply_patch", text, custom=True), world.context(**more))


async def test_a_patch_is_written_and_told(world):
    (world.folder / "a").write_text("1\n2\n3\n4\n")
    answer = await apply(world, patch("*** Update File: a\n-2\n+zwei\n*** Add File: d/n\n+new"))
    assert answer.success
    assert answer.output == (
        "Exit code: 0\nWall time: 0.0 seconds\nOutput:\n"
        "Success. Updated the following files:\nA d/n\nM a\n"
    ).replace("0.0", answer.output.split()[5])
    assert (world.folder / "a").read_text() == "1\nzwei\n3\n4\n"
    begun, done, diff = world.events
    assert [(one.path, one.kind) for one in begun.item.changes] == [
        (f"{world.folder}/a", "update"),
        (f"{world.folder}/d/n", "add"),
    ]
    assert begun.item.changes[0].diff == "@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n"
    assert (done.item.id, done.item.status) == (begun.item.id, "completed")
    assert diff.diff.startswith("diff --git a/a b/a\n--- a/a\n+++ b/a\n")


async def test_the_function_form_takes_one_argument(world):
    call = world.call("apply_patch", json.dumps({"input": patch("*** Add File: n\n+x")}))
    tool = ApplyPatch(Patcher(), freeform=False)
    assert (await tool.run(call, world.context())).success
    assert tool.spec.parameters["required"] == ["input"]
    assert ApplyPatch(Patcher()).spec is FREEFORM


async def test_the_diff_of_a_turn_grows_and_the_next_turn_begins_anew(world):
    tool = ApplyPatch(Patcher())
    await apply(world, patch("*** Add File: n\n+1"), tool=tool)
    await apply(world, patch("*** Update File: n\n-1\n+2"), tool=tool)
    assert world.items("TurnDiff")[-1].diff.endswith("@@ -0,0 +1 @@\n+2\n")
    await apply(world, patch("*** Delete File: n"), tool=tool)
    assert world.items("TurnDiff")[-1].diff == ""
    await apply(world, patch("*** Add File: m\n+1"), tool=tool, turn_id="later")
    assert "b/n" not in world.items("TurnDiff")[-1].diff


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "first line of a patch"),
        (patch(""), "empty"),
        (patch("*** Update File: a\n-no\n+x"), "Failed to find expected lines in"),
        (patch("*** Delete File: no"), "no file"),
        (patch("*** Update File: a\n 1\n*** Delete File: a"), "two sections"),
        (patch("*** Delete File: secret"), "cannot read"),
    ],
)
async def test_what_does_not_fit_is_told_and_nothing_is_shown(world, text, words):
    (world.folder / "a").write_text("1\n")
    (world.folder / "secret").write_text("hidden words\n")
    world.access.hidden.add(str(world.folder / "secret"))
    answer = await apply(world, text)
    assert not answer.success
    assert answer.output.startswith("apply_patch verification failed: ")
    assert words in answer.output
    assert "hidden words" not in answer.output
    assert world.events == []


async def test_ambiguous_blocks_are_told_to_the_model(world):
    (world.folder / "a").write_text("x\nx\n")
    answer = await apply(world, patch("*** Update File: a\n-x\n+y"))
    assert answer.output.endswith("M a\nNote: a: the block at line 1 also stands at line 2; the first place was taken\n")  # fmt: skip


async def test_under_never_writing_elsewhere_is_refused(world, tmp_path):
    target = tmp_path / "outside"
    answer = await apply(world, patch(f"*** Add File: {target}\n+x"))
    assert answer.output == (
        "patch rejected: writing outside of the project; rejected by user approval settings"
    )
    world.access.read_only = True
    answer = await apply(world, patch(f"*** Add File: {target}\n+x"))
    assert answer.output.startswith("patch rejected: writing is blocked by read-only sandbox; ")
    assert (target.exists(), world.events, world.asked) == (False, [], [])


async def test_a_move_out_is_asked_for_like_a_write(world, tmp_path):
    (world.folder / "a").write_text("1\n")
    text = patch(f"*** Update File: a\n*** Move to: {tmp_path}/out\n 1")
    world.answers = [Decision.deny("no"), Decision.abort(), Decision.allow_once()]
    refused = await apply(world, text, approval_policy="on-request")
    assert refused.output == "patch rejected by user: no"
    assert (await apply(world, text, approval_policy="on-request")).ends_turn
    assert (await apply(world, text, approval_policy="on-request")).success
    assert (tmp_path / "out").read_text() == "1\n"
    request = world.asked[0]
    assert isinstance(request, PatchApproval)
    assert request.grant_root == str(tmp_path)
    assert request.keys == (f"file\0{world.folder}/a", f"file\0{tmp_path}/out")


async def test_under_untrusted_every_patch_is_shown_first(world):
    world.access.hides = True
    world.answers = [Decision.deny(), Decision.allow_for_session()]
    text = patch("*** Add File: n\n+x")
    assert not (await apply(world, text, approval_policy="untrusted")).success
    assert (await apply(world, text, approval_policy="untrusted")).success
    assert [request.grant_root for request in world.asked] == [None, None]
    assert world.launcher.started[0][1] is False


async def test_without_a_sandbox_nothing_is_started_or_asked(world, tmp_path):
    answer = await apply(world, patch(f"*** Add File: {tmp_path}/out\n+x"), sandboxed=False)
    assert answer.success
    assert (world.launcher.started, world.asked) == ([], [])


async def test_a_file_that_changes_meanwhile_is_not_overwritten(world):
    target = world.folder / "a"
    target.write_text("1\n")
    start = world.launcher.start

    async def late(spec, *, escalated=False):
        target.write_text("somebody else's\n")
        return await start(spec, escalated=escalated)

    world.launcher.start = late
    answer = await apply(world, patch("*** Update File: a\n-1\n+2"))
    assert not answer.success
    assert "nothing was changed: " in answer.output
    assert "changed since it was read" in answer.output
    assert target.read_text() == "somebody else's\n"
    assert world.items("ItemCompleted")[0].item.status == "failed"


# ---- the real sandbox -----------------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="the warm sandbox is Linux's")


@linux
@pytest.mark.linux
async def test_the_sandbox_lets_it_write_the_project(confined):
    (confined.folder / "a").write_text("1\n")
    text = patch("*** Update File: a\n*** Move to: sub/b\n-1\n+2\n*** Add File: n\n+x")
    assert (await apply(confined, text)).success
    assert (confined.folder / "sub" / "b").read_text() == "2\n"
    assert not (confined.folder / "a").exists()


@linux
@pytest.mark.linux
async def test_a_symlink_that_leads_out_is_not_followed(confined):
    victim = confined.folder.parent / "victim"
    victim.write_text("1\n")
    os.symlink(victim, confined.folder / "link")
    text = patch("*** Update File: link\n-1\n+2")
    assert "outside of the project" in (await apply(confined, text)).output
    assert victim.read_text() == "1\n"


class Gullible:
    """Says yes to everything: what remains is the kernel."""

    name = "test"
    network = read_only = hides = False

    def reads(self, path):
        return True

    def writes(self, path):
        return True


@linux
@pytest.mark.linux
async def test_the_kernel_refuses_what_the_rules_overlooked(confined):
    victim = confined.folder.parent / "victim"
    victim.write_text("1\n")
    os.symlink(victim, confined.folder / "link")
    confined.access = Gullible()
    text = patch("*** Add File: n\n+x\n*** Update File: link\n-1\n+2")
    answer = await apply(confined, text)
    assert not answer.success
    assert "Read-only file system" in answer.output
    assert victim.read_text() == "1\n"
    assert not (confined.folder / "n").exists()
    confined.answers = [Decision.allow_once()]
    assert (await apply(confined, text, approval_policy="on-request")).success
    assert "Read-only" in confined.asked[0].because
    assert [one.subject for one in confined.asked[0].denials] == [str(victim)]
    assert victim.read_text() == "2\n"


def test_the_program_that_writes_needs_nothing_of_ours():
    source = Path(FREEFORM.__class__.__module__ and sys.modules["octavo.tools.write_files"].__file__).read_text()  # fmt: skip
    assert "octavo." not in source.replace("`octavo.tools.apply_patch`", "")
