"""What a command costs on Windows: plain, restricted token, runner in another account.

    python bench/windows_run.py [--rounds 20]      on Windows, or under Wine (./check --windows has one)

Under Wine there are no accounts: the runner is the real program, started in our own.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

assert sys.platform == "win32"

from octavo.api.sandbox import PermissionProfile
from octavo.process import plain_windows
from octavo.process.run import run
from octavo.process.spec import Pipes, ProcessSpec
from octavo.sandbox.prepare_windows import Accounts
from octavo.sandbox.session import Session, WindowsChoice
from octavo.sandbox.win32 import launch, own, programs
from octavo.sandbox.win32.logon import OurAccount
from octavo.sandbox.wish import Wish

KEPT = ("SYSTEMROOT", "PATH", "PATHEXT", "COMSPEC", "TEMP", "TMP", "USERPROFILE")


class Here:
    """Our own account, as if it were the other."""

    username = password = "none"

    @property
    def sid(self) -> str:
        return own.user_sid()


class OurElevated(launch.Elevated):
    """The elevated backend without a logon."""

    logon = OurAccount()

    def accounts(self) -> Accounts:
        return Accounts("S-1-5-21-9-9-9-1001", own.user_sid(), "S-1-5-21-9-9-9-1003")

    def load(self, home: str, launch: object) -> Here:
        return Here()

    def let_read(self, *given: object) -> tuple[str, ...]:
        return ()

    def runner(self, home: str, accounts: Accounts) -> programs.Runner:
        return programs.Runner((sys.executable, "-I", "-m", "octavo.sandbox.win32.runner"), ())


async def times(rounds: int, folder: Path, level: str) -> list[float]:
    work, home = folder / f"{level}-work", folder / f"{level}-home"
    work.mkdir()
    home.mkdir()
    environ = {name: os.environ[name] for name in KEPT if name in os.environ}
    choice = WindowsChoice(home=str(home), environ=environ, level=level, private_desktop=False)
    rules = {"filesystem": {":root": "read", ":cwd": "write"}}
    profile = PermissionProfile.from_mapping(rules).settled(str(work), environ)
    platform = launch.Platform(Session(journal=str(home), windows=choice), elevated=OurElevated())
    spec = ProcessSpec(argv=("cmd", "/c", "exit 0"), env=environ, cwd=str(work), stdio=Pipes())
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        if level == "disabled":
            child = await plain_windows.start(spec)
        else:
            child = (await platform.start(spec, profile, Wish(), limits=())).child
        done = await run(child, timeout_s=60)
        took.append((time.perf_counter() - began) * 1000)
        assert done.status.shell_code == 0
    return took


async def main(rounds: int) -> None:
    print("| what | first ms | median ms |\n|---|---|---|")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, level in (("plain", "disabled"), ("restricted token", "unelevated"),
                            ("runner", "elevated")):  # fmt: skip
            took = await times(rounds, Path(folder), level)
            print(f"| {name} | {took[0]:.0f} | {statistics.median(took):.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    asyncio.run(main(parser.parse_args().rounds))
