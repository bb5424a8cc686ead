"""The history of the memories, by the user's git, and what changed since they were merged.

Commands can write the folder of the memories, so git never looks into it: the content of plain
files is handed to it as a stream (`fast-import`), and the repository lies where commands cannot
write. No hooks, no filters, no settings of anybody, no network, and a deadline. Without git there
is no history and no diff; nothing else is missing.
"""

import os
from collections.abc import Mapping
from typing import Final

from octavo.engine.memories import DIFF_BYTES
from octavo.process.child import StartError
from octavo.process.run import run, start
from octavo.process.spec import OutputCaps, Pipes, ProcessSpec

GIT: Final = (
    "git", "--no-pager", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false",
    "-c", f"core.attributesFile={os.devnull}", "-c", "gc.auto=0", "-c", "protocol.allow=never",
)  # fmt: skip
GIT_S: Final = 20.0
PASSED_ON: Final = ("PATH", "TMPDIR", "SYSTEMROOT", "PATHEXT", "TEMP", "TMP")
"""The last four are Windows'."""
NOW: Final = "refs/heads/now"
MERGED: Final = "refs/heads/merged"


class MemoryHistory:
    """A bare repository of its own in `folder`. Nothing here raises but for cancellation."""

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ

    async def changes(self, files: Mapping[str, bytes], *, now_s: int) -> bytes | None:
        """Keep the files as they are; what is different from the last merging, at most 4 MiB.

        None: there is no git, or nothing was merged yet.
        """
        if not await self._kept(files, "before merging", now_s):
            return None
        if await self._git("rev-parse", "--verify", "--quiet", MERGED) is None:
            return None
        words = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
        return await self._git("diff", *words, MERGED, NOW, "--")

    async def merged(self, files: Mapping[str, bytes], *, now_s: int) -> None:
        """Keep the files as they are after merging."""
        if await self._kept(files, "merged", now_s):
            await self._git("update-ref", MERGED, NOW)

    async def _kept(self, files: Mapping[str, bytes], words: str, now_s: int) -> bool:
        # again and again does no harm
        if await self._git("init", "--quiet", "--bare", "--template=", self._folder) is None:
            return False
        parent = await self._git("rev-parse", "--verify", "--quiet", NOW)
        stream = commit_stream(files, words, now_s=now_s, grown=parent is not None)
        done = await self._git("fast-import", "--quiet", "--date-format=raw", stdin=stream)
        return done is not None

    async def _git(self, *words: str, stdin: bytes | None = None) -> bytes | None:
        """What git prints; None when it fails, is missing or too slow."""
        caps = OutputCaps(head_bytes=DIFF_BYTES, tail_bytes=0)
        spec = ProcessSpec(
            argv=(*GIT, *words),
            env=environment(self._environ, self._folder),
            cwd=os.path.dirname(self._folder),
            stdio=Pipes(stdin=stdin is not None),
            caps=caps,
        )
        try:
            done = await run(await start(spec), stdin=stdin, timeout_s=GIT_S, caps=caps)
        except StartError:
            return None
        good = done.status.ok and not done.timed_out
        whole = done.stdout.head + done.stdout.tail
        return whole[:DIFF_BYTES] if good else None


def environment(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """What git gets: no settings of the user or the machine."""
    found = {name: environ[name] for name in PASSED_ON if name in environ}
    return found | {
        "GIT_DIR": folder,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": os.path.dirname(folder),
        "LC_ALL": "C",
    }


def commit_stream(files: Mapping[str, bytes], words: str, *, now_s: int, grown: bool) -> bytes:
    """One commit of these files and no others, for `git fast-import`. Pure."""
    message = words.encode()
    parts = [
        f"commit {NOW}\ncommitter Octavo <> {now_s} +0000\ndata {len(message)}\n".encode(),
        message,
        b"\n",
    ]
    if grown:
        parts.append(f"from {NOW}^0\n".encode())
    parts.append(b"deleteall\n")
    for path, content in sorted(files.items()):
        parts += [f"M 100644 inline {path}\ndata {len(content)}\n".encode(), content, b"\n"]
    return b"".join(parts)
