"""MCP servers as tables, texts and JSON, with their secrets masked. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from octavo.cli.words import one_line
from octavo.config.environment import SECRETS
from octavo.config.mcp import ServerTable
from octavo.protocol.mcp import AuthStatus

Json = dict[str, Any]
MASK: Final = "*****"
NOTHING: Final = "-"
AUTH: Final[Mapping[AuthStatus, str]] = {
    "unsupported": "Unsupported",
    "not_logged_in": "Not logged in",
    "bearer_token": "Bearer token",
    "o_auth": "OAuth",
    "unknown": "Unknown",
}
STDIO: Final = ("Name", "Command", "Args", "Env", "Cwd", "Status", "Auth")
HTTP: Final = ("Name", "Url", "Bearer Token Env Var", "Status", "Auth")
HEADER: Final = re.compile(
    r"(authorization|[\w-]*(?:key|token|secret|cookie)[\w-]*)\s*:\s*\S", re.IGNORECASE
)


class Shown:
    """One server for people and programs. `open_secrets` shows what is masked otherwise."""

    def __init__(self, name: str, table: ServerTable, *, open_secrets: bool) -> None:
        self.name = name
        self.table = table
        self._mask: Callable[[str], str] = str if open_secrets else (lambda _: MASK)
        self._open = open_secrets

    @property
    def stdio(self) -> bool:
        """It is a program."""
        return self.table.command is not None

    def row(self, auth: AuthStatus) -> tuple[str, ...]:
        """Its line in the table of its kind."""
        table = self.table
        status = ("enabled" if table.enabled else "disabled", AUTH[auth])
        if not self.stdio:
            return self.name, self._url(), table.bearer_token_env_var or NOTHING, *status
        command = table.command or NOTHING
        return self.name, command, " ".join(self._args()), self._env(), table.cwd or "", *status

    def text(self, program: str) -> Iterator[str]:
        """What `get` prints."""
        if not self.table.enabled:
            yield f"{self.name} (disabled)"
            return
        yield self.name
        for key, value in self._lines():
            yield f"  {key}: {value or NOTHING}"
        yield f"  remove: {program} mcp remove {self.name}"

    def json(self) -> Json:
        """What both `get --json` and `list --json` have."""
        table = self.table
        return {
            "name": self.name,
            "enabled": table.enabled,
            "disabled_reason": None,
            "transport": self._stdio() if self.stdio else self._http(),
        }

    def limits(self) -> Json:
        """Time limits, for both."""
        startup = self.table.startup_timeout_sec
        if startup is None and self.table.startup_timeout_ms is not None:
            startup = self.table.startup_timeout_ms / 1000
        return {"startup_timeout_sec": startup, "tool_timeout_sec": self.table.tool_timeout_sec}

    def _lines(self) -> Iterator[tuple[str, str]]:
        table = self.table
        yield "enabled", "true"
        if table.enabled_tools is not None:
            yield "enabled_tools", ", ".join(table.enabled_tools)
        if table.disabled_tools:
            yield "disabled_tools", ", ".join(table.disabled_tools)
        if self.stdio:
            yield "transport", "stdio"
            yield "command", table.command or ""
            yield "args", " ".join(self._args())
            yield "cwd", table.cwd or ""
            yield "env", self._env()
        else:
            yield "transport", "streamable_http"
            yield "url", self._url()
            yield "bearer_token_env_var", table.bearer_token_env_var or ""
            yield "http_headers", pairs(self._masked(table.http_headers))
            yield "env_http_headers", pairs(table.env_http_headers)
        for key, value in self.limits().items():
            if value is not None:
                yield key, f"{value:g}"

    def _stdio(self) -> Json:
        table = self.table
        return {
            "type": "stdio",
            "command": table.command,
            "args": self._args(),
            "env": self._masked(table.env),
            "env_vars": list(table.env_vars),
            "cwd": table.cwd,
        }

    def _http(self) -> Json:
        table = self.table
        return {
            "type": "streamable_http",
            "url": self._url(),
            "bearer_token_env_var": table.bearer_token_env_var,
            "http_headers": self._masked(table.http_headers),
            "env_http_headers": table.env_http_headers,
            "http_headers_helper": None,
        }

    def _masked(self, values: Mapping[str, str] | None) -> dict[str, str] | None:
        return None if values is None else {key: self._mask(one) for key, one in values.items()}

    def _env(self) -> str:
        named = dict.fromkeys(self.table.env_vars, MASK)  # their values are not even known here
        return pairs({**(self._masked(self.table.env) or {}), **named})

    def _args(self) -> list[str]:
        return list(self.table.args) if self._open else masked_args(self.table.args)

    def _url(self) -> str:
        url = self.table.url or ""
        return url if self._open else masked_url(url)


def pairs(values: Mapping[str, str] | None) -> str:
    """`A=1, B=2`."""
    return ", ".join(f"{key}={value}" for key, value in sorted((values or {}).items()))


def secret(name: str) -> bool:
    """A name that sounds like a secret, as for the environment of commands."""
    plain = name.upper().replace("-", "_")
    return any(fnmatchcase(plain, pattern) for pattern in (*SECRETS, "*AUTHORIZATION*"))


def masked_args(args: Sequence[str]) -> list[str]:
    """Words of a command with what sounds like a secret masked."""
    found: list[str] = []
    follows = False
    for word in args:
        name, equals, _ = word.partition("=")
        if follows and not word.startswith("-"):
            found.append(MASK)
        elif equals and secret(name):
            found.append(f"{name}={MASK}")
        elif HEADER.match(word):
            found.append(f"{word.partition(':')[0]}: {MASK}")
        else:
            found.append(word)
        follows = word.startswith("-") and not equals and secret(word)
    return found


def masked_url(url: str) -> str:
    """An address without the password and the secrets in its query."""
    parts = urlsplit(url)
    host = parts.netloc
    if "@" in host:
        user, _, host = host.rpartition("@")
        name, colon, _ = user.partition(":")
        host = f"{name}:{MASK}@{host}" if colon else f"{MASK}@{host}"
    query = "&".join(
        f"{name}={MASK}" if equals and secret(name) else one
        for one in parts.query.split("&")
        for name, equals, _ in (one.partition("="),)
    )
    return urlunsplit(parts._replace(netloc=host, query=query))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns padded to their widest, two spaces between."""
    lines = [head, *([one_line(cell) or NOTHING for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
