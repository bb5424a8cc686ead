"""How long planning a large Windows policy takes.

    .venv/bin/python bench/windows_plan.py

100 writable roots and 100 closed folders in a tree of 10,000 entries; nothing of it is on a disk.
"""

import itertools
import statistics
import time

from octavo.sandbox.plan_windows import Facts, WindowsPlan, plan_windows
from octavo.sandbox.windows import sids
from octavo.sandbox.windows.acl import ALL, DOWN, Ace, Present
from octavo.sandbox.windows.paths import fold

ROUNDS = 20
USER = "S-1-5-21-1-1-1-1001"


def tree() -> dict[str, Present]:
    """10,000 entries: 100 folders of 100."""
    full = Ace(allow=True, sid=USER, mask=ALL, flags=DOWN)
    found = {}
    for one in range(100):
        for name in ("", *(f"\\d{two}" for two in range(99))):
            path = f"C:\\w\\r{one}{name}"
            found[fold(path)] = Present(path, folder=True, owner=USER, dacl=(full,))
    return found


def plan(entries: dict[str, Present], level: str) -> WindowsPlan:
    """One policy from nothing."""
    numbers = itertools.count(1)

    def random(size: int) -> bytes:
        return next(numbers).to_bytes(size, "little")

    facts = Facts(
        user=USER, logon="S-1-5-5-0-1", home="C:\\Users\\me\\.octavo", profile="C:\\Users\\me",
        cwd="C:\\w\\r0", group=USER + "1", offline=USER + "2", online=USER + "3",
    )  # fmt: skip
    roots = [(f"C:\\w\\r{one}", "write", "bench") for one in range(100)]
    closed = [(f"C:\\w\\r{one}\\d{one % 99}", "read", "bench") for one in range(100)]
    return plan_windows(
        [("/", "read", "bench"), *roots, *closed],
        facts=facts,
        capabilities=sids.fresh(random),
        random=random,
        look=lambda path: entries.get(fold(path)),
        level="elevated" if level == "elevated" else "unelevated",
    )


def main() -> None:
    """Print one line per backend."""
    entries = tree()
    for level in ("unelevated", "elevated"):
        taken = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            made = plan(entries, level)
            taken.append((time.perf_counter() - begin) * 1000)
        middle = statistics.median(taken)
        print(
            f"{level}: {len(entries):,} entries, {len(made.changes)} writes, {middle:.1f} ms (limit 50)"
        )


if __name__ == "__main__":
    main()
