"""The JSON schema of the settings file, made from the types. For editors and for people."""

from typing import Any, Final

import msgspec

from octavo.config.schema import Settings

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """The schema of `config.toml`: all keys, what they may be, and their defaults."""
    (root,), components = msgspec.json.schema_components(
        [Settings], schema_hook=_anything, ref_template="#/$defs/{name}"
    )
    name = root["$ref"].rpartition("/")[2]
    settings = components.pop(name)
    return {
        "$schema": DIALECT,
        **settings,
        "title": "config.toml",
        "$defs": dict(sorted(components.items())),
    }


def _anything(kind: type) -> dict[str, Any]:
    """A value of a table that another room reads by itself."""
    if kind is object:
        return {"description": "Read by the part of the program it belongs to."}
    raise NotImplementedError(kind)
