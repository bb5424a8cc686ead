"""Methods about settings: what is in force, what is written, permission profiles, providers."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from octavo.appserver import params
from octavo.appserver.errors import MethodError
from octavo.config.edit import Edit, VersionConflict, apply_edits, key_path, version
from octavo.config.layers import Layer, Merged
from octavo.config.load import MAIN_FILE, NAMED_FILE
from octavo.config.stack import Placed
from octavo.config.toml_lines import Keys
from octavo.policy.words import dotted
from octavo.protocol.errors import ConfigError, OctavoError
from octavo.rpc.messages import INVALID_REQUEST

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server
    from octavo.config.settings import Loaded

Json = dict[str, Any]
SECRET = ("experimental_bearer_token",)


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("config/read", params.ConfigRead)(read)
    table.method("config/value/write", params.ConfigValueWrite, tier="extended")(write)
    table.method("config/batchWrite", params.ConfigBatchWrite, tier="extended")(batch_write)
    table.method("modelProvider/list", tier="extended")(providers)
    table.method("permissionProfile/list", tier="extended")(profiles)
    table.method("mcpServerStatus/list", tier="extended")(servers)
    table.method("experimentalFeature/list", tier="extended")(features)


async def read(server: "Server", connection: "Connection", asked: params.ConfigRead) -> Json:
    """The settings in force, with where each was written."""
    loaded = server.engine.settings(asked.cwd)
    config = masked(msgspec.to_builtins(loaded.settings))
    placed = layers_of(loaded)
    merged = Merged([one.layer for one in placed])
    named = [{"name": name_of(one), "version": version(one.layer.table)} for one in placed]
    origins = {dotted(keys): named[merged.rank(keys)] for keys in leaves(merged.table)}
    layers = None
    if asked.include_layers:
        layers = [
            {**name, "config": masked(dict(one.layer.table))}
            for one, name in zip(reversed(placed), reversed(named), strict=True)
        ]
    return {"config": config, "origins": origins, "layers": layers}


def layers_of(loaded: "Loaded") -> list[Placed]:
    """The layers in force, weakest first. The user's own is always there, if only to be written;
    all flags are one."""
    placed = [one for one in loaded.stack.placed if one.kind != "flag"]
    flags = [one.layer for one in loaded.stack.placed if one.kind == "flag"]
    if not any(one.kind == "user" for one in placed):
        own = Layer(str(Path(loaded.home) / MAIN_FILE), {}, {})
        below = sum(one.kind == "system" for one in placed)
        placed.insert(below, Placed("user", own))
    if flags:
        above = sum(one.kind != "managed" for one in placed)
        placed.insert(above, Placed("flag", Layer("", Merged(flags).table, {}, flag=True)))
    return placed


def name_of(placed: Placed) -> Json:
    """A layer in the protocol's words."""
    file = placed.layer.name
    match placed.kind:
        case "system":
            return {"type": "system", "file": file}
        case "user":
            return {"type": "user", "file": file, "profile": None}
        case "profile":
            profile = Path(file).name.removesuffix(NAMED_FILE)
            return {"type": "user", "file": file, "profile": profile}
        case "project":
            return {"type": "project", "dotCodexFolder": str(Path(file).parent)}
        case "flag":
            return {"type": "sessionFlags"}
        case "managed":
            return {"type": "legacyManagedConfigTomlFromFile", "file": file}


def leaves(table: Mapping[str, object], above: Keys = ()) -> Iterator[Keys]:
    """The key path of everything that is said."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, key))
        else:
            yield (*above, key)


# ---- write ------------------------------------------------------------------------------------


async def write(server: "Server", connection: "Connection", asked: params.ConfigValueWrite) -> Json:
    """Change one key of the user's settings; comments and order stay. Null removes it."""
    return await written(server, (asked,), asked.file_path, asked.expected_version)


async def batch_write(
    server: "Server", connection: "Connection", asked: params.ConfigBatchWrite
) -> Json:
    """Change several keys of the user's settings: all of them, or none."""
    return await written(server, asked.edits, asked.file_path, asked.expected_version)


