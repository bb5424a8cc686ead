"""Where the logins of MCP servers are kept: one file in the home folder, for its owner only.

A login belongs to a server's name and address together: a name that moves to another address does
not take its tokens with it. The system's keyring is used where the settings say so.
"""

import json
import os
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal

from octavo.mcp.base import McpError

Kind = Literal["auto", "file", "keyring"]
FILE: Final = "mcp_tokens.json"
SERVICE: Final = "Octavo MCP"
LARGEST: Final = 4 << 20
Entry = dict[str, Any]


class Tokens:
    """The stored logins of one home folder. `kind` is `mcp_oauth_credentials_store`.

    `auto` means the file. Raises McpError when the place cannot be read or written.
    """

    def __init__(self, home: str, kind: Kind = "auto") -> None:
        self.path = str(Path(home, FILE))
        self.kind = kind

    def find(self, server: str, url: str) -> Entry | None:
        """What is kept of a login; None when there is none."""
        if self.kind == "keyring":
            text = self._ring().get_password(SERVICE, key(server, url))
            return None if text is None else table(text)
        found = self._read().get(key(server, url))
        return found if isinstance(found, dict) else None

    def keep(self, server: str, url: str, entry: Entry) -> None:
        """Put it in place of what was there."""
        if self.kind == "keyring":
            self._ring().set_password(SERVICE, key(server, url), json.dumps(entry))
            return
        self._write(self._read() | {key(server, url): entry})

    def forget(self, server: str, url: str) -> bool:
        """True: there was something to forget."""
        if self.find(server, url) is None:
            return False
        if self.kind == "keyring":
            self._ring().delete_password(SERVICE, key(server, url))
            return True
        kept = self._read()
        kept.pop(key(server, url), None)
        self._write(kept)
        return True

    def _read(self) -> Entry:
        try:
            with Path(self.path).open("rb") as file:
                data = file.read(LARGEST)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise McpError(f"cannot read {self.path}: {error.strerror}") from error
        found = table(data)
        if found is None:
            raise McpError(
                f"{self.path} is not what this program writes there",
                hint="Delete it and log in to your MCP servers again.",
            )
        return found

    def _write(self, entries: Entry) -> None:
        place = Path(self.path)
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # readable for the owner alone from its first moment
            fd, name = tempfile.mkstemp(prefix=".mcp_tokens-", dir=place.parent)
            temporary = Path(name)
            try:
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    json.dump(entries, file, indent=1, sort_keys=True)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(place)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise McpError(f"cannot write {self.path}: {error.strerror}") from error

    def _ring(self) -> Any:  # noqa: ANN401 - an extra without types
        try:
            return import_module("keyring")
        except ImportError:
            raise McpError(
                'mcp_oauth_credentials_store is "keyring", and the library for it is missing',
                hint='Install the package `keyring`, or set it to "file".',
            ) from None


def key(server: str, url: str) -> str:
    """Under which name a login is kept."""
    return f"{server}|{url}"


def table(data: str | bytes) -> Entry | None:
    """JSON as a table; None for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
