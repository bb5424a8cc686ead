"""The JSON schema of the protocol, made from the table of methods."""

import json
from pathlib import Path
from typing import Any

import msgspec

from octavo.appserver.server import TABLE


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """One type, as JSON schema with its name as the title."""
    found: dict[str, Any] = msgspec.json.schema(kind)
    definitions = found.pop("$defs", {})
    own = definitions.pop(kind.__name__, found)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"{kind.__name__}Params",
        **own,
        **({"$defs": definitions} if definitions else {}),
    }


def write_schema(out: str) -> None:
    """`v2/NAMEParams.json` for every type of parameters, and `ClientRequest.json` over all."""
    folder = Path(out, "v2")
    folder.mkdir(parents=True, exist_ok=True)
    for method in TABLE.methods.values():
        name = f"{method.params.__name__}Params.json"
        text = json.dumps(schema_of(method.params), indent=2) + "\n"
        folder.joinpath(name).write_text(text, encoding="utf-8")
    Path(out, "ClientRequest.json").write_text(
        json.dumps(client_request(), indent=2) + "\n", encoding="utf-8"
    )


def client_request() -> dict[str, Any]:
    """Every request a client may make."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
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
            for name, method in sorted(TABLE.methods.items())
            if method.tier in ("core", "extended")
        ],
    }
