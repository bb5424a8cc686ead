"""What a Linux machine can enforce: each mechanism is tried on a real command."""

import os
import sys
from typing import Final

assert sys.platform == "linux"

from octavo.api.sandbox import state_home
from octavo.cli.facts import Fact
from octavo.sandbox import ladder, presets
from octavo.sandbox.backends import disk, find_bubblewrap
from octavo.sandbox.launcher import session_for
from octavo.sandbox.session import RUNGS
from octavo.sandbox.spec import Command, Policy, Unavailable

NOTHING: Final = (sys.executable, "-I", "-S", "-c", "pass")
MEANING: Final = {
    "native": "own namespaces, Landlock and a system-call filter",
    "native-root": "the same as root without a user namespace",
    "bubblewrap": "the same through the installed bubblewrap",
    "landlock": "Landlock and a filter alone: weaker, and no protected folders",
}
SWITCHES: Final = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
        "AppArmor refuses user namespaces to programs without a profile",
        "install bubblewrap and its profile bwrap-userns-restrict (package apparmor-profiles on Ubuntu 24.04)",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone", "0",
        "this kernel refuses user namespaces to ordinary users",
        "install bubblewrap, or set kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/user/max_user_namespaces", "0",
        "no user namespaces are allowed at all",
        "set user.max_user_namespaces to 1000 or more",
    ),
)  # fmt: skip


def facts() -> list[Fact]:
    found = [landlock(), bubblewrap(), *switches(), container()]
    tried = [try_rung(rung) for rung in RUNGS if rung != "native-root" or os.getuid() == 0]
    working = next((fact for fact in tried if fact.state == "ok"), None)
    if working is None:
        text = "no mechanism works here: commands will be refused"
        verdict = Fact(name="sandbox", state="problem", text=text, remedy=ladder.REMEDY)
    elif working.name == "landlock":
        text = "only Landlock works: read-only mode, and workspace-write with --unprotected"
        verdict = Fact(name="sandbox", state="weak", text=text, remedy=ladder.REMEDY)
    else:
        verdict = Fact(name="sandbox", state="ok", text=f"{working.name} is used")
    return [*[fact for fact in found if fact is not None], *softened(tried), verdict]


def softened(tried: list[Fact]) -> list[Fact]:
    """A mechanism that does not work is no problem of its own: the verdict says whether it matters."""
    return [
        fact if fact.state == "ok" else Fact(name=fact.name, state="info", text=fact.text)
        for fact in tried
    ]


def try_rung(rung: str) -> Fact:
    """Build a read-only policy on exactly this mechanism and run a command that does nothing."""
    session = session_for(state_home(os.environ), os.environ, (rung,))
    policy = Policy(tuple(presets.read_only()))
    command = Command(NOTHING, "/", dict(os.environ))
    try:
        ran = ladder.run(policy, command, session)
    except Unavailable as problem:
        why = "; ".join(problem.reasons) or f"{rung}: not installed"
        return Fact(name=rung, state="problem", text=why.removeprefix(f"{rung}: "))
    if ran.ended.exit_code != 0:
        return Fact(
            name=rung, state="problem", text=f"the trial command ended with {ran.ended.exit_code}"
        )
    return Fact(name=rung, state="ok", text=f"works: {MEANING[rung]}")


def landlock() -> Fact:
    version = disk.facts()[3]
    if version:
        return Fact(name="Landlock", state="ok", text=f"version {version}")
    text = "missing: no second layer behind the mounts"
    return Fact(
        name="Landlock", state="weak", text=text, remedy='boot with "landlock" in the lsm= list'
    )


def bubblewrap() -> Fact:
    path = find_bubblewrap()
    text = path or "not installed (not needed where the native way works)"
    return Fact(name="bwrap", state="info", text=text)


def switches() -> list[Fact]:
    return [
        Fact(name="namespaces", state="weak", text=f"{text} ({path} is {value})", remedy=remedy)
        for path, value, text, remedy in SWITCHES
        if content(path) == value
    ]


def container() -> Fact | None:
    """A filter on this very process: a container's, or another sandbox's."""
    filtered = "\nSeccomp:\t2" in content("/proc/self/status")
    if not filtered:
        return None
    text = (
        "this process is already under a system-call filter, as in a container or another sandbox"
    )
    return Fact(name="container", state="info", text=text)


def content(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(65536).strip()
    except OSError:
        return ""
