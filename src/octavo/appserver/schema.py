"""The JSON schema of the protocol, made from the table of methods."""

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from octavo.appserver.methods import Method
from octavo.appserver.server import TABLE

REF: Final = "#/definitions/{name}"
BUNDLE: Final = "octavo_app_server.schemas.json"
DRAFT: Final = "http://json-schema.org/draft-07/schema#"


def offered() -> dict[str, Method]:
    """The methods a client may use."""
    return {
        name: method
        for name, method in sorted(TABLE.methods.items())
        if method.tier in ("core", "extended")
    }


def schema_of(kind: type[msgspec.Struct], ending: str = "Params") -> dict[str, Any]:
    """One type, as JSON schema with its name as the title."""
    (_,), parts = msgspec.json.schema_components([kind], ref_template=REF)
    own = parts.pop(kind.__name__)
    return {
        "$schema": DRAFT,
        **own,
        "title": f"{kind.__name__}{ending}",
        **({"definitions": parts} if parts else {}),
    }


def files() -> dict[str, dict[str, Any]]:
    """Every file of the schema by its path."""
    found = {"ClientRequest.json": client_request(), BUNDLE: bundle()}
    for name, method in offered().items():
        for kind, ending in ((method.params, "Params"), (method.result, "Response")):
            found[f"v2/{kind.__name__}{ending}.json"] = schema_of(kind, ending)
        for title in (f"{published(name)}Params", f"{published(name)}Response"):
            kind = method.params if title.endswith("Params") else method.result
            ending = "Params" if title.endswith("Params") else "Response"
            found[f"v2/{title}.json"] = {**schema_of(kind, ending), "title": title}
    return found


def bundle() -> dict[str, Any]:
    """Everything in one file: the requests, and all types under `definitions`."""
    definitions: dict[str, Any] = {}
    for method in offered().values():
        for kind, ending in ((method.params, "Params"), (method.result, "Response")):
            (_,), parts = msgspec.json.schema_components([kind], ref_template=REF)
            parts[kind.__name__ + ending] = parts.pop(kind.__name__)
            definitions |= parts
    methods = {
        name: {
            "params": {"$ref": REF.format(name=f"{method.params.__name__}Params")},
            "result": {"$ref": REF.format(name=f"{method.result.__name__}Response")},
            "tier": method.tier,
        }
        for name, method in offered().items()
    }
    return {
        "$schema": DRAFT,
        "title": "OctavoAppServer",
        "methods": methods,
        "definitions": dict(sorted(definitions.items())),
    }


def as_text(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2) + "\n"


def published(method: str) -> str:
    """`thread/goal/set` -> `ThreadGoalSet`: clients look for the types of a method by this name."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[/_]", method))


def write_schema(out: str) -> None:
    """`v2/…Params.json` and `v2/…Response.json` for every method, `ClientRequest.json` over all."""
    Path(out, "v2").mkdir(parents=True, exist_ok=True)
    for name, schema in files().items():
        Path(out, name).write_text(as_text(schema), encoding="utf-8")


def client_request() -> dict[str, Any]:
    """Every request a client may make."""
    return {
        "$schema": DRAFT,
        "title": "ClientRequest",
        "oneOf": [
            {
                "type": "object",
                "title": f"{name}Request",
                "properties": {
                    "id": {"type": ["string", "integer"]},
                    "method": {"enum": [name]},
                    "params": {"$ref": f"v2/{method.params.__name__}Params.json"},
                },
                "required": ["id", "method"],
            }
            for name, method in offered().items()
        ],
    }
