"""All settings in force for one folder: every layer read, checked, typed, with the origins kept.

`octavo sandbox` does not come here: it reads its few keys through `octavo.config.load`, and so
does this module, so that there is one meaning of each key.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.config.check import typed, unknown_keys
from octavo.config.load import SandboxSettings, sandbox_settings
from octavo.config.providers import check_providers
from octavo.config.requirements import Caps, capped, read_requirements
from octavo.config.schema import PATHS, TABLES, SandboxMode, Settings
from octavo.config.stack import SYSTEM_FOLDERS, LayerKind, Stack, stacked
from octavo.config.toml_lines import Keys
from octavo.config.trust import Trust
from octavo.policy.paths import join
from octavo.policy.reader import Origin, Reader


class Where(Struct, frozen=True):
    """Where a value comes from."""

    layer: LayerKind | None
    """None: nobody said anything, the default holds."""
    file: str | None = None
    """The file, or the flag as it was given."""
    line: int | None = None


class Loaded(Struct, frozen=True, kw_only=True):
    """The settings for one folder, and what is known about them."""

    settings: Settings
    sandbox: SandboxSettings
    """The sandbox's part, for `octavo.config.load.resolve_profile`; pass `default_mode` there."""
    home: str
    cwd: str
    """Absolute, without symlinks."""
    project_root: str
    trust: Trust
    default_mode: SandboxMode
    """The sandbox mode where nobody chose one."""
    warnings: tuple[str, ...]
    """One sentence each, for the door to show."""
    stack: Stack
    caps: tuple[Caps, ...] = ()
    """What administrators require."""
    system: tuple[str, ...] = ()
    """The folders of system-wide settings."""

    def origin(self, *keys: str) -> Where:
        """Where the value at a key path, or the nearest table around it, was written."""
        rank = self.stack.merged.rank(keys)
        if rank < 0:
            return Where(None)
        placed = self.stack.placed[rank]
        found = placed.layer.origin(keys)
        return Where(placed.kind, found.file, found.line)

    def chosen(self, *keys: str) -> bool:
        """Whether any layer says something at this key path."""
        return self.stack.merged.rank(keys) >= 0


def load_settings(
    *,
    home: str,
    cwd: str,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    profile: str | None = None,
    flags: Mapping[str, object] | None = None,
    strict: bool = False,
    user_settings: bool = True,
    system: Sequence[str] = SYSTEM_FOLDERS,
) -> Loaded:
    """Read the settings in force for `cwd`.

    `home` is Octavo's home folder, which may be missing. `overrides` are the `-c key=value`s;
    `flags` maps dotted keys to values that options of their own stand for, and beats them.
    `strict` turns unknown keys into errors. `user_settings=False` leaves out `home/config.toml`.

    Raises ConfigError (file, line, key, what was found, what is allowed), UsageError for a flag.
    """
    here = str(Path(cwd).resolve())
    stack = stacked(
        home=home,
        cwd=here,
        profile=profile,
        overrides=overrides,
        flags=flags or {},
        system=system,
        user_settings=user_settings,
    )
    sandbox = sandbox_settings(stack.merged, here)
    reader = Reader(lambda keys: _origin(stack, keys))
    _report_unknown(stack, reader, strict=strict)
    _resolve_paths(stack, here, environ)
    settings = typed(stack.merged.table, Settings, reader)
    check_providers(settings, lambda keys: _origin(stack, keys))
    _check_environment(settings, reader)
    mode: SandboxMode = "read-only" if stack.trust.level is None else "workspace-write"
    caps = read_requirements(system)
    for one in caps:
        settings = _within(settings, one, stack, mode)
    return Loaded(
        settings=settings,
        sandbox=_agreed(sandbox, settings, stack),
        home=home,
        cwd=here,
        project_root=stack.root,
        trust=stack.trust,
        default_mode=mode,
        warnings=_sentences(sandbox, stack, reader, caps),
        stack=stack,
        caps=caps,
        system=tuple(system),
    )


def _within(settings: Settings, caps: Caps, stack: Stack, mode: SandboxMode) -> Settings:
    return capped(
        settings,
        caps,
        default_mode=mode,
        chosen=lambda keys: stack.merged.rank(keys) >= 0,
        origin=lambda keys: _origin(stack, keys),
    )


def _agreed(sandbox: SandboxSettings, settings: Settings, stack: Stack) -> SandboxSettings:
    """The sandbox's part with what a cap put in place of a default."""
    if stack.merged.rank(("sandbox_mode",)) < 0 and settings.sandbox_mode is not None:
        return replace(sandbox, mode=settings.sandbox_mode)
    return sandbox


def _origin(stack: Stack, keys: Keys) -> Origin:
    rank = stack.merged.rank(keys)
    return Origin() if rank < 0 else stack.placed[rank].layer.origin(keys)


def _report_unknown(stack: Stack, reader: Reader, *, strict: bool) -> None:
    for keys, near in unknown_keys(stack.merged.table, TABLES):
        if strict:
            raise reader.problem(keys, f"unknown key{near}")
        reader.warn(keys, f"unknown key{near}; it is ignored")


def _sentences(
    sandbox: SandboxSettings, stack: Stack, reader: Reader, caps: Sequence[Caps]
) -> tuple[str, ...]:
    from_caps = (sentence for one in caps for sentence in one.warnings)
    return (*sandbox.warnings, *stack.warnings, *reader.warnings, *from_caps)


def _resolve_paths(stack: Stack, cwd: str, environ: Mapping[str, str]) -> None:
    """Paths in the merged table made absolute: from their file's folder, or from `cwd`."""
    for pattern in PATHS:
        _resolve(stack, stack.merged.table, pattern, (), cwd, environ)


def _resolve(
    stack: Stack,
    table: dict[str, object],
    pattern: Keys,
    above: Keys,
    cwd: str,
    environ: Mapping[str, str],
) -> None:
    step, *rest = pattern
    for name in tuple(table) if step == "*" else (step,):
        value = table.get(name)
        keys = (*above, name)
        if rest and isinstance(value, dict):
            _resolve(stack, value, tuple(rest), keys, cwd, environ)
        elif not rest and isinstance(value, str):
            table[name] = _absolute(value, _origin(stack, keys), cwd, environ)


def _absolute(path: str, origin: Origin, cwd: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    if home and (path == "~" or path.startswith("~/")):
        return join(home, path[2:])
    in_file = origin.file is not None and origin.source == "config"
    base = str(Path(origin.file).absolute().parent) if in_file and origin.file else cwd
    return join(base, path)


FILTERS_EXCLUDE: Final = ("exclude", "include_only")


def _check_environment(settings: Settings, reader: Reader) -> None:
    policy = settings.shell_environment_policy
    for key in FILTERS_EXCLUDE:
        if policy.filters and getattr(policy, key):
            keys = ("shell_environment_policy", key)
            raise reader.problem(keys, "cannot be used together with `filters`")