async def written(
    server: "Server", asked: Sequence[params.ConfigEdit], file: str | None, expected: str | None
) -> Json:
    """Do it; threads that are loaded keep their settings. Raises MethodError."""
    own = Path(server.home) / MAIN_FILE
    if file is not None and not same_file(file, own):
        raise refused(f"only {own} can be written here, not {file}", "configLayerReadonly")
    try:
        edits = [
            Edit(keys=key_path(one.key_path), value=one.value, merge=one.merge_strategy)
            for one in asked
        ]
        done = await asyncio.to_thread(apply_edits, own, edits, expected=expected)
    except VersionConflict as error:
        raise refused(f"{error} ({error.hint})", "configVersionConflict") from error
    except OctavoError as error:
        text = str(error) if error.hint is None else f"{error} ({error.hint})"
        raise refused(f"Invalid configuration: {text}", "configValidationError") from error
    above = overriding(server, edits)
    return {
        "status": "ok" if above is None else "okOverridden",
        "version": done.version,
        "filePath": done.path,
        "overriddenMetadata": above,
    }


def same_file(one: str, other: Path) -> bool:
    """Whether both names lead to the same place."""
    return os.path.realpath(one) == os.path.realpath(other)


def refused(message: str, code: str) -> MethodError:
    """A change that is not made, with the code clients look for."""
    return MethodError(INVALID_REQUEST, message, {"config_write_error_code": code})


def overriding(server: "Server", edits: Sequence[Edit]) -> Json | None:
    """The first change that has no effect here, because a stronger layer says something else."""
    try:
        placed = layers_of(server.engine.settings())
    except ConfigError:  # of another layer; what was written is written
        return None
    own = max(at for at, one in enumerate(placed) if one.kind == "user")
    for edit in edits:
        said = value_at(placed[own].layer.table, edit.keys)
        for one in reversed(placed[own + 1 :]):
            value = value_at(one.layer.table, edit.keys)
            if value is not None and value != said:
                layer = {"name": name_of(one), "version": version(one.layer.table)}
                return {
                    "message": f"{dotted(edit.keys)} is set by a stronger layer, which counts here",
                    "overridingLayer": layer,
                    "effectiveValue": masked(value),
                }
    return None


def value_at(table: Mapping[str, object], keys: Keys) -> object:
    """What a layer says at a key path; None: nothing."""
    value: object = table
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


# ---- others -----------------------------------------------------------------------------------


def masked(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same without tokens."""
    if isinstance(value, dict):
        return {
            key: "*****" if key in SECRET and inner else masked(inner)
            for key, inner in value.items()
        }
    return [masked(one) for one in value] if isinstance(value, list | tuple) else value


async def providers(server: "Server", connection: "Connection", asked: object) -> Json:
    """The model providers of the settings."""
    found = server.engine.settings().settings
    names = dict.fromkeys(("openai", *found.model_providers))
    return {
        "data": [
            {"id": name, "name": name, "isDefault": name == found.model_provider} for name in names
        ],
        "nextCursor": None,
    }


async def profiles(server: "Server", connection: "Connection", asked: object) -> Json:
    """The permission profiles: the built-in ones and those of the settings."""
    own = server.engine.settings().settings.permissions
    names = (":read-only", ":workspace", ":danger-full-access", *own)
    return {"data": [{"id": name, "description": None} for name in names], "nextCursor": None}


async def servers(server: "Server", connection: "Connection", asked: object) -> Json:
    """The MCP servers of the settings: started, asked what they offer, and ended."""
    if not server.engine.settings().settings.mcp_servers:
        return {"data": [], "nextCursor": None}
    from octavo.appserver.mcp_status import shown  # noqa: PLC0415 - few have servers

    found = await server.engine.mcp_servers()
    return {"data": [shown(one) for one in found], "nextCursor": None}


async def features(server: "Server", connection: "Connection", asked: object) -> Json:
    """The features of the settings."""
    found = server.engine.settings().settings.features
    data = [
        {"name": name, "stage": "stable", "enabled": bool(value), "defaultEnabled": False}
        for name, value in found.items()
    ]
    return {"data": data, "nextCursor": None}
