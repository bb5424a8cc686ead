"""The hooks of a folder, from every layer of settings, and which of them may run.

A file that is wrong is an error, as with settings: a guard that is silently left out is none.
What a newer version knows (events, kinds of handlers) is passed over with a warning.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from octavo.config.check import typed
from octavo.config.extras import STATE, hook_files
from octavo.config.hook_trust import Entry, changed, fingerprint
from octavo.config.layers import AT_MOST, Layer
from octavo.config.look import read_regular
from octavo.config.settings import Loaded
from octavo.policy.paths import printable
from octavo.policy.reader import Reader
from octavo.policy.words import suggestion
from octavo.protocol.errors import ConfigError
from octavo.protocol.hooks import LABELS, UNMATCHED, Hook, HookEvent, OnFailure

FLAGS: Final = (
    r"C:\<session-flags>\config.toml"
    if sys.platform == "win32"
    else ("/<session-flags>/config.toml")
)
"""The source of hooks that were given as `-c`."""
MANAGED_KINDS: Final = ("system", "managed", "required")
ALIASES: Final = {
    "command_windows": "commandWindows",
    "status_message": "statusMessage",
    "additional_context_limit": "additionalContextLimit",
    "onFailure": "on_failure",
}
IGNORED: Final = ("managed_dir", "windows_managed_dir")
END_MOST_S: Final = 3
"""Seconds a session's end may take, whatever a hook asks for."""

Standing = Literal["managed", "trusted", "untrusted", "modified", "disabled"]


class FoundHook(Struct, frozen=True, kw_only=True):
    """A hook and whether it runs."""

    hook: Hook
    fingerprint: str
    standing: Standing

    @property
    def runs(self) -> bool:
        """It may run."""
        return self.standing in ("managed", "trusted")


class Hooks(Struct, frozen=True, kw_only=True):
    """All hooks of a folder."""

    found: tuple[FoundHook, ...] = ()
    warnings: tuple[str, ...] = ()

    def runnable(self, *, bypass: bool = False) -> tuple[Hook, ...]:
        """Those that run; `bypass` leaves out the question whether somebody reviewed them."""
        return tuple(
            one.hook if one.runs else msgspec.structs.replace(one.hook, files=None)
            for one in self.found
            if one.runs or (bypass and one.standing != "disabled")
        )

    def notice(self, *, bypass: bool = False) -> str | None:
        """One sentence about hooks that nobody reviewed; None when there are none."""
        waiting = [one for one in self.found if one.standing in ("untrusted", "modified")]
        if not waiting:
            return None
        names = ", ".join(f"{printable(one.hook.name)} ({WORDS[one.standing]})" for one in waiting)
        if bypass:
            return f"hooks run without review, because you said so: {names}"
        return f"hooks that do not run: {names}; `octavo hooks list` shows them, `octavo hooks trust` lets them run"


WORDS: Final[Mapping[Standing, str]] = {
    "untrusted": "not reviewed",
    "modified": "changed since it was reviewed",
}


class _Handler(Struct, frozen=True, kw_only=True):
    type: str
    command: str = ""
    command_windows: str | None = msgspec.field(name="commandWindows", default=None)
    timeout: Annotated[int, Meta(ge=0)] | None = None
    background: bool = msgspec.field(name="async", default=False)
    status_message: str | None = msgspec.field(name="statusMessage", default=None)
    context_tokens: Annotated[int, Meta(ge=0)] | None = msgspec.field(
        name="additionalContextLimit", default=None
    )
    on_failure: OnFailure = "allow"


class _Group(Struct, frozen=True, kw_only=True):
    matcher: str | None = None
    hooks: tuple[_Handler, ...] = ()


class _Events(Struct, frozen=True, kw_only=True):
    hooks: Mapping[str, tuple[_Group, ...]] = {}


class _Source(Struct, frozen=True, kw_only=True):
    """One place hooks are written in."""

    kind: str
    name: str
    """What keys begin with."""
    layer: Layer
    table: Mapping[str, Any]
    """Events to groups, unread."""


