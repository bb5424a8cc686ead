"""The table `mcp_servers` as typed values.

Loaded only where the table has entries. A server that is described wrongly is one error that names
file, line and key; nothing is guessed.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from octavo.config.check import typed
from octavo.config.settings import Loaded
from octavo.policy.reader import Origin, Reader, nowhere
from octavo.policy.words import suggestion
from octavo.protocol.errors import OctavoError
from octavo.protocol.mcp import ApprovalMode, HttpTransport, McpServer, StdioTransport

NAME: Final = re.compile(r"[A-Za-z0-9_:@/.-]+")
"""What a server may be called."""
HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
STARTUP_S: Final = 30.0
TOOL_S: Final = 300.0
STDIO_KEYS: Final = ("command", "args", "env", "env_vars", "cwd", "sandbox")
HTTP_KEYS: Final = (
    "url",
    "bearer_token_env_var",
    "http_headers",
    "env_http_headers",
    "scopes",
    "oauth",
    "oauth_resource",
)
LONGEST_S: Final = 1e9


class OAuthTable(Struct, frozen=True, kw_only=True):
    """`oauth` of a server."""

    client_id: str | None = None


class ToolTable(Struct, frozen=True, kw_only=True):
    """`tools.NAME` of a server."""

    approval_mode: ApprovalMode | None = None


class ServerTable(Struct, frozen=True, kw_only=True):
    """One table below `mcp_servers`, as it is written."""

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] | None = None
    env_vars: tuple[str, ...] = ()
    cwd: str | None = None
    sandbox: bool = False
    url: str | None = None
    bearer_token_env_var: str | None = None
    http_headers: dict[str, str] | None = None
    env_http_headers: dict[str, str] | None = None
    scopes: tuple[str, ...] = ()
    oauth: OAuthTable | None = None
    oauth_resource: str | None = None
    enabled: bool = True
    required: bool = False
    startup_timeout_sec: float | None = None
    startup_timeout_ms: Annotated[int, Meta(ge=1)] | None = None
    tool_timeout_sec: float | None = None
    enabled_tools: tuple[str, ...] | None = None
    disabled_tools: tuple[str, ...] = ()
    default_tools_approval_mode: ApprovalMode = "auto"
    tools: dict[str, ToolTable] = {}
    supports_parallel_tool_calls: bool = False


def mcp_servers(loaded: Loaded) -> tuple[McpServer, ...]:
    """The servers of the settings, by name; those that are off, too. Raises ConfigError."""
    return servers_in(loaded.settings.mcp_servers, reader_of(loaded), base=loaded.cwd)


def reader_of(loaded: Loaded) -> Reader:
    """Reads `mcp_servers` and knows where each value was written."""

    def origin(keys: tuple[str, ...]) -> Origin:
        rank = loaded.stack.merged.rank(keys)
        return Origin() if rank < 0 else loaded.stack.placed[rank].layer.origin(keys)

    return Reader(origin, prefix=("mcp_servers",))


def servers_in(
    table: Mapping[str, object], reader: Reader | None = None, *, base: str = "/"
) -> tuple[McpServer, ...]:
    """The servers of a table `mcp_servers`, by name. `base`: the folder that a relative `cwd` is
    seen from. Raises ConfigError; unknown keys become warnings of the reader."""
    reader = reader or Reader(nowhere, prefix=("mcp_servers",))
    return tuple(server(name, table[name], reader, base) for name in sorted(table))


def server(name: str, value: object, reader: Reader, base: str = "/") -> McpServer:
    """One of them. Raises ConfigError."""
    if NAME.fullmatch(name) is None:
        raise reader.problem(
            (name,),
            "invalid server name",
            hint="use letters, numbers, '-', '_', ':', '@', '/', '.'",
        )
    written = reader.table((name,), value)
    if "bearer_token" in written:
        raise reader.problem(
            (name, "bearer_token"),
            "a token does not belong into the settings",
            hint="put it into a variable and name that in `bearer_token_env_var`",
        )
    inner = Under(reader, name)
    read = typed(dict(written), ServerTable, inner)
    known = ServerTable.__struct_encode_fields__
    for key in written:
        if key not in known:
            inner.warn((key,), f"unknown key{suggestion(key, known)}; it is ignored")
    return McpServer(
        name=name,
        transport=_transport(written, read, inner, base),
        enabled=read.enabled,
        required=read.required,
        startup_timeout_s=_startup(read, inner),
        tool_timeout_s=_seconds("tool_timeout_sec", read.tool_timeout_sec, TOOL_S, inner),
        enabled_tools=read.enabled_tools,
        disabled_tools=read.disabled_tools,
        approval=read.default_tools_approval_mode,
        tools=dict(_modes(read)),
        parallel=read.supports_parallel_tool_calls,
    )


class Under(Reader):
    """A reader of one server's table, which reports to the reader of all."""

    def __init__(self, outer: Reader, name: str) -> None:
        super().__init__()
        self._outer = outer
        self._name = name

    def problem(
        self, keys: tuple[str, ...], message: str, *, hint: str | None = None
    ) -> OctavoError:
        """See `Reader`."""
        return self._outer.problem((self._name, *keys), message, hint=hint)

    def warn(self, keys: tuple[str, ...], message: str) -> None:
        """See `Reader`."""
        self._outer.warn((self._name, *keys), message)


