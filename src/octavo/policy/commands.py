"""What is known of single commands: which only read, which destroy, which say too little. Pure.

Tables, and the few lines that read them. A name counts by its last part (`/bin/ls` is `ls`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from octavo.policy.shell import Words, script_in, walked


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# ---- only reading -----------------------------------------------------------------------------

SAFE: Final = names(
    "cat cd cut echo expr false grep head id ls nl paste pwd rev seq stat tail tr true uname"
    " wc which whoami"
)
"""They read and print, whatever their arguments."""
FOLDERS: Final = names("/bin /usr/bin /usr/local/bin /opt/homebrew/bin") | {""}
"""Where a program is what its name says. One in another folder may have been written there."""
SAFE_LINUX: Final = frozenset({"numfmt", "tac"})
FIND_ACTS: Final = names("-exec -execdir -ok -okdir -delete -fls -fprint -fprint0 -fprintf")
RG_ACTS: Final = ("--pre", "--hostname-bin", "--search-zip")
GIT_READS: Final = frozenset({"status", "log", "diff", "show", "branch"})
GIT_ELSEWHERE: Final = (
    "-C", "-c", "-p", "--config-env", "--exec-path", "--git-dir", "--namespace", "--paginate",
    "--super-prefix", "--work-tree",
)  # fmt: skip
"""Options of git itself that make it look elsewhere or start programs."""
GIT_ACTS: Final = ("--output", "--ext-diff", "--textconv", "--exec")
GIT_LISTS: Final = names(
    "-a --all -r --remotes -l --list -v -vv --verbose --show-current --no-color --color"
)
SED_RANGE: Final = re.compile(r"\d+(,\d+)?p", re.ASCII)


def known_safe(words: Words, *, platform: str = "linux") -> bool:
    """Does this command only read? `platform` is sys.platform."""
    if not words or words[0].rpartition("/")[0] not in FOLDERS:
        return False
    name, rest = base_name(words[0]), words[1:]
    if name in SAFE or (name in SAFE_LINUX and platform == "linux"):
        return True
    check = SAFE_UNLESS.get(name)
    return check is not None and check(rest)


def _base64(rest: Words) -> bool:
    return not any(word.startswith(("-o", "--o")) for word in rest)


def _uniq(rest: Words) -> bool:
    return sum(not word.startswith("-") for word in rest) < 2  # the second is written to


def _find(rest: Words) -> bool:
    return not FIND_ACTS.intersection(rest)


def _rg(rest: Words) -> bool:
    return not any(
        word.partition("=")[0] in RG_ACTS
        or (word.startswith("-") and not word.startswith("--") and "z" in word)
        for word in rest
    )


def _git(rest: Words) -> bool:
    for number, word in enumerate(rest):
        if word.startswith("-"):
            if word.startswith(GIT_ELSEWHERE):
                return False
            continue
        after = rest[number + 1 :]
        if word not in GIT_READS or any(acts(one, GIT_ACTS) for one in after):
            return False
        return word != "branch" or (bool(after) and all(one in GIT_LISTS for one in after))
    return False


def acts(word: str, options: Sequence[str]) -> bool:
    """Is it one of these long options, or the beginning of one, which is taken as well?"""
    key = word.partition("=")[0]
    return len(key) > 2 and any(known.startswith(key) or key == known for known in options)


def _sed(rest: Words) -> bool:
    if not 2 <= len(rest) <= 3 or rest[0] != "-n" or SED_RANGE.fullmatch(rest[1]) is None:
        return False
    return len(rest) == 2 or not rest[2].startswith("-")


SAFE_UNLESS: Final = {
    "base64": _base64, "find": _find, "rg": _rg, "git": _git, "sed": _sed,
    "uniq": _uniq,
}  # fmt: skip

# ---- destroying -------------------------------------------------------------------------------

DEEPEST: Final = 8
HINT: Final = re.compile(r"(?<![\w.-])rm(?![\w-])")
"""Without this word in a script, its quotes and backslashes taken away, nothing is parsed."""
UNQUOTED: Final = str.maketrans("", "", "'\"\\")
TAKES_COMMAND: Final = frozenset({"sudo", "doas", "env", "command", "builtin", "exec", "nohup"})
"""They run the command after their own options."""
OPTIONS_WITH_VALUE: Final[Mapping[str, frozenset[str]]] = {
    "sudo": names("-u -g -h -p -C -D -R -T -U --user --group --host --prompt --chdir"),
    "doas": frozenset({"-u", "-C"}),
    "env": frozenset({"-u", "--unset", "-C", "--chdir"}),
    "exec": frozenset({"-a"}),
}
ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
POWERSHELL_DELETES: Final = re.compile(
    r"(?<![\w-])(remove-item|rm|ri|del|erase|rd|rmdir)\b[^;|&\n]*\s-(force|fo|f)\b", re.IGNORECASE
)
CMD_DELETES: Final = re.compile(
    r"(?<![\w-])(del|erase)\b[^&|\n]*\s/f\b|(?<![\w-])(rd|rmdir)\b[^&|\n]*\s/s\b", re.IGNORECASE
)
OPENS_PAGES: Final = re.compile(
    r"(?<![\w-])(start|start-process|explorer|iex|invoke-item|ii)\b[^;|&\n]*https?://",
    re.IGNORECASE,
)
POWERSHELLS: Final = frozenset({"powershell", "pwsh"})


def dangerous(argv: Words) -> bool:
    """Does this command remove files without asking, anywhere in it?"""
    return _dangerous(argv, 0)


def _dangerous(words: Sequence[str | None], depth: int) -> bool:
    if not words or words[0] is None:
        return False
    if depth > DEEPEST:
        return True  # nobody writes that by chance
    name, rest = base_name(words[0]), words[1:]
    if name == "rm":
        return any(word is not None and forces(word) for word in rest)
    if name in TAKES_COMMAND:
        return _dangerous(_inner(name, rest), depth + 1)
    script = _script(words)
    if script is None and name == "eval":
        script = " ".join(word or "" for word in rest)
    if script is None and name == "trap":
        script = next((w for w in rest if w is not None and not w.startswith("-")), None)
    if script is not None:
        return _dangerous_script(script, depth)
    return _windows(name, rest)


def _dangerous_script(script: str, depth: int) -> bool:
    if HINT.search(script.replace("\\\n", "").translate(UNQUOTED)) is None:
        return False
    for words in walked(script):
        if words[:1] == (None,) and len(words) == 2 and words[1] is not None:
            found = _dangerous_script(words[1], depth + 1) if depth < DEEPEST else True
        else:
            found = _dangerous(words, depth + 1)
        if found:
            return True
    return False


def _script(words: Sequence[str | None]) -> str | None:
    """The script of a nested shell, with any options before it."""
    if words[0] is None or base_name(words[0]) not in ("sh", "bash", "zsh", "dash", "ksh"):
        return None
    known = tuple(word or "" for word in words)
    script = script_in(known)
    if script is not None:
        return script
    for number, word in enumerate(known[1:-1], 1):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            return known[number + 1]
    return None


def _inner(name: str, rest: Sequence[str | None]) -> Sequence[str | None]:
    """The command that a wrapper runs."""
    with_value = OPTIONS_WITH_VALUE.get(name, frozenset())
    number = 0
    while number < len(rest):
        word = rest[number]
        if word is not None and word in with_value:
            number += 2
        elif word is not None and (word.startswith("-") or ASSIGNMENT.match(word)):
            number += 1
        else:
            break
    return rest[number:]


def forces(word: str) -> bool:
    """Is it an option of `rm` that silences its questions?"""
    if word.startswith("--"):
        return len(word) > 2 and "--force".startswith(word)
    return word.startswith("-") and "f" in word


def _windows(name: str, rest: Sequence[str | None]) -> bool:
    text = " ".join(word or "" for word in rest)
    if name in POWERSHELLS:
        return bool(POWERSHELL_DELETES.search(text) or OPENS_PAGES.search(text))
    if name == "cmd":
        return bool(CMD_DELETES.search(text) or OPENS_PAGES.search(text))
    return False


# ---- saying too little ------------------------------------------------------------------------

INTERPRETERS: Final = names(
    "sh bash zsh dash ksh fish python python2 python3 pypy pypy3 node nodejs ruby perl php lua deno"
    " bun osascript powershell pwsh cmd"
)
ANYTHING: Final = names(
    "env sudo doas su git rm xargs nohup command exec eval ssh docker podman kubectl npx uvx"
)
"""Alone they say nothing about what happens."""
RUNNERS: Final = frozenset(
    {
        ("npm", "run"), ("npm", "exec"), ("npm", "x"), ("pnpm", "run"), ("pnpm", "exec"),
        ("pnpm", "dlx"), ("yarn", "run"), ("yarn", "dlx"), ("uv", "run"), ("poetry", "run"),
        ("pipx", "run"), ("bun", "run"), ("bun", "x"), ("deno", "run"), ("deno", "eval"),
        ("cargo", "run"), ("go", "run"), ("npm",), ("pnpm",), ("yarn",), ("uv",), ("poetry",),
        ("pipx",), ("cargo",), ("go",),
    }
)  # fmt: skip
VERSIONED: Final = re.compile(r"(python|pypy|perl|ruby|lua|php)[\d.]*")


def too_broad(prefix: Words) -> bool:
    """Would a rule for these first words allow anything at all?"""
    if not prefix or not all(prefix[:1]):
        return True
    name, rest = base_name(prefix[0]), prefix[1:]
    if (name, *rest) in RUNNERS:
        return True
    if name in INTERPRETERS or VERSIONED.fullmatch(name) is not None:
        return all(word.startswith("-") or word.lower() == "/c" for word in rest)
    if name in ("env", "sudo", "doas"):
        inner = tuple(word for word in _inner(name, rest) if word is not None)
        return not inner or too_broad(inner)
    return not rest and name in ANYTHING


def base_name(program: str) -> str:
    """The last part of a path, without `.exe`."""
    name = program.replace("\\", "/").rpartition("/")[2]
    return name[:-4].lower() if name.lower().endswith(".exe") else name
