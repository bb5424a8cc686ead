"""MCP servers as clients of the app server see them. Pure."""

from typing import Any, Final

from msgspec import Struct, to_builtins

from octavo.protocol.mcp import McpStatus, McpTool

Json = dict[str, Any]
AUTH: Final = {"not_logged_in": "notLoggedIn", "bearer_token": "bearerToken", "o_auth": "oAuth"}
HINTS: Final = {
    "read_only": "readOnlyHint",
    "destructive": "destructiveHint",
    "open_world": "openWorldHint",
    "idempotent": "idempotentHint",
}


def shown(found: McpStatus) -> Json:
    """A server, and what it offers."""
    return {
        "name": found.name,
        "tools": {name: tool(one) for name, one in found.tools.items()},
        "resources": [camel(one) for one in found.resources],
        "resourceTemplates": [camel(one) for one in found.templates],
        "authStatus": AUTH.get(found.auth, "unsupported"),
    }


def tool(found: McpTool) -> Json:
    """A tool with the protocol's names."""
    hints = {HINTS[name]: getattr(found, name) for name in HINTS}
    given = {
        "name": found.name,
        "title": found.title,
        "description": found.description or None,
        "inputSchema": dict(found.input_schema),
        "outputSchema": found.output_schema,
        "annotations": {name: hint for name, hint in hints.items() if hint is not None},
    }
    return {name: value for name, value in given.items() if value is not None}


def camel(one: Struct) -> Json:
    """A value with names like `mimeType`."""
    found: Json = to_builtins(one)
    return {"".join(words(name)): value for name, value in found.items()}


def words(name: str) -> list[str]:
    """mime_type -> mime, Type."""
    head, *rest = name.split("_")
    return [head, *(part.title() for part in rest)]