def load_hooks(loaded: Loaded) -> Hooks:
    """All hooks in force for a folder, and which of them somebody trusts. Raises ConfigError."""
    if loaded.settings.features.get("hooks") is False:
        return Hooks()
    warnings: list[str] = []
    trusted = trust_entries(loaded)
    only_managed = any(cap.requirements.allow_managed_hooks_only for cap in loaded.caps)
    found: list[FoundHook] = []
    left_out = 0
    for source in _sources(loaded, warnings):
        for hook, print_ in _read(source, warnings):
            managed = source.kind in MANAGED_KINDS
            if only_managed and not managed:
                left_out += 1
                continue
            entry = None if managed else trusted.get(hook.key, Entry())
            found.append(_judged(hook, print_, entry, loaded.cwd))
    if left_out:
        warnings.append(f"{left_out} hooks do not run: only those of your administrator may")
    return Hooks(found=tuple(found), warnings=tuple(warnings))


def trust_entries(loaded: Loaded) -> dict[str, Entry]:
    """What the user said about hooks: in the home's own settings, a profile, or flags.

    A project cannot vouch for itself.
    """
    found: dict[str, Entry] = {}
    for placed in loaded.stack.placed:
        if placed.kind not in ("user", "profile", "flag"):
            continue
        hooks = placed.layer.table.get("hooks")
        state = hooks.get(STATE) if isinstance(hooks, Mapping) else None
        if state is None:
            continue
        reader = Reader(placed.layer.origin, prefix=("hooks",))
        for key, value in reader.table((STATE,), state).items():
            inner = Reader(placed.layer.origin, prefix=("hooks", STATE, key))
            found[key] = typed(reader.table((STATE, key), value), Entry, inner)
    return found


def _judged(hook: Hook, print_: str, entry: Entry | None, cwd: str) -> FoundHook:
    standing: Standing = "managed"
    if entry is not None:
        hook = msgspec.structs.replace(hook, files=entry.files)
        if not entry.enabled:
            standing = "disabled"
        elif entry.trusted_hash is None:
            standing = "untrusted"
        else:
            same = entry.trusted_hash == print_ and changed(hook, cwd) is None
            standing = "trusted" if same else "modified"
    return FoundHook(hook=hook, fingerprint=print_, standing=standing)


# ---- the places -------------------------------------------------------------------------------


def _sources(loaded: Loaded, warnings: list[str]) -> Iterator[_Source]:
    """Every place with hooks, in the order they run."""
    for cap in loaded.caps:
        if cap.requirements.hooks:
            yield _Source(
                kind="required",
                name=cap.layer.name,
                layer=cap.layer,
                table=cap.requirements.hooks,
            )
    files = list(hook_files(loaded))
    for kind in ("system", "user", "profile", "project"):
        yield from (_file(kind, path) for other, path in files if other == kind)
        yield from _layers(loaded, kind)
    warnings += [
        f"{printable(path)}: its hooks are ignored, because {loaded.trust.path} is not trusted"
        for kind, path in files
        if kind == "untrusted"
    ]
    yield from _flags(loaded)
    yield from _layers(loaded, "managed")


def _layers(loaded: Loaded, kind: str) -> Iterator[_Source]:
    for placed in loaded.stack.placed:
        if placed.kind == kind and "hooks" in placed.layer.table:
            table = Reader(placed.layer.origin).table(("hooks",), placed.layer.table["hooks"])
            yield _Source(kind=kind, name=placed.layer.name, layer=placed.layer, table=table)


def _flags(loaded: Loaded) -> Iterator[_Source]:
    """All flags are one place: of two for one event the later counts, as with every setting."""
    table: dict[str, Any] = {}
    for source in _layers(loaded, "flag"):
        table |= source.table
    if table:
        layer = Layer(FLAGS, {"hooks": table}, {}, flag=True)
        yield _Source(kind="flag", name=FLAGS, layer=layer, table=table)


