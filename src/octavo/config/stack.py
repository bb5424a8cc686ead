"""The layers of settings around a command, weakest first, and which of them may say what.

system → home → profile (`-p NAME`) → project (nearer wins, only when trusted) → flags → managed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from octavo.config.layers import Layer, Merged, file_layer, flag_layer
from octavo.config.load import MAIN_FILE, named_layer
from octavo.config.toml_lines import Keys
from octavo.config.trust import Trust, folders_between, project_root, trust_of
from octavo.policy.reader import Reader

LayerKind = Literal["system", "user", "profile", "project", "flag", "managed"]

SYSTEM_FOLDERS: Final = ("/etc/codex", "/etc/octavo")
MANAGED_FILE: Final = "managed_config.toml"
PROJECT_FOLDERS: Final = (".codex", ".octavo")
MARKERS: Final = (".git",)

NOT_FROM_PROJECTS: Final = frozenset({
    ("openai_base_url",), ("chatgpt_base_url",), ("apps_mcp_product_sku",),
    ("responses_api_metadata",), ("model_provider",), ("model_providers",), ("notify",),
    ("profile",), ("profiles",), ("otel",), ("features", "respect_system_proxy"),
    ("projects",), ("project_root_markers",), ("sqlite_home",), ("log_dir",),
    ("oss_provider",), ("cli_auth_credentials_store",), ("forced_login_method",),
})  # fmt: skip
"""What a folder's own settings may not say: where keys and prompts go, which programs start, and
who is trusted."""
NOT_FROM_PROJECTS_PREFIX: Final = "experimental_realtime"

OPTIONS: Final = {
    "model": "--model", "model_provider": "--local-provider", "sandbox_mode": "--sandbox",
    "approval_policy": "--ask-for-approval",
}  # fmt: skip
"""Under which name a person gave a flag that stands for a key."""


class Placed(Struct, frozen=True):
    """A layer and where it stands."""

    kind: LayerKind
    layer: Layer


class Stack(Struct, frozen=True, kw_only=True):
    """All layers in force."""

    placed: tuple[Placed, ...]
    merged: Merged
    root: str
    """The project's folder."""
    trust: Trust
    warnings: tuple[str, ...]


def stacked(
    *,
    home: str,
    cwd: str,
    profile: str | None,
    overrides: Sequence[str],
    flags: Mapping[str, object],
    system: Sequence[str],
    user_settings: bool,
) -> Stack:
    """Read every layer. Raises ConfigError for a file that is wrong, UsageError for a flag."""
    below: list[Placed] = [*_files("system", (f"{folder}/{MAIN_FILE}" for folder in system))]
    if user_settings:
        below += _files("user", (str(Path(home) / MAIN_FILE),))
    if profile is not None:
        below.append(Placed("profile", named_layer(home, profile)))
    above = [Placed("flag", flag_layer(one)) for one in overrides]
    above += [Placed("flag", option_layer(key, value)) for key, value in flags.items()]
    above += _files("managed", (f"{folder}/{MANAGED_FILE}" for folder in system))

    merged = _merge(below, above)
    root = project_root(cwd, _markers(merged))
    trust = trust_of(cwd, merged.table.get("projects"))
    project, warnings = _project(root, cwd, home, trust)
    if project:
        merged = _merge(below, project, above)
    return Stack(
        placed=(*below, *project, *above),
        merged=merged,
        root=root,
        trust=trust,
        warnings=warnings,
    )


def _merge(*parts: Sequence[Placed]) -> Merged:
    return Merged([placed.layer for part in parts for placed in part])


def _files(kind: LayerKind, paths: Iterator[str] | Sequence[str]) -> Iterator[Placed]:
    for path in paths:
        layer = file_layer(path)
        if layer is not None:
            yield Placed(kind, layer)


def option_layer(key: str, value: object) -> Layer:
    """A flag with a name of its own, as the setting it stands for."""
    table: dict[str, object] = {}
    inner = table
    *parents, last = key.split(".")
    for parent in parents:
        inner[parent] = inner = {}
    inner[last] = value
    return Layer(OPTIONS.get(key, f"-c {key}"), table, {}, flag=True)


def _markers(merged: Merged) -> Sequence[str]:
    """`project_root_markers`, which is needed before the settings can be checked as a whole."""
    if "project_root_markers" not in merged.table:
        return MARKERS
    reader = Reader(lambda keys: merged.origins()[keys])
    return reader.texts(("project_root_markers",), merged.table["project_root_markers"])


def _project(root: str, cwd: str, home: str, trust: Trust) -> tuple[list[Placed], tuple[str, ...]]:
    """The project's own layers, without what they may not say."""
    own_home = Path(home).resolve()
    files = [
        path
        for folder in folders_between(root, cwd)
        for name in PROJECT_FOLDERS
        if (path := Path(folder, name, MAIN_FILE)).exists() and path.parent.resolve() != own_home
    ]
    if trust.level != "trusted":
        ignored = f"its settings are ignored, because {trust.path} is not trusted"
        return [], tuple(f"{path}: {ignored}" for path in files)
    warnings: list[str] = []
    placed = [
        Placed("project", _allowed(found.layer, warnings))
        for found in _files("project", [str(path) for path in files])
    ]
    return placed, tuple(warnings)


def _allowed(layer: Layer, warnings: list[str]) -> Layer:
    """The layer without the keys that a project may not set; each is named in a warning."""
    reader = Reader(layer.origin)
    table = dict(layer.table)
    for keys in _refused(layer.table):
        reader.warn(keys, "a project's own settings may not say this; it is ignored")
        if len(keys) == 1:
            del table[keys[0]]
        else:
            outer = table[keys[0]]
            assert isinstance(outer, Mapping)
            table[keys[0]] = {key: value for key, value in outer.items() if key != keys[1]}
    warnings += reader.warnings
    return layer._replace(table=table)


def _refused(table: Mapping[str, object]) -> Iterator[Keys]:
    for key, value in table.items():
        if (key,) in NOT_FROM_PROJECTS or key.startswith(NOT_FROM_PROJECTS_PREFIX):
            yield (key,)
        elif isinstance(value, Mapping):
            yield from ((key, inner) for inner in value if (key, inner) in NOT_FROM_PROJECTS)
