"""What `octavo sandbox` needs of the settings, each value with the place it was written.

Layers, weakest first: `HOME/config.toml`, `HOME/NAME.config.toml` (`-p NAME`), `-c key=value`.
Keys of other rooms are left alone: `octavo.config.settings` reads them all, and uses this too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from octavo.config.layers import Layer, Merged, file_layer, flag_layer
from octavo.config.toml_lines import Keys
from octavo.policy import secrets
from octavo.policy.paths import inward, join, printable
from octavo.policy.presets import BUILT_IN, MODES, NAME_OF, preset, with_roots, writable_root
from octavo.policy.reader import Origin, Reader
from octavo.policy.tables import from_tables
from octavo.policy.words import quoted, suggestion
from octavo.protocol.errors import ConfigError, UsageError
from octavo.protocol.permissions import FileRule, Mode, PermissionRules, RuleRef

MAIN_FILE: Final = "config.toml"
NAMED_FILE: Final = ".config.toml"
WORKSPACE: Final = "sandbox_workspace_write"
SWITCHES: Final = (
    "network_access", "exclude_tmpdir_env_var", "exclude_slash_tmp", "git_write",
    "protect_metadata",
)  # fmt: skip


class SandboxSettings(Struct, frozen=True, kw_only=True):
    """What files and `-c` flags say about the sandbox."""

    mode: Mode | None = None
    """`sandbox_mode`."""
    writable_roots: tuple[str, ...] = ()
    """Absolute, or from `~/`; a relative one was seen from the folder of its file."""
    network_access: bool = False
    exclude_tmpdir_env_var: bool = False
    exclude_slash_tmp: bool = False
    git_write: bool = False
    """`git commit` works: objects, refs, index and logs may be written, hooks and config not."""
    protect: bool = True
    """`protect_metadata`: keep `.git` and its kin read-only."""
    default_permissions: str | None = None
    """The profile to use; stands in for `mode`, unless a stronger layer sets that."""
    permissions: Mapping[str, object] = {}
    """The `[permissions]` tables, unread until one is chosen."""
    origins: Mapping[Keys, Origin] = {}
    """Where each key path was written."""
    secrets: Literal["none", "home", "all"] = "home"
    """`deny_secrets`: which stores of credentials commands may not read."""
    warnings: tuple[str, ...] = ()

    def origin(self, keys: Keys) -> Origin:
        """Where a key path, or the nearest table around it, was written."""
        while keys:
            if keys in self.origins:
                return self.origins[keys]
            keys = keys[:-1]
        return Origin()


def load_sandbox_settings(
    home: str, *, cwd: str, profile: str | None = None, overrides: Sequence[str] = ()
) -> SandboxSettings:
    """Read the settings in force. `home` is Octavo's home folder, which may be missing.

    Raises ConfigError (file, line, key, what was found, what is allowed) for settings that are
    wrong, UsageError for a `-c` without `=`.
    """
    layers = [file_layer(str(Path(home) / MAIN_FILE))]
    if profile is not None:
        layers.append(named_layer(home, profile))
    layers += [flag_layer(override) for override in overrides]
    return sandbox_settings(Merged([layer for layer in layers if layer is not None]), cwd)


def resolve_profile(
    settings: SandboxSettings,
    *,
    cwd: str,
    mode: str | None = None,
    permission_profile: str | None = None,
    add_dirs: Sequence[str] = (),
    network: bool | None = None,
    git_write: bool | None = None,
    protect: bool | None = None,
    default_mode: Mode = "read-only",
) -> PermissionRules:
    """The permission rules that settings and command-line flags ask for together.

    `mode` is `-s`, `permission_profile` is `-P`; a flag beats every setting, and
    `default_mode` holds when nothing is said. `add_dirs` are seen from `cwd`. Raises UsageError
    for flags that contradict each other or the mode, ConfigError for a profile that is wrong.
    """
    if mode is not None and permission_profile is not None:
        raise UsageError("a sandbox mode and a permission profile exclude each other: give one")
    if mode is not None and mode not in MODES:
        preset(mode)  # says what is wrong; the `:name` spelling belongs to profiles
        raise UsageError(f"{quoted(mode)} is a profile: choose it with -P")
    rules = _chosen(settings, mode, permission_profile, default_mode)
    if add_dirs and rules.name == NAME_OF["read-only"]:
        raise UsageError(
            "an added folder would be writable, but the mode is read-only",
            hint="add -s workspace-write",
        )
    if not rules.unrestricted:
        rules = with_roots(rules, (_added(path, cwd) for path in add_dirs))
        rules = replace(
            rules,
            git_write=rules.git_write if git_write is None else git_write,
            protect=rules.protect if protect is None else protect,
            secrets=settings.secrets,
        )
    if network is not None and network != rules.network.enabled:
        rules = _with_network(rules, enabled=network)
    return replace(rules, warnings=(*settings.warnings, *rules.warnings))


def named_layer(home: str, profile: str) -> Layer:
    """The file of `-p NAME`. Raises UsageError for a bad name, ConfigError for a missing file."""
    if not profile or "/" in profile or "\0" in profile or profile.startswith("."):
        raise UsageError(f"{quoted(profile)} cannot be the name of a settings profile")
    path = Path(home) / f"{profile}{NAMED_FILE}"
    layer = file_layer(str(path))
    if layer is None:
        known = (found.name.removesuffix(NAMED_FILE) for found in Path(home).glob(f"*{NAMED_FILE}"))
        near = suggestion(profile, sorted(known))
        raise ConfigError(
            f"there is no settings profile {quoted(profile)}{near}", file=printable(str(path))
        )
    return layer


def sandbox_settings(merged: Merged, cwd: str) -> SandboxSettings:
    """What merged layers say about the sandbox. Raises ConfigError."""
    origins = merged.origins()
    settings = SandboxSettings(origins=origins)
    reader = Reader(settings.origin)
    table = merged.table
    for key in ("profile", "profiles"):
        if key in table:
            hint = f"put the settings into NAME{NAMED_FILE} beside {MAIN_FILE} and use -p NAME"
            raise reader.problem((key,), "is no longer understood", hint=hint)
    mode = reader.choice(("sandbox_mode",), table.get("sandbox_mode", MODES[0]), MODES)
    wanted = reader.choice(("deny_secrets",), table.get("deny_secrets", "home"), secrets.MODES)
    default = None
    if "default_permissions" in table:
        default = reader.text(("default_permissions",), table["default_permissions"])
        if merged.rank(("sandbox_mode",)) > merged.rank(("default_permissions",)):
            default = None  # a stronger layer chose a mode
    workspace = reader.table((WORKSPACE,), table.get(WORKSPACE, {}))
    reader.known_keys((WORKSPACE,), workspace, ("writable_roots", *SWITCHES))
    switches = {
        "protect" if key == "protect_metadata" else key: reader.flag(
            (WORKSPACE, key), workspace[key]
        )
        for key in SWITCHES
        if key in workspace
    }
    return replace(
        settings,
        mode=next((known for known in MODES if known == mode and "sandbox_mode" in table), None),
        writable_roots=_roots(reader, settings, workspace, cwd),
        default_permissions=default,
        permissions=reader.table(("permissions",), table.get("permissions", {})),
        secrets="none" if wanted == "none" else "all" if wanted == "all" else "home",
        warnings=tuple(reader.warnings),
        **switches,
    )


def _roots(
    reader: Reader, settings: SandboxSettings, workspace: Mapping[str, object], cwd: str
) -> tuple[str, ...]:
    """Writable folders, relative ones seen from the folder of their file."""
    keys = (WORKSPACE, "writable_roots")
    roots: list[str] = []
    for index, path in enumerate(reader.texts(keys, workspace.get("writable_roots", ()))):
        here = (*keys, str(index))
        if not path or "\0" in path:
            raise reader.expected(here, "a path", path)
        if path.startswith("~") and ".." in path.split("/"):
            raise reader.problem(here, f"`..` cannot follow `~`, found {quoted(path)}")
        origin = settings.origin(here)
        in_file = origin.file is not None and origin.source == "config"
        base = str(Path(origin.file).absolute().parent) if in_file and origin.file else cwd
        roots.append(
            path if path == "~" or path.startswith("~/") else join(inward(base), inward(path))
        )
    return tuple(roots)


def _chosen(
    settings: SandboxSettings, mode: str | None, profile: str | None, default_mode: Mode
) -> PermissionRules:
    """The profile or mode that counts, before flags change it."""
    asked: Keys | None = None
    if mode is None and profile is None:
        profile = settings.default_permissions
        asked = ("default_permissions",)
        mode = None if profile is not None else settings.mode or default_mode
    if profile is not None and profile not in BUILT_IN:
        return from_tables(profile, settings.permissions, settings.origin, asked=asked)
    name = profile or mode or default_mode
    if BUILT_IN.get(name, name) != "workspace-write":
        return preset(name)
    rules = preset(
        name,
        network=settings.network_access,
        writable_roots=_setting_rules(settings),
        exclude_tmpdir=settings.exclude_tmpdir_env_var,
        exclude_slash_tmp=settings.exclude_slash_tmp,
        git_write=settings.git_write,
        protect=settings.protect,
    )
    if not settings.network_access:
        return rules
    ref = _ref(settings, (WORKSPACE, "network_access"), "network_access = true")
    return replace(rules, network=replace(rules.network, ref=ref))


def _setting_rules(settings: SandboxSettings) -> list[FileRule]:
    keys = (WORKSPACE, "writable_roots")
    return [
        writable_root(path, _ref(settings, (*keys, str(i)), f"writable_roots = [{quoted(path)}]"))
        for i, path in enumerate(settings.writable_roots)
    ]


def _ref(settings: SandboxSettings, keys: Keys, text: str) -> RuleRef:
    return Reader(settings.origin).ref(keys, text)


def _added(path: str, cwd: str) -> FileRule:
    ref = RuleRef(text=f"--add-dir {printable(path)}", source="flag")
    if not path or "\0" in path:
        raise UsageError(f"{ref}: expected a path")
    return writable_root(join(inward(cwd), inward(path)), ref)


def _with_network(rules: PermissionRules, *, enabled: bool) -> PermissionRules:
    """The network switched by a flag. Full access without a network needs a sandbox after all."""
    ref = RuleRef(text=f"--network {'on' if enabled else 'off'}", source="flag")
    network = replace(rules.network, enabled=enabled, ref=ref)
    if not enabled:
        network = replace(network, unix_sockets=False)
    return replace(rules, network=network, unrestricted=False)