def _file(kind: str, path: str) -> _Source:
    shown = printable(path)
    try:
        data = read_regular(path, AT_MOST + 1)
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be read: {reason}", file=shown) from wrong
    if len(data) > AT_MOST:
        raise ConfigError(f"is larger than {AT_MOST // 1024 // 1024} MiB", file=shown)
    try:
        table = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as wrong:
        raise ConfigError(f"not valid JSON: {wrong}", file=shown) from wrong
    layer = Layer(path, table if isinstance(table, dict) else {}, {})
    if not isinstance(table, dict) or not isinstance(table.get("hooks", {}), dict):
        raise ConfigError('expected {"hooks": {EVENT: […]}}', file=shown)
    if "hooks" not in table and any(key in LABELS for key in table):
        raise ConfigError("the events belong under a key `hooks`", file=shown)
    return _Source(kind=kind, name=path, layer=layer, table=table.get("hooks", {}))


# ---- one place --------------------------------------------------------------------------------


def _read(source: _Source, warnings: list[str]) -> Iterator[tuple[Hook, str]]:
    """The hooks of one place, with their fingerprints."""
    reader = Reader(source.layer.origin)
    events: dict[str, Any] = {}
    for name, groups in source.table.items():
        if name in LABELS:
            events[name] = _without_aliases(groups)
        elif name != STATE and name not in IGNORED:
            near = suggestion(name, LABELS)
            reader.warn(("hooks", name), f"there is no such event{near}; it is ignored")
    known = typed({"hooks": events}, _Events, reader)
    for event in LABELS:
        for number, group in enumerate(known.hooks.get(event, ())):
            _check_matcher(event, number, group, reader)
            for index, handler in enumerate(group.hooks):
                keys = ("hooks", event, str(number), "hooks", str(index))
                found = _hook(source, event, number, index, group, handler, reader, keys)
                if found is not None:
                    yield found, fingerprint(found, group.matcher)
    warnings += reader.warnings


def _hook(
    source: _Source,
    event: HookEvent,
    number: int,
    index: int,
    group: _Group,
    handler: _Handler,
    reader: Reader,
    keys: tuple[str, ...],
) -> Hook | None:
    if handler.type in ("prompt", "agent", "mcp_tool"):
        reader.warn(keys, f"hooks of the type {handler.type!r} are not run here; it is ignored")
        return None
    if handler.type != "command":
        raise reader.problem(
            (*keys, "type"), f'expected "command", found "{printable(handler.type)}"'
        )
    command = handler.command
    if sys.platform == "win32" and handler.command_windows is not None:
        command = handler.command_windows
    if not command.strip() or "\0" in command:
        raise reader.problem((*keys, "command"), "expected a command")
    shown = source.name if source.kind != "flag" else "-c"
    values: dict[str, Any] = {}
    if handler.context_tokens is not None:
        values["context_tokens"] = handler.context_tokens
    return Hook(
        event=event,
        command=command,
        key=f"{source.name}:{LABELS[event]}:{number}:{index}",
        source=shown,
        matcher=None if event in UNMATCHED else group.matcher,
        timeout_s=_timeout(event, handler.timeout),
        background=handler.background,
        status_message=handler.status_message,
        on_failure=handler.on_failure,
        **values,
    )


def _timeout(event: HookEvent, given: int | None) -> int:
    if event == "SessionEnd":
        return min(END_MOST_S, max(1, given or 1))
    return 600 if given is None else max(1, given)


def _check_matcher(event: HookEvent, number: int, group: _Group, reader: Reader) -> None:
    """A pattern that matches nothing because it is broken would be a guard that sleeps."""
    if group.matcher is None or event in UNMATCHED or group.matcher == "*":
        return
    try:
        re.compile(group.matcher)
    except (re.error, RecursionError, OverflowError) as wrong:
        keys = ("hooks", event, str(number), "matcher")
        raise reader.problem(keys, f"not a regular expression: {wrong}") from wrong


def _without_aliases(groups: object) -> object:
    """The same groups with the names of keys as they are documented."""
    if not isinstance(groups, list | tuple):
        return groups
    return [
        {
            **group,
            "hooks": [
                {ALIASES.get(key, key): value for key, value in one.items()}
                if isinstance(one, Mapping)
                else one
                for one in group["hooks"]
            ],
        }
        if isinstance(group, Mapping) and isinstance(group.get("hooks"), list | tuple)
        else group
        for group in groups
    ]
