"""Methods about settings: what is in force, skills, permission profiles, providers."""

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from octavo.appserver import params

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

Json = dict[str, Any]
SECRET = ("experimental_bearer_token",)


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("config/read", params.ConfigRead)(read)
    table.method("modelProvider/list", tier="extended")(providers)
    table.method("permissionProfile/list", tier="extended")(profiles)
    table.method("mcpServerStatus/list", tier="extended")(servers)
    table.method("experimentalFeature/list", tier="extended")(features)


async def read(server: "Server", connection: "Connection", asked: params.ConfigRead) -> Json:
    """The settings in force, with where each was written."""
    loaded = server.engine.settings(asked.cwd)
    config = masked(msgspec.to_builtins(loaded.settings))
    origins = {}
    for key in config:
        where = loaded.origin(key)
        if where.file is not None:
            origins[key] = {
                "name": {"type": "user", "file": where.file, "profile": None},
                "version": "",
            }
    layers = None
    if asked.include_layers:
        table = masked(dict(loaded.stack.merged.table))
        layers = [{"name": {"type": "user"}, "version": version(table), "config": table}]
    return {"config": config, "origins": origins, "layers": layers}


def masked(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same without tokens."""
    if isinstance(value, dict):
        return {
            key: "*****" if key in SECRET and inner else masked(inner)
            for key, inner in value.items()
        }
    return [masked(one) for one in value] if isinstance(value, list | tuple) else value


def version(table: Json) -> str:
    """The version of a layer: a hash over its JSON with sorted keys."""
    text = msgspec.json.encode(table, order="sorted")
    return "sha256:" + hashlib.sha256(text).hexdigest()


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
    """The MCP servers; none are started yet."""
    return {"data": [], "nextCursor": None}


async def features(server: "Server", connection: "Connection", asked: object) -> Json:
    """The features of the settings."""
    found = server.engine.settings().settings.features
    data = [
        {"name": name, "stage": "stable", "enabled": bool(value), "defaultEnabled": False}
        for name, value in found.items()
    ]
    return {"data": data, "nextCursor": None}
