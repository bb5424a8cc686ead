"""How an MCP server is reached, what it may do, and what it offers.

Settings become these values in `octavo.config.mcp`; `octavo.mcp` acts on them.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

ApprovalMode = Literal["auto", "prompt", "writes", "approve"]
"""`auto`: what the tool says of itself decides; `prompt`: always ask; `writes`: ask unless it only
reads; `approve`: never ask."""

AuthStatus = Literal["unsupported", "not_logged_in", "bearer_token", "o_auth", "unknown"]
"""`unsupported`: the server wants no login; `unknown`: it could not be reached to find out."""

ServerState = Literal["starting", "ready", "failed", "cancelled"]


class StdioTransport(Struct, frozen=True, kw_only=True):
    """A server that is a program of ours to start; it talks over stdin and stdout."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    """Given as they are."""
    env_vars: tuple[str, ...] = ()
    """Names that are passed on from our own environment."""
    cwd: str | None = None
    """Absolute; None: the folder of the thread."""
    sandbox: bool = False
    """It runs inside the thread's sandbox."""


class HttpTransport(Struct, frozen=True, kw_only=True):
    """A server at a web address."""

    url: str
    bearer_token_env_var: str | None = None
    http_headers: Mapping[str, str] = {}
    env_http_headers: Mapping[str, str] = {}
    """Header -> the variable that holds its value."""
    scopes: tuple[str, ...] = ()
    oauth_client_id: str | None = None
    """A client that is registered already; None: one is registered at login."""
    oauth_resource: str | None = None


class McpServer(Struct, frozen=True, kw_only=True):
    """One server as the settings describe it. Times in seconds."""

    name: str
    transport: StdioTransport | HttpTransport
    enabled: bool = True
    required: bool = False
    """A session cannot begin without it."""
    startup_timeout_s: float = 30.0
    tool_timeout_s: float = 300.0
    enabled_tools: tuple[str, ...] | None = None
    """None: all."""
    disabled_tools: tuple[str, ...] = ()
    """Taken away after `enabled_tools`."""
    approval: ApprovalMode = "auto"
    tools: Mapping[str, ApprovalMode] = {}
    """Modes of single tools."""
    parallel: bool = False
    """Its tools may run side by side, whatever they say of themselves."""

    def offers(self, tool: str) -> bool:
        """May the model know this tool?"""
        named = self.enabled_tools is None or tool in self.enabled_tools
        return named and tool not in self.disabled_tools

    def mode(self, tool: str) -> ApprovalMode:
        """When this tool is asked about."""
        return self.tools.get(tool, self.approval)


class McpTool(Struct, frozen=True, kw_only=True):
    """A tool as its server describes it."""

    name: str
    description: str = ""
    title: str | None = None
    input_schema: Mapping[str, object] = {}
    output_schema: Mapping[str, object] | None = None
    read_only: bool = False
    destructive: bool | None = None
    """None: it does not say."""
    open_world: bool | None = None
    idempotent: bool | None = None


class McpResource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a server lets others read."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None


class McpTemplate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address with gaps to fill in."""

    uri_template: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None


class McpPrompt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A text a server has ready for people to send."""

    name: str
    title: str | None = None
    description: str | None = None
    arguments: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


class McpStatus(Struct, frozen=True, kw_only=True):
    """How a server is, and what it offers."""

    name: str
    state: ServerState
    error: str | None = None
    tools: Mapping[str, McpTool] = {}
    resources: tuple[McpResource, ...] = ()
    templates: tuple[McpTemplate, ...] = ()
    auth: AuthStatus = "unsupported"


class Elicitation(Struct, frozen=True, kw_only=True):
    """A server wants to know something from the user. Exactly one of `schema` and `url`."""

    server: str
    message: str
    schema: Mapping[str, object] | None = None
    url: str | None = None
    elicitation_id: str | None = None


class ElicitationAnswer(Struct, frozen=True, kw_only=True):
    """What the user said to it."""

    action: Literal["accept", "decline", "cancel"] = "decline"
    content: Mapping[str, str | int | float | bool | list[str] | None] | None = None
