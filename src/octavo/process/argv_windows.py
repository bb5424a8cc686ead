"""From arguments to the one command line Windows programs get, from a name to a program, and from
variables to the block.

Pure. The quoting is the one that the C runtime and CommandLineToArgvW undo; `cmd /c` has rules of
its own. Nothing is guessed: what cannot arrive as it was written is refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from octavo.protocol.errors import UsageError

DRIVE: Final = re.compile(r"[A-Za-z]:")
LONGEST: Final = 32_766
"""UTF-16 units CreateProcess takes, without the closing zero."""
BATCH: Final = (".bat", ".cmd")
DEFAULT_PATHEXT: Final = ".COM;.EXE;.BAT;.CMD"
CMD: Final = frozenset({"cmd", "cmd.exe"})
BEFORE_C: Final = frozenset({"/d", "/s"})


class NotFoundError(UsageError):
    """There is no such program."""


def quote(argument: str) -> str:
    """One argument, so that it arrives as it is."""
    if argument and not any(char in ' \t\n\v"' for char in argument):
        return argument
    parts = ['"']
    slashes = 0
    for char in argument:
        if char == "\\":
            slashes += 1
            continue
        parts.append("\\" * (slashes * 2 + 1 if char == '"' else slashes))
        parts.append(char)
        slashes = 0
    # those at the end stand before our own closing quote
    return "".join([*parts, "\\" * (slashes * 2), '"'])


def command_line(argv: Sequence[str]) -> str:
    """The line for CreateProcess. `cmd /c LINE` passes LINE as it is, as people expect.

    Raises UsageError for no arguments, a NUL character, a program name with a quote, a line that
    is too long.
    """
    if not argv or not argv[0]:
        raise UsageError("no program was named", hint="Write the command after `--`.")
    if any("\0" in argument for argument in argv):
        raise UsageError("an argument has a NUL character, which no program can get")
    if '"' in argv[0]:
        # the first argument is cut at the next quote, whatever stands before that
        raise UsageError(f"program {argv[0]!r}: no Windows file name has a quote")
    first = f'"{argv[0]}"' if any(char in " \t" for char in argv[0]) else argv[0]
    rest = _after_cmd(argv)
    line = " ".join([first, *map(quote, argv[1:])]) if rest is None else rest
    units = len(line.encode("utf-16-le", "surrogatepass")) // 2
    if units > LONGEST:
        raise UsageError(f"the command line has {units:,} characters; Windows takes {LONGEST:,}")
    return line


def _after_cmd(argv: Sequence[str]) -> str | None:
    """The line for `cmd /c LINE`, or None when this is something else."""
    if argv[0].replace("/", "\\").rpartition("\\")[2].lower() not in CMD:
        return None
    at = 1
    while at < len(argv) and argv[at].lower() in BEFORE_C:
        at += 1
    if at + 2 != len(argv) or argv[at].lower() != "/c":
        return None
    switches = "/d " if "/d" in map(str.lower, argv[1:at]) else ""
    return f'"{argv[0]}" {switches}/s /c "{argv[at + 1]}"'


def find_program(
    name: str, cwd: str, variables: Mapping[str, str], is_file: Callable[[str], bool]
) -> str:
    """The program a name stands for, by the command's own PATH and PATHEXT.

    The command's folder counts first only for names with a backslash: a program that happens to
    lie in the folder must not take the place of one on PATH. Raises UsageError with the reason.
    """
    plain = name.replace("/", "\\")
    _check_name(name, plain)
    if not is_absolute(cwd):
        raise UsageError(f"the command's folder {cwd!r} is not absolute")
    endings = _endings(plain, variables)
    if is_absolute(plain):
        folders = [""]
    elif "\\" in plain:
        folders = [cwd.rstrip("\\") + "\\"]
    else:
        given = get(variables, "PATH").split(";")
        named = [folder.strip().strip('"').replace("/", "\\") for folder in given]
        folders = [folder.rstrip("\\") + "\\" for folder in named if is_absolute(folder)]
    for folder in folders:
        for ending in endings:
            if is_file(folder + plain + ending):
                return folder + plain + ending
    raise NotFoundError(f"program {name!r} was not found", hint="Write its whole path.")


def _check_name(name: str, plain: str) -> None:
    if not plain or "\0" in plain or '"' in plain:
        raise UsageError(f"program {name!r} is no file name")
    if DRIVE.match(plain) and plain[2:3] != "\\":
        raise UsageError(f"program {name!r} is relative to a drive's current folder")
    if plain.startswith("\\") and not plain.startswith("\\\\"):
        raise UsageError(f"program {name!r} is relative to whatever drive is current")


def _endings(plain: str, variables: Mapping[str, str]) -> list[str]:
    known = [each for each in (get(variables, "PATHEXT") or DEFAULT_PATHEXT).split(";") if each]
    last = plain.rpartition("\\")[2]
    has_one = any(last.lower().endswith(each.lower()) for each in known)
    return ["", *known] if has_one else [*known, ""]


def is_absolute(path: str) -> bool:
    """A drive and a backslash, or a share."""
    return bool(DRIVE.match(path) and path[2:3] == "\\") or path.startswith("\\\\")


def get(variables: Mapping[str, str], name: str) -> str:
    """A variable, whatever the case of its name."""
    return next((value for key, value in variables.items() if key.upper() == name), "")


def for_batch(program: str, argv: Sequence[str], comspec: str) -> str | None:
    """The line for a batch file, which only cmd can run; None when the program is none.

    cmd reads its line by rules of its own before the batch file gets it: an argument it would
    read as something else is refused, since no quoting protects it.
    """
    if not program.lower().endswith(BATCH):
        return None
    bad = next(
        (each for each in (program, *argv[1:]) if any(char in '%!"\r\n^&|<>\0' for char in each)),
        None,
    )
    if bad is not None:
        raise UsageError(
            f"{bad!r} cannot be passed to the batch file {program}: cmd would read it as its own",
            hint="Call the program behind the batch file.",
        )
    words = " ".join(f'"{each}"' for each in (program, *argv[1:]))
    return f'"{comspec}" /d /s /v:off /c "{words}"'


def resolved(
    argv: Sequence[str],
    cwd: str,
    variables: Mapping[str, str],
    *,
    is_file: Callable[[str], bool],
    comspec: str,
) -> tuple[str, str]:
    """The program Windows has to start, and the whole command line.

    For a batch file that is `comspec`. Raises NotFoundError, UsageError.
    """
    if not argv:
        raise UsageError("no program was named", hint="Write the command after `--`.")
    program = find_program(argv[0], cwd, variables, is_file)
    batch = for_batch(program, argv, comspec)
    if batch is not None:
        return comspec, batch
    return program, command_line((program, *argv[1:]))


def block(variables: Mapping[str, str]) -> bytes:
    """The block CreateProcess takes: UTF-16, sorted, closed by an empty entry.

    Raises UsageError for a name or value no block can hold.
    """
    for name, value in variables.items():
        # names that begin with = hold the current folder of a drive
        if not name or "=" in name[1:] or "\0" in name or "\0" in value:
            raise UsageError(f"variable {name!r} cannot be passed on: no name, or = or NUL in it")
    entries = sorted(variables.items(), key=lambda pair: (pair[0].upper(), pair[0]))
    text = "".join(f"{name}={value}\0" for name, value in entries) + "\0"
    return (text if entries else "\0\0").encode("utf-16-le", "surrogatepass")
