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
SECRETS: Final = ("*KEY*", "*SECRET*", "*TOKEN*")
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
        exclude += SECRETS
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


def _any(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name.upper(), pattern.upper()) for pattern in patterns)
