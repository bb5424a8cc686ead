"""The three modes as permission rules, and a writable folder added to any rules."""

from collections.abc import Iterable, Mapping
from typing import Final, get_args

from msgspec.structs import replace

from octavo.policy.paths import normalise, printable
from octavo.policy.words import choices, quoted, suggestion
from octavo.protocol.errors import PolicyError, UsageError
from octavo.protocol.permissions import (
    Access,
    FileRule,
    Mode,
    NetworkRules,
    PermissionRules,
    RuleRef,
)

MODES: Final[tuple[Mode, ...]] = get_args(Mode)

BUILT_IN: Final[Mapping[str, Mode]] = {
    ":read-only": "read-only",
    ":workspace": "workspace-write",
    ":danger-full-access": "danger-full-access",
}
"""Profile names that need no table, and the mode each is the same as."""

NAME_OF: Final[Mapping[str, str]] = {mode: name for name, mode in BUILT_IN.items()}


def preset(
    mode: str,
    *,
    network: bool = False,
    writable_roots: Iterable[str | FileRule] = (),
    exclude_tmpdir: bool = False,
    exclude_slash_tmp: bool = False,
    git_write: bool = False,
    protect: bool = True,
) -> PermissionRules:
    """The rules of a mode (`workspace-write`) or of the built-in profile of the same meaning
    (`:workspace`).

    Folders, temporary folders and git settings count for workspace-write only;
    danger-full-access always has the network. Raises UsageError for an unknown mode and for a
    relative folder, PolicyError for `/` as a writable folder.
    """
    known = BUILT_IN.get(mode, mode)
    if known == "danger-full-access":
        ref = RuleRef(text="danger-full-access", source="preset")
        return PermissionRules(
            name=":danger-full-access",
            files=(_rule(":root", Access.WRITE),),
            network=NetworkRules(enabled=True, unix_sockets=True, ref=ref),
            unrestricted=True,
            protect=False,
        )
    if known == "read-only":
        files = [_rule(":root", Access.READ)]
    elif known == "workspace-write":
        files = [_rule(":root", Access.READ), _rule(":workspace_roots", Access.WRITE, root=True)]
        files += [] if exclude_slash_tmp else [_rule(":slash_tmp", Access.WRITE)]
        files += [] if exclude_tmpdir else [_rule(":tmpdir", Access.WRITE)]
        files += map(writable_root, writable_roots)
    else:
        names = (*MODES, *BUILT_IN)
        raise UsageError(
            f"{quoted(mode)} is not a sandbox mode: choose {choices(MODES)}{suggestion(mode, names)}"
        )
    return PermissionRules(
        name=NAME_OF[known],
        files=tuple(files),
        network=_network(enabled=network),
        protect=protect,
        git_write=git_write,
    )


def writable_root(path: str | FileRule, ref: RuleRef | None = None) -> FileRule:
    """A folder (or file) that may be written, given as a whole: absolute or `~/...`.

    Raises UsageError when it is relative, PolicyError when it is `/`.
    """
    if isinstance(path, FileRule):
        return path
    shown = f"writable folder {quoted(path)}" if ref is None else str(ref)
    if path != "~" and not path.startswith(("/", "~/")):
        raise UsageError(f"{shown}: the path is relative, write it from `/` or `~/`")
    if path.startswith("~") and ".." in path.split("/"):
        raise UsageError(f"{shown}: `..` cannot follow `~`")
    try:
        normal = normalise(path)
    except ValueError as wrong:
        raise UsageError(f"{shown}: {wrong}") from wrong
    if normal == "/":
        raise PolicyError(
            f"{shown}: `/` is the whole disk",
            hint='give a profile the entry ":root" = "write", or use danger-full-access',
        )
    ref = ref or RuleRef(text=f'writable folder "{printable(normal)}"', source="program")
    return FileRule(path=normal, access=Access.WRITE, ref=ref, root=True)


def with_roots(rules: PermissionRules, roots: Iterable[FileRule]) -> PermissionRules:
    """The rules and some writable folders more."""
    return replace(rules, files=(*rules.files, *roots))


def _rule(path: str, access: Access, *, root: bool = False) -> FileRule:
    ref = RuleRef(text=f'"{path}" = "{access}"', source="preset")
    return FileRule(path=path, access=access, ref=ref, root=root)


def _network(*, enabled: bool) -> NetworkRules:
    if not enabled:
        return NetworkRules()
    return NetworkRules(enabled=True, ref=RuleRef(text="network on", source="program"))
