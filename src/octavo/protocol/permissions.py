"""What one command may touch: access levels, file rules, network rules, a named profile.

Values only. `octavo.policy.profile` makes them from settings and decides paths with them;
`octavo.sandbox` turns them into something a kernel enforces.
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

Mode = Literal["read-only", "workspace-write", "danger-full-access"]


class Access(StrEnum):
    """What a command may do with a path. Ordered: NONE < READ < WRITE."""

    NONE = "none"
    READ = "read"
    WRITE = "write"


class RuleRef(Struct, frozen=True, kw_only=True):
    """Where a rule comes from, so that a person can find and change it."""

    text: str
    """The rule as the user would write it, e.g. `"docs" = "read"`."""
    source: Literal["preset", "config", "flag", "program", "protected", "default"]
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = self.source if self.file is None else f"{self.file}:{self.line}"
        return f"{self.text} ({where})"


class FileRule(Struct, frozen=True, kw_only=True):
    """One path, or one glob of paths to deny, and the access it gets.

    Before `effective()` the path may be a special root (`:root`, `:minimal`, `:tmpdir`,
    `:slash_tmp`, `:workspace_roots`, `:cwd`), `~/...`, or relative to a nested table;
    afterwards it is absolute and normal.
    """

    path: str
    access: Access
    ref: RuleRef
    glob: bool = False
    """The path is a pattern; only with `Access.NONE`."""
    protected: bool = False
    """Made by Octavo itself: `.git` and its kin under a writable root."""
    root: bool = False
    """A folder given as a whole (workspace root, `--add-dir`, `writable_roots`), not an entry
    of a profile. `/` and the home folder are refused as such a folder."""
    stand_in: str | None = None
    """While the path is missing: the text of the file that has to take its place, because an
    empty folder there would break the program that looks for it. None: an empty folder will do."""


class Injection(Struct, frozen=True, kw_only=True):
    """A header that a request gets on its way; the command never sees the secret."""

    header: str
    env: str | None = None
    """The variable of Octavo's own environment that holds the secret."""
    file: str | None = None
    """Or the file, absolute."""
    prefix: str = ""
    """Before the secret, for example "Bearer "."""


class RequestRule(Struct, frozen=True, kw_only=True):
    """Requests that a host may get. A host with such rules gets no others."""

    name: str
    host: str
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    """Prefixes; with `pattern:` before it, stars stand for anything inside one part."""
    query: tuple[tuple[str, tuple[str, ...]], ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    schemes: tuple[str, ...] = ("https",)
    ports: tuple[int, ...] = ()
    """Empty: every port."""
    strip: tuple[str, ...] = ()
    """Headers that are taken out, in small letters."""
    inject: tuple[Injection, ...] = ()
    ref: RuleRef


class NetworkRules(Struct, frozen=True, kw_only=True):
    """Whether and where a command may connect."""

    enabled: bool = False
    allow: tuple[str, ...] = ()
    """`host` or `host:port` patterns; empty with `enabled` means everything."""
    deny: tuple[str, ...] = ()
    loopback: bool = True
    """With the network off: a private loopback that works inside the sandbox."""
    unix_sockets: bool = False
    """Sockets on the file system may be created and reached (they ignore read-only mounts)."""
    socket_paths: tuple[str, ...] = ()
    """Only these sockets on the file system may be reached."""
    mode: Literal["full", "limited"] = "full"
    """`limited` lets GET, HEAD and OPTIONS through, nothing else; needs the proxy."""
    on_denial: Literal["cancel", "continue"] = "cancel"
    """A host that is refused ends the command, or is only told to it."""
    local_binding: bool = False
    """Loopback and private addresses of the host may be reached through the proxy."""
    requests: tuple[RequestRule, ...] = ()
    """Hosts whose requests are looked at one by one; needs the proxy."""
    broker: bool = False
    """Variables with secrets that are put into requests hold a placeholder for commands."""
    ref: RuleRef = RuleRef(text="network off", source="default")

    @property
    def by_host(self) -> bool:
        """Does it tell hosts or requests apart? Only a proxy can; the kernel cannot."""
        return bool(self.allow or self.deny or self.mode == "limited" or self.requests)

    @property
    def looked_into(self) -> bool:
        """Are encrypted connections looked into?"""
        return self.mode == "limited" or bool(self.requests)


class PermissionRules(Struct, frozen=True, kw_only=True):
    """A profile as written: rules with special roots still in them."""

    name: str
    files: tuple[FileRule, ...]
    network: NetworkRules = NetworkRules()
    unrestricted: bool = False
    """danger-full-access: no sandbox is set up at all."""
    protect: bool = True
    """Keep `.git`, `.codex`, `.agents` and `.octavo` under writable roots read-only."""
    secrets: Literal["none", "home", "all"] = "home"
    """Which stores of credentials are hidden, see `octavo.policy.secrets`."""
    git_write: bool = False
    """Open objects, refs, index and logs of `.git`; hooks, config and pointers stay closed."""
    glob_scan_max_depth: int | None = None
    """How many folders deep patterns are looked for where they have to be expanded first."""
    warnings: tuple[str, ...] = ()
    """What was ignored or looks wrong, one sentence each, for the door to show."""