def _startup(read: ServerTable, reader: Reader) -> float:
    given = None if read.startup_timeout_ms is None else read.startup_timeout_ms / 1000
    default = STARTUP_S if given is None else min(given, LONGEST_S)
    return _seconds("startup_timeout_sec", read.startup_timeout_sec, default, reader)


def _seconds(key: str, value: float | None, default: float, reader: Reader) -> float:
    if value is None:
        return default
    if not 0 < value <= LONGEST_S:
        raise reader.expected((key,), "a number of seconds, more than 0", value)
    return value


def _modes(read: ServerTable) -> Iterator[tuple[str, ApprovalMode]]:
    for tool, table in read.tools.items():
        if table.approval_mode is not None:
            yield tool, table.approval_mode


def _transport(
    written: Mapping[str, object], read: ServerTable, reader: Reader, base: str
) -> StdioTransport | HttpTransport:
    if read.command is None and read.url is None:
        raise reader.problem((), "neither `command` nor `url` says how to reach it")
    stdio = read.command is not None
    for key in HTTP_KEYS if stdio else STDIO_KEYS:
        if key in written:
            kind = "a program (`command`)" if stdio else "at an address (`url`)"
            raise reader.problem((key,), f"means nothing for a server that is {kind}")
    return _stdio(read, reader, base) if stdio else _http(read, reader)


def _stdio(read: ServerTable, reader: Reader, base: str) -> StdioTransport:
    assert read.command is not None
    if not read.command.strip():
        raise reader.problem(("command",), "names no program")
    for key, words in (("command", (read.command,)), ("args", read.args), ("cwd", (read.cwd,))):
        if any("\0" in (word or "") for word in words):
            raise reader.problem((key,), "contains a NUL character")
    for name, value in (read.env or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise reader.problem(("env", name), "cannot be an environment variable")
    for name in read.env_vars:
        if not name or "=" in name or "\0" in name:
            raise reader.problem(("env_vars",), f"{name!r} cannot be an environment variable")
    return StdioTransport(
        command=read.command,
        args=read.args,
        env=read.env or {},
        env_vars=read.env_vars,
        cwd=None if read.cwd is None else str(Path(base, read.cwd)),
        sandbox=read.sandbox,
    )


def _http(read: ServerTable, reader: Reader) -> HttpTransport:
    assert read.url is not None
    try:
        parts = urlsplit(read.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not read.url.isprintable() or " " in read.url:
        raise reader.problem(("url",), f"expected an http or https address, found {read.url!r}")
    for key, headers in (
        ("http_headers", read.http_headers),
        ("env_http_headers", read.env_http_headers),
    ):
        for name, value in (headers or {}).items():
            if HEADER.fullmatch(name) is None or not value.isprintable():
                raise reader.problem((key, name), "cannot be a header")
    return HttpTransport(
        url=read.url,
        bearer_token_env_var=read.bearer_token_env_var,
        http_headers=read.http_headers or {},
        env_http_headers=read.env_http_headers or {},
        scopes=read.scopes,
        oauth_client_id=None if read.oauth is None else read.oauth.client_id,
        oauth_resource=read.oauth_resource,
    )
