"""Shell commands that are really patches: `apply_patch` with a here-document and nothing else.

Pure. Whatever stands before or after makes it an ordinary command, which the shell then runs.
"""

import re
from typing import Final

from msgspec import Struct

from octavo.patch.parse import BEGIN, END, WRAPPERS

SHELLS: Final = frozenset({"sh", "bash", "zsh"})
POWERSHELLS: Final = frozenset({"powershell", "pwsh"})
PATCH_WORD: Final = "patch"
"""Without it in a script there is nothing to look for, and the pattern is never compiled."""
NAMES: Final = ("apply_patch", "applypatch")
HOW: Final = (
    "this is a patch without a command: call the apply_patch tool with it, or run "
    "`apply_patch <<'EOF'`, the patch, and a last line `EOF`"
)
PATH: Final = r"""(?P<bare>[^\s'"\\$`&|;<>()*?\[\]{}!#~][^\s'"\\$`&|;<>()*?\[\]{}!]*)|'(?P<single>[^'\n]+)'|"(?P<double>[^"\\$`\n]+)\""""
OPENING: Final = (
    rf"""\s*(?:cd[ \t]+(?:{PATH})[ \t]*&&[ \t]*)?(?:apply_patch|applypatch)[ \t]*"""
    r"""<<[ \t]*(?:'(?P<q1>[A-Za-z_]\w*)'|"(?P<q2>[A-Za-z_]\w*)"|(?P<q3>[A-Za-z_]\w*))[ \t]*\n"""
)


class Intercepted(Struct, frozen=True, kw_only=True):
    """A patch to apply instead of running a shell."""

    patch: str
    cd: str | None = None
    """The folder the script changes to first."""


class BarePatch(Struct, frozen=True):
    """A script that is a patch, without the name of the command: told how to do it."""


def intercept(argv: tuple[str, ...]) -> Intercepted | BarePatch | None:
    """What a command line stands for; None when it is an ordinary command."""
    if len(argv) == 2 and argv[0] in NAMES:
        return Intercepted(patch=argv[1])
    if len(argv) == 1 and is_patch(argv[0]):
        return BarePatch()
    script = script_of(argv)
    return None if script is None else intercept_script(script)


def intercept_script(script: str) -> Intercepted | BarePatch | None:
    """The same for the text a shell would run."""
    if is_patch(script):
        return BarePatch()
    opening = re.match(OPENING, script) if PATCH_WORD in script else None
    if opening is None:
        return None
    found = opening.groupdict()
    word = found["q1"] or found["q2"] or found["q3"]
    lines = script[opening.end() :].split("\n")
    ends = [index for index, line in enumerate(lines) if line.removesuffix("\r") == word]
    if not ends or any(line.strip() for line in lines[ends[0] + 1 :]):
        return None
    return Intercepted(
        patch="\n".join(lines[: ends[0]]),
        cd=found["bare"] or found["single"] or found["double"],
    )


def script_of(argv: tuple[str, ...]) -> str | None:
    """The script of `sh -c SCRIPT` and its kin."""
    if len(argv) < 3:
        return None
    shell = re.split(r"[/\\]", argv[0])[-1].lower().removesuffix(".exe")
    options = tuple(word.lower() for word in argv[1:-1])
    if shell in SHELLS and options in (("-c",), ("-lc",)):
        return argv[-1]
    if shell in POWERSHELLS and options in (("-command",), ("-noprofile", "-command")):
        return argv[-1]
    return argv[-1] if shell == "cmd" and options == ("/c",) else None


def is_patch(text: str) -> bool:
    """Is it a patch by itself?"""
    lines = text.strip().split("\n")
    if len(lines) >= 4 and lines[0].strip() in WRAPPERS:
        lines = lines[1:-1]
    return lines[0].strip() == BEGIN and lines[-1].strip() == END
