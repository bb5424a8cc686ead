"""Which environment variables a command sees. Pure: the environment is passed in."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from octavo.config.schema import ShellEnvironment

CORE: Final = frozenset({
    "PATH", "SHELL", "TMPDIR", "TEMP", "TMP", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME",
    "USER",
})  # fmt: skip
"""What `inherit = "core"` keeps."""
SECRETS: Final = ("*KEY*", "*SECRET*", "*TOKEN*", "*PASSWORD*", "*PASSWD*", "*CREDENTIAL*")
THREAD_VARIABLE: Final = "CODEX_THREAD_ID"


def shape_environment(
    env: Mapping[str, str], policy: ShellEnvironment, thread_id: str | None = None
) -> dict[str, str]:
    """The variables for a command, in the order the policy gives.

    inherit → names that look like secrets → `exclude` → `set` → `include_only` → the thread's id.
    Patterns match whole names; case does not count.
    """
    exclude = [*policy.exclude, *(p for p, kind in policy.filters.items() if kind == "exclude")]
    only = [*policy.include_only, *(p for p, kind in policy.filters.items() if kind == "include")]
    if not policy.ignore_default_excludes:
        hidden = {name for name in env if _any(name, [*SECRETS]) and not _any(name, [*policy.keep])}
        env = {name: value for name, value in env.items() if name not in hidden}
    kept = {} if policy.inherit == "none" else dict(env)
    if policy.inherit == "core":
        kept = {name: value for name, value in kept.items() if name.upper() in CORE}
    kept = {name: value for name, value in kept.items() if not _any(name, exclude)}
    kept |= policy.set
    if only:
        kept = {name: value for name, value in kept.items() if _any(name, only)}
    if thread_id is not None:
        kept[THREAD_VARIABLE] = thread_id
    return kept


def held_back(env: Mapping[str, str], policy: ShellEnvironment) -> dict[str, str]:
    """The variables that commands do not get because their names look like secrets."""
    if policy.ignore_default_excludes:
        return {}
    given = shape_environment(env, policy)
    return {
        name: value
        for name, value in env.items()
        if value and _any(name, [*SECRETS]) and given.get(name) != value
    }


def _any(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)
