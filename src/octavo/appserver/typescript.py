"""TypeScript declarations of the protocol, made from the table of methods."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from octavo.appserver.methods import Method
from octavo.appserver.schema import offered

HEAD: Final = "// Made by `octavo app-server generate-ts`; changes are lost.\n"
NAMES: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}  # fmt: skip
REF: Final = "#/$defs/{name}"


def write_types(out: str) -> None:
    """`v2/NAME.ts` for every type, `ClientRequest.ts` over all methods, and `index.ts`."""
    folder = Path(out, "v2")
    folder.mkdir(parents=True, exist_ok=True)
    found = dict(types(offered()))
    for name, schema in found.items():
        folder.joinpath(f"{name}.ts").write_text(module(name, schema), encoding="utf-8")
    Path(out, "ClientRequest.ts").write_text(requests(offered()), encoding="utf-8")
    names = sorted(found)
    lines = [f'export type {{ {name} }} from "./v2/{name}";' for name in names]
    lines.append('export type { ClientRequest, ClientResults } from "./ClientRequest";')
    Path(out, "index.ts").write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def types(methods: Mapping[str, Method]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every type with its schema: parameters end with Params, results with Response."""
    for method in methods.values():
        for kind, ending in ((method.params, "Params"), (method.result, "Response")):
            (_,), parts = msgspec.json.schema_components([kind], ref_template=REF)
            for name, schema in parts.items():
                yield (name + ending if name == kind.__name__ else name), schema


def module(name: str, schema: Mapping[str, Any]) -> str:
    """One type in its file, with what it needs of others."""
    body = written(schema)
    needed = sorted(set(refs(schema)) - {name})
    imports = [f'import type {{ {one} }} from "./{one}";' for one in needed]
    about = str(schema.get("description", "")).strip()
    note = f"/** {about} */\n" if about else ""
    return HEAD + "\n".join([*imports, f"{note}export type {name} = {body};"]) + "\n"


def refs(schema: Any) -> Iterator[str]:  # noqa: ANN401 - a JSON schema
    """The types a schema names."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield str(schema["$ref"]).rpartition("/")[2]
        for value in schema.values():
            yield from refs(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from refs(value)


def written(schema: Mapping[str, Any]) -> str:
    """A JSON schema as a TypeScript type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(written(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"Array<{written(schema.get('items', {}))}>"
    return record(schema) if kind == "object" else NAMES.get(str(kind), "unknown")


def record(schema: Mapping[str, Any]) -> str:
    """An object: with named properties, or with any names."""
    properties, values = schema.get("properties"), schema.get("additionalProperties")
    if properties:
        needed = schema.get("required", ())
        lines = (
            f"  {name}{'' if name in needed else '?'}: {written(one)};"
            for name, one in properties.items()
        )
        return "{\n" + "\n".join(lines) + "\n}"
    if properties is not None:
        return "Record<string, never>"
    return f"{{ [key: string]: {written(values if isinstance(values, Mapping) else {})} }}"


def requests(methods: Mapping[str, Method]) -> str:
    """Every request a client may make, and what answers it."""
    params = sorted({f"{one.params.__name__}Params" for one in methods.values()})
    results = sorted({f"{one.result.__name__}Response" for one in methods.values()})
    imports = [f'import type {{ {one} }} from "./v2/{one}";' for one in (*params, *results)]
    asked = [
        f'  | {{ id: string | number; method: "{name}"; params: {one.params.__name__}Params }}'
        for name, one in sorted(methods.items())
    ]
    answered = [
        f'  "{name}": {one.result.__name__}Response;' for name, one in sorted(methods.items())
    ]
    return (
        HEAD + "\n".join(imports) + "\nexport type ClientRequest =\n" + "\n".join(asked)
        + ";\nexport type ClientResults = {\n" + "\n".join(answered) + "\n};\n"
    )  # fmt: skip
