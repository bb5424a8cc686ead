"""Every known way out, tried: without a sandbox it works, inside it does not.

The attempts are in `inside.py`; what they are aimed at, and the verdict, in `targets.py`. One
launch tries them all, each against a target of its own.
"""

import os
from functools import cache

import pytest

import octavo
from escapes import doors
from escapes.inside import ATTEMPTS
from escapes.targets import Range
from octavo.sandbox.plan_linux import LANDLOCK_WEAKER

INSIDE = os.path.join(os.path.dirname(__file__), "inside.py")
PLACES = {  # where the folders lie: (mode, folder, rules for each)
    "read-only": ("read-only", "{outside}/trees"),
    "outside": ("workspace-write", "{outside}/trees"),
    "protected": ("workspace-write", "{workspace}/.git"),
    "read-only-inside": ("nested", "{workspace}/trees"),
    "hidden": ("nested", "{workspace}/hidden"),
}
TREES = {name: attempt for name, attempt in ATTEMPTS.items() if attempt.target == "tree"}


@pytest.fixture(scope="session")
def tried(boxes, farm):
    """Try all attempts once per door and place; verdicts by name."""

    @cache
    def run(door, where):
        box = boxes(f"{door}-{where}")
        mode, folder = PLACES[where]
        folder = folder.format(workspace=box.workspace, outside=box.outside)
        os.makedirs(folder)
        # other targets do not depend on where the folders lie
        attempts = ATTEMPTS if where in ("read-only", "outside") else TREES
        scratch = box.workspace + "/scratch"
        os.mkdir(scratch)
        aims = Range(box.outside, farm)
        confined = door != "plain"
        if mode == "read-only" and confined:
            scratch = "/dev/shm"
        aims.aim(attempts.values(), trees=folder, scratch=scratch, confined=confined)
        argv = [doors.PYTHON, "-I", INSIDE, aims.orders()]
        if door == "plain":
            ran = doors.plain(box, argv)
        else:
            if mode == "nested":
                mode = nested(box)
            ran = (doors.DOORS | doors.LANDLOCK)[door](box, mode, argv)
        assert ran.code == 0, ran.output
        verdicts = aims.judge(ran.output)
        return verdicts, ran

    return run


def nested(box):
    """A read-only or hidden folder per attempt, two folders below a writable root."""
    rules = {":root": "read", box.workspace: "write"}
    for name in TREES:
        rules[f"{box.workspace}/trees/{name}/a/b"] = "read"
        rules[f"{box.workspace}/hidden/{name}/a/b"] = "none"
    return octavo.Sandbox.from_profile(octavo.PermissionProfile.from_mapping({"filesystem": rules}))


FAST = (
    ("short", "outside"),
    ("spare", "protected"),
    ("fresh", "read-only-inside"),
    ("landlock-short", "outside"),
)


def cases(names, places):
    for door in names:
        for where in places:
            for name, attempt in ATTEMPTS.items():
                if attempt.target == "tree" or where in ("read-only", "outside"):
                    marks = () if (door, where) in FAST else (pytest.mark.slow,)
                    yield pytest.param(door, where, name, id=f"{door}-{where}-{name}", marks=marks)


def needs(attempt, tried):
    """Skip what cannot be shown to work here."""
    reason = attempt.untestable()
    if (
        not reason
        and "optional" in attempt.needs
        and not tried("plain", "outside")[0][attempt.name]
    ):
        reason = "does not work on this host without a sandbox either"
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_it_works_without_a_sandbox(tried, name):
    needs(ATTEMPTS[name], tried)
    verdicts, ran = tried("plain", "outside")
    assert verdicts[name], excerpt(ran, name)


STRONG = [*cases(("short", "spare"), ("read-only", "outside", "protected"))]
STRONG += [*cases(("fresh",), ("outside", "read-only-inside", "hidden"))]
STRONG += [*cases(("spare",), ("read-only-inside", "hidden"))]
STRONG += [*cases(("watched", "native-root", "bubblewrap"), ("outside", "protected"))]


@pytest.mark.parametrize(("door", "where", "name"), STRONG)
def test_it_fails_inside(tried, door, where, name):
    if reason := doors.missing(door):
        pytest.skip(reason)
    needs(ATTEMPTS[name], tried)
    verdicts, ran = tried(door, where)
    if door == "bubblewrap" and name == "null_device_mode":
        pytest.skip("as root bubblewrap cannot hold the modes of its device nodes, and says so")
    assert not verdicts[name], excerpt(ran, name)


@pytest.mark.parametrize(
    ("door", "where", "name"), [*cases(doors.LANDLOCK, ("read-only", "outside"))]
)
def test_landlock_alone_holds_what_it_does_not_disclaim(tried, door, where, name):
    attempt = ATTEMPTS[name]
    needs(attempt, tried)
    verdicts, ran = tried(door, where)
    if not attempt.weak:
        assert not verdicts[name], excerpt(ran, name)
    elif verdicts[name]:
        assert attempt.weak in ran.notes, f"{name} worked, and nobody was told"


@pytest.mark.parametrize("words", LANDLOCK_WEAKER)
def test_landlock_alone_says_what_it_cannot_hold(tried, words):
    ran = tried("landlock-short", "read-only")[1]
    assert words in ran.notes


def excerpt(ran, name):
    """What this attempt printed, for whoever wants to know why."""
    return "\n".join(line for line in ran.output.splitlines() if line.startswith(name))
