"""Turn file and network rules into a Seatbelt profile for macOS.

Pure: text in, text out, on any machine. The caller resolves symlinks through `canonical` and says
what does not exist through `missing`; `octavo.sandbox.macos.launch` carries the plan out.

Theory of operation. The profile denies by default; within one operation the last rule that matches
decides. So the rules are written shallow first, and each of them states what it changes about its
folder: "write" allows reading and writing, "read" allows reading and denies writing, "none" denies
both. A deeper rule comes later and therefore wins, which also reopens a folder inside a closed one.
Seatbelt prefers a rule for one operation (`file-write-unlink`) to a rule for its family
(`file-write*`) wherever that stands in the text. Rules for single operations therefore never
contradict a later family rule; tests evaluate every profile under both readings.

Seatbelt looks at names, at the moment of access. Whoever can rename a folder can carry its
contents out of a rule, so every folder between a writable root and a closed path is pinned: it
cannot be renamed or removed. A missing closed path is refused in every spelling of upper and lower
case, because the usual macOS volume would take `.CODEX` for `.codex`.

Paths reach the profile as parameters, never as text. Patterns cannot; `seatbelt_patterns` says how
they are written.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from octavo.policy.globs import has_braces
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox import seatbelt_base as base
from octavo.sandbox import seatbelt_patterns as patterns

Access = Literal["write", "read", "none"]
Network = Literal["off", "none", "on", "proxy"]
Rule = tuple[str, str, str]
"""(absolute path, "write" | "read" | "none", where the rule comes from)."""

SANDBOX_EXEC: Final = "/usr/bin/sandbox-exec"

# The system takes 1 MiB for arguments and environment together; the environment needs its share.
ARGUMENT_BYTES: Final = 640 * 1024

READ: Final = "file-read* file-test-existence file-map-executable process-exec*"
WRITE: Final = "file-write*"
STAT: Final = "file-read-metadata file-test-existence"

STRONGER: Final = {"read": 0, "write": 1, "none": 2}
"""Which access holds when two rules name the same path."""

OPENNESS: Final = {"none": 0, "read": 1, "write": 2}

CLOSED: Final = {"write": "", "read": WRITE, "none": f"{READ} {WRITE}"}
OPEN: Final = {"write": f"{READ} {WRITE}", "read": READ, "none": ""}
ADDED: Final = {"write": WRITE, "read": "", "none": ""}
"""What to open below a folder that can be read already."""

PREFIX: Final = {"write": "WRITABLE", "read": "READABLE", "none": "DENIED"}


@dataclass(frozen=True, slots=True)
class PlannedRule:
    """A rule as it stands in the profile."""

    parameter: str
    """Its name in the profile and in the messages of the system log."""
    path: str
    """The resolved path, or the pattern of a deny glob."""
    access: Access
    origin: str


@dataclass(frozen=True, slots=True)
class SeatbeltPlan:
    """How one command is confined on macOS. Data: it can be printed and compared."""

    profile: str
    parameters: dict[str, str]
    """Paths by the name the profile uses for them."""
    rules: tuple[PlannedRule, ...]
    """Paths shallow first, then globs, then links and folders that must keep their names."""
    notes: tuple[str, ...]
    """What was left out or costs something, and why; shown to the user."""
    environment: dict[str, str]
    """Variables the command gets on top of its own."""
    tag: str
    """Begins the messages that denials of this plan carry in the system log; may be empty."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before the command's own arguments."""
        values = (f"-D{key}={value}" for key, value in self.parameters.items())
        return (SANDBOX_EXEC, "-p", self.profile, *values, "--")

    def rule_named(self, message: str) -> PlannedRule | None:
        """The rule behind a message of the system log; None for the default and for strangers."""
        tag, _, parameter = message.partition(" ")
        if not self.tag or tag != self.tag:
            return None
        return next((rule for rule in self.rules if rule.parameter == parameter), None)

    def rule_for(self, path: str) -> PlannedRule | None:
        """The deepest rule above a resolved path; patterns are not consulted."""
        found = [
            rule
            for rule in self.rules
            if not rule.parameter.startswith(("GLOB_", "PIN_")) and _covers(rule.path, path)
        ]
        return max(found, key=lambda rule: len(rule.path), default=None)


def plan_macos(
    rules: Iterable[Rule],
    *,
    deny_globs: Iterable[tuple[str, str]] = (),
    network: Network = "off",
    ports: Sequence[int] = (),
    loopback: bool = False,
    unix_sockets: bool = False,
    minimal: bool = False,
    fold_case: bool = True,
    tag: str = "",
    canonical: Callable[[str], str] = str,
    missing: Callable[[str], bool] = lambda _path: False,
) -> SeatbeltPlan:
    """The profile that gives a command exactly these rights.

    `network`: "off" leaves loopback to `loopback`; "none" refuses that too; "proxy" opens `ports`
    on localhost. `unix_sockets` opens sockets below writable paths, and only there.
    `minimal` adds what programs need to run where the rules do not read everything.
    `fold_case=False` is for volumes that tell upper from lower case.
    `tag` (letters, digits, `-`, `_`) marks the denials of this plan in the system log.
    Raises `SandboxUnavailable` naming a rule that Seatbelt cannot hold.
    """
    if not all(char.isascii() and (char.isalnum() or char in "-_") for char in tag):
        _refuse(f"tag {tag!r}", "a tag has letters, digits, - and _ only", "Choose another tag.")
    table = _Table(rules, canonical, missing, minimal=minimal)
    globs = [_Glob(pattern, origin, canonical, table) for pattern, origin in deny_globs]
    writer = _Writer(tag)
    writer.text(f"(version 1)\n(deny default{writer.message('default')})\n")
    writer.text("\n" + base.BASE + "\n; What the system would allow by itself.\n")
    writer.deny("mach-lookup", base.BUNDLED_SERVICES, "default")
    if table.access("/") != "write":
        writer.deny("system-fcntl", base.CONTENT_CHANGES, "default")
    if table.restricted and minimal:
        writer.text("\n" + base.MINIMAL)
    files = _Files(writer, table, globs, unix_sockets=unix_sockets, fold_case=fold_case)
    files.write()
    _write_pins(writer, table, globs)
    _write_passages(writer, table, files.reopened, minimal=minimal)
    _write_network(writer, network, ports, loopback=loopback, unix_sockets=unix_sockets)
    return SeatbeltPlan(
        profile=writer.profile(),
        parameters=writer.parameters,
        rules=tuple(writer.rules),
        notes=(*table.notes, *writer.notes),
        environment=_environment(network),
        tag=tag,
    )


def _environment(network: Network) -> dict[str, str]:
    found = {"CODEX_SANDBOX": "seatbelt"}
    if network in ("off", "none"):
        found["CODEX_SANDBOX_NETWORK_DISABLED"] = "1"
    return found


def _refuse(rule: str, reason: str, remedy: str) -> NoReturn:
    raise SandboxUnavailable(f"Seatbelt cannot hold {rule}: {reason}", hint=remedy)


# Paths -------------------------------------------------------------------------------------------


def _covers(parent: str, path: str) -> bool:
    return parent == "/" or path == parent or path.startswith(parent + "/")


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _ancestors(path: str) -> Iterator[str]:
    """The folders above a path, nearest first, the root last."""
    while path != "/":
        path = _parent(path)
        yield path


def _join(parent: str, name: str) -> str:
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


def _check_path(path: str, rule: str) -> str:
    """The path without a trailing slash; a path that is not absolute and normal is refused."""
    if "\0" in path or not _encodable(path):
        _refuse(rule, "the path is no valid macOS file name", "Correct the path.")
    if not path.startswith("/"):
        _refuse(rule, "the path is not absolute", "Write the whole path.")
    plain = path.rstrip("/") or "/"
    if plain != "/" and any(part in ("", ".", "..") for part in plain[1:].split("/")):
        _refuse(rule, "the path is not normal", "Write it without `//`, `.` and `..`.")
    return plain


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Table:
    """The rules by resolved path, the links on the way, and what was left out."""

    def __init__(
        self,
        rules: Iterable[Rule],
        canonical: Callable[[str], str],
        missing: Callable[[str], bool],
        *,
        minimal: bool,
    ) -> None:
        self.notes: list[str] = []
        self.entries: dict[str, tuple[Access, str]] = {}
        self.links: dict[str, str] = {}
        given = [self._resolve(rule, canonical) for rule in rules]
        for path, access, origin, _links in given:
            self._add(path, access, origin)
        planted = [rule for rule in given if any(self.access(link) == "write" for link in rule[3])]
        if planted:
            self.entries.clear()
            for path, access, origin, _links in given:
                if (path, access, origin, _links) not in planted:
                    self._add(path, access, origin)
            self._add_planted(planted)
        self._drop_missing(missing)
        self.restricted = self.access("/") == "none"
        if minimal and self.restricted:
            for path in base.MINIMAL_READS:
                self._add(path, "read", ":minimal")

    def _resolve(
        self, rule: Rule, canonical: Callable[[str], str]
    ) -> tuple[str, Access, str, list[str]]:
        name = f"rule {rule[0]!r} ({rule[2]})"
        path = _check_path(rule[0], name)
        access = rule[1]
        if access not in STRONGER:
            _refuse(name, f"{access!r} is not an access", "Use write, read or none.")
        links, real = [], "/"
        for part in path[1:].split("/") if path != "/" else ():
            here = _join(real, part)
            real = _check_path(canonical(here), name)
            if real != here:
                links.append(here)
                self.links.setdefault(here, rule[2])
        return (
            real,
            "write" if access == "write" else "read" if access == "read" else "none",
            rule[2],
            links,
        )

    def _add(self, path: str, access: Access, origin: str) -> None:
        known = self.entries.get(path)
        if known is None or STRONGER[access] > STRONGER[known[0]]:
            self.entries[path] = (access, origin)

    def _add_planted(self, planted: list[tuple[str, Access, str, list[str]]]) -> None:
        """A link that a command could have made may close what it leads to, never open it."""
        for path, access, origin, links in planted:
            closes = access == "none" or (access == "read" and self.access(path) == "write")
            if closes:
                self._add(path, access, origin)
            elif OPENNESS[access] > OPENNESS[self.access(path)]:
                self.notes.append(
                    f"{path} ({origin}) stays closed: {links[0]} is a link in a writable folder"
                )

    def _drop_missing(self, missing: Callable[[str], bool]) -> None:
        gone = [
            path
            for path, (access, _) in self.entries.items()
            if access == "write" and missing(path)
        ]
        for path in gone:
            self.notes.append(
                f"{path} ({self.entries.pop(path)[1]}) is left out: it does not exist"
            )
        for path in list(self.entries):
            if (
                self.entries[path][0] == "read"
                and any(_covers(root, path) for root in gone)
                and missing(path)
            ):
                del self.entries[path]

    def governing(self, path: str) -> str | None:
        """The path of the rule that decides a resolved path."""
        return next((at for at in (path, *_ancestors(path)) if at in self.entries), None)

    def access(self, path: str) -> Access:
        at = self.governing(path)
        return "none" if at is None else self.entries[at][0]

    def writable(self) -> list[str]:
        return [path for path, (access, _) in self.entries.items() if access == "write"]

    def ordered(self) -> list[tuple[str, Access, str]]:
        """Shallow first; among equals what is open last, so that folded names never close it."""
        found = [(path, access, origin) for path, (access, origin) in self.entries.items()]
        return sorted(found, key=lambda rule: (_depth(rule[0]), rule[1] == "write", rule[0]))


def _depth(path: str) -> int:
    return 0 if path == "/" else path.count("/")


# Patterns ----------------------------------------------------------------------------------------


class _Glob:
    """A deny pattern and the folders it starts from: as given, resolved, and where it spreads to."""

    def __init__(
        self, pattern: str, origin: str, canonical: Callable[[str], str], table: _Table
    ) -> None:
        self.pattern, self.origin = pattern, origin
        self.name = f"glob {pattern!r} ({origin})"
        self.key = ""
        """Its name in the profile, once it has one."""
        plain = _check_path(pattern, self.name)
        if has_braces(pattern):
            _refuse(self.name, "braces are no part of patterns", "Write one rule per alternative.")
        given, self.names = patterns.split(plain)
        self.folder = _check_path(canonical(given), self.name)
        self.spread = _elsewhere(table, self.folder, self.names)
        self.folders = tuple(dict.fromkeys((self.folder, given, *self.spread)))
        self.closes = tuple(self.regex(at, self.names) + patterns.BELOW for at in self.folders)

    def regex(self, folder: str, names: Sequence[str]) -> str:
        try:
            return patterns.expression(folder, names)
        except ValueError as error:
            _refuse(self.name, str(error), "Write the class with letters and digits.")

    def rests(self, path: str) -> set[tuple[str, ...]]:
        """What is left of the pattern at a path; an empty rest means that it names the path."""
        return {
            rest
            for folder in self.folders
            if _covers(folder, path)
            for rest in patterns.after(self.names, _parts(path, folder))
        }

    def closes_above(self, path: str) -> bool:
        """Does it name a folder above the path?"""
        return any(() in self.rests(up) for up in _ancestors(path))


def _parts(path: str, folder: str) -> list[str]:
    return [part for part in path[len(folder) :].split("/") if part]


def _elsewhere(table: _Table, folder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Writable folders into which a folder below a `**` could be moved, out of the pattern."""
    if names[:1] != ("**",) or _inside(table, folder) or not _touched(table, folder):
        return ()
    others = [root for root in table.writable() if not _covers(folder, root)]
    nested = {root for root in others if any(_covers(up, root) for up in others if up != root)}
    return tuple(sorted({*others} - nested))


def _touched(table: _Table, folder: str) -> bool:
    """Can a command write at, above or below the folder?"""
    return any(_covers(root, folder) or _covers(folder, root) for root in table.writable())


def _inside(table: _Table, folder: str) -> bool:
    """Does the folder lie in a writable one, so that its contents could be moved up?"""
    return folder != "/" and table.access(_parent(folder)) == "write"


# The profile -------------------------------------------------------------------------------------


class _Writer:
    """Collects the text, its parameters and the rules behind them, within the size limit."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.parts: list[str] = []
        self.parameters: dict[str, str] = {}
        self.rules: list[PlannedRule] = []
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}
        self.size = 0

    def text(self, text: str, rule: str = "the profile") -> None:
        self.parts.append(text)
        self._grow(len(text.encode()), rule)

    def _grow(self, size: int, rule: str) -> None:
        self.size += size
        if self.size > ARGUMENT_BYTES:
            _refuse(
                f"{rule} and those after it",
                f"the profile would be larger than {ARGUMENT_BYTES // 1024} KiB",
                "Name folders instead of single files.",
            )

    def number(self, prefix: str) -> str:
        self.counts[prefix] = self.counts.get(prefix, -1) + 1
        return f"{prefix}_{self.counts[prefix]}"

    def parameter(self, prefix: str, path: str, rule: str) -> str:
        key = self.number(prefix)
        self.parameters[key] = path
        self._grow(len(path.encode()) + len(key) + 8, rule)
        return key

    def message(self, key: str) -> str:
        return f' (with message "{self.tag} {key}")' if self.tag else ""

    def allow(self, operations: str, filters: str, rule: str = "the profile") -> None:
        self.text(f"(allow {operations} {filters})\n", rule)

    def deny(self, operations: str, filters: str, key: str, rule: str = "the profile") -> None:
        self.text(f"(deny {operations} {filters}{self.message(key)})\n", rule)

    def profile(self) -> str:
        return "".join(self.parts)


class _Files:
    """The rules for files: paths shallow first, then patterns, then what lies below their matches.

    A pattern counts with the depth of the path it names. A rule for a path below that is deeper,
    so it comes after the patterns and opens its folder again; what the patterns name inside is
    closed once more behind it.
    """

    def __init__(
        self,
        writer: _Writer,
        table: _Table,
        globs: list[_Glob],
        *,
        unix_sockets: bool,
        fold_case: bool,
    ) -> None:
        self.writer, self.table, self.globs = writer, table, globs
        self.unix_sockets, self.fold_case = unix_sockets, fold_case
        self.keys: dict[str, str] = {}
        self.reopened = [
            path for path in table.entries if any(glob.closes_above(path) for glob in globs)
        ]
        """Paths whose rule lies below a match of a pattern."""

    def write(self) -> None:
        self.writer.text(
            "\n; Files. The last match decides: shallow rules first, deeper ones after them.\n"
        )
        ordered = self.table.ordered()
        for path, access, origin in ordered:
            self._rule(path, access, origin)
        if self.globs:
            self.writer.text("\n; Patterns close what any shallower rule opened.\n")
        for glob in self.globs:
            self._glob(glob)
        again = set(self.reopened)
        for path, access, origin in ordered:
            if path in again:
                self._again(path, access, origin)

    def _rule(self, path: str, access: Access, origin: str) -> None:
        name = f"rule {path!r} ({origin})"
        if path == "/":
            self.writer.rules.append(PlannedRule("ROOT", path, access, origin))
            if access != "none":  # the default says the same, and must not undo the device rules
                self.writer.text(f"(allow {OPEN[access]})\n")
            if self.unix_sockets and access == "write":
                self._sockets('(subpath "/")', "ROOT", name, open_=True)
            return
        key = self.keys[path] = self.writer.parameter(PREFIX[access], path, name)
        self.writer.rules.append(PlannedRule(key, path, access, origin))
        readable = self.table.access(_parent(path)) != "none"
        self._access(path, access, ADDED[access] if readable else OPEN[access], name)

    def _access(self, path: str, access: Access, opens: str, name: str) -> None:
        key = self.keys[path]
        below = f'(subpath (param "{key}"))'
        if opens:
            self.writer.allow(opens, below, name)
        if CLOSED[access]:
            # `subpath` alone does not stop the creation of a folder of exactly that name
            closed = f'(literal (param "{key}")) {below}{self._other_spellings(path)}'
            self.writer.deny(CLOSED[access], closed, key, name)
        if self.unix_sockets:
            self._sockets(below, key, name, open_=access == "write")

    def _other_spellings(self, path: str) -> str:
        """More names for a closed path, where somebody could create it."""
        parent = self.table.governing(_parent(path))
        if not self.fold_case or parent is None or self.table.entries[parent][0] != "write":
            return ""
        regex = patterns.folded(path, parent)
        return "" if regex is None else f' (regex #"{regex}")'

    def _sockets(self, below: str, key: str, name: str, *, open_: bool) -> None:
        for operation, end in (("network-bind", "local"), ("network-outbound", "remote")):
            filters = f"({end} unix-socket {below})"
            if open_:
                self.writer.allow(operation, filters, name)
            else:
                self.writer.deny(operation, filters, key, name)

    def _glob(self, glob: _Glob) -> None:
        glob.key = self.writer.number("GLOB")
        self.writer.rules.append(PlannedRule(glob.key, glob.pattern, "none", glob.origin))
        if glob.spread:
            where = ", ".join(glob.spread)
            self.writer.notes.append(
                f"{glob.pattern} ({glob.origin}) also holds in {where}: "
                "a folder moved there would take its files along"
            )
        self._close(glob, glob.closes)

    def _close(self, glob: _Glob, regexes: Iterable[str]) -> None:
        for regex in regexes:
            self.writer.deny(f"{READ} {WRITE}", f'(regex #"{regex}")', glob.key, glob.name)
            if self.unix_sockets:
                self._sockets(f'(regex #"{regex}")', glob.key, glob.name, open_=False)

    def _again(self, path: str, access: Access, origin: str) -> None:
        rests = {glob: glob.rests(path) for glob in self.globs}
        self._access(path, access, OPEN[access], f"rule {path!r} ({origin})")
        if access != "none":
            for glob, found in rests.items():
                inner = (glob.regex(path, rest) + patterns.BELOW for rest in sorted(found))
                self._close(glob, inner)


def _write_pins(writer: _Writer, table: _Table, globs: list[_Glob]) -> None:
    """What must not be renamed or removed, lest a closed path gets another name."""
    writer.text("\n; Folders that keep their names, and links that keep their targets.\n")
    for rule in writer.rules:
        if rule.access == "write" and rule.path != "/":
            root = f'(require-all (vnode-type DIRECTORY) (literal (param "{rule.parameter}")))'
            writer.deny("file-write-unlink", root, rule.parameter)
    links = [link for link in table.links if table.access(link) == "write"]
    for link in links:
        key = writer.parameter("LINK", link, f"link {link!r}")
        writer.rules.append(PlannedRule(key, link, "read", table.links[link]))
        writer.deny(WRITE, f'(literal (param "{key}"))', key)
    closed = [
        (path, origin) for path, (access, origin) in table.entries.items() if access != "write"
    ]
    closed += [(link, table.links[link]) for link in links]
    # a glob's own folder is on the way to its files
    closed += [(_join(glob.folder, "*"), glob.origin) for glob in globs]
    roots = set(table.writable())
    pinned = {
        up: origin
        for path, origin in reversed(closed)
        for up in _ancestors(path)
        if up not in roots and table.access(up) == "write"
    }
    for up, origin in sorted(pinned.items()):
        key = writer.parameter("PIN", up, f"folder {up!r}")
        writer.rules.append(PlannedRule(key, up, "read", origin))
        writer.deny("file-write-unlink", f'(literal (param "{key}"))', key)
    for glob in globs:
        _write_glob_pins(writer, table, glob)


def _write_glob_pins(writer: _Writer, table: _Table, glob: _Glob) -> None:
    if not _touched(table, glob.folder):
        return
    steps = [glob.names[:count] for count in range(1, len(glob.names))]
    if glob.names[:1] == ("**",) and not _inside(table, glob.folder):
        # a move within the folder stays within the pattern; for other folders see _elsewhere
        steps = steps[1:]
    for folder in (glob.folder, *glob.spread):
        for step in steps:
            regex = f'(regex #"{glob.regex(folder, step)}$")'
            folders = f"(require-all (vnode-type DIRECTORY) {regex})"
            writer.deny("file-write-unlink", folders, glob.key, glob.name)
    if steps:
        writer.notes.append(
            f"{glob.pattern} ({glob.origin}): "
            "folders on the way to its files cannot be renamed or removed"
        )


def _write_passages(writer: _Writer, table: _Table, reopened: list[str], *, minimal: bool) -> None:
    """Folders above readable ones can be looked at, not listed: programs ask about each of them."""
    readable = [path for path, (access, _) in table.entries.items() if access != "none"]
    wanted = {up for path in readable for up in _ancestors(path)} | set(table.links)
    if minimal and table.restricted:
        wanted |= set(base.MINIMAL_LINKS)
    closed = {path for path in wanted if table.access(path) == "none"}
    # patterns closed some of these, whatever the rules say
    closed |= {up for path in reopened for up in _ancestors(path) if path in readable}
    passages = sorted(closed)
    if passages:
        writer.text("\n; The way to what can be read.\n")
    for path in passages:
        key = writer.parameter("PASSAGE", path, f"folder {path!r}")
        writer.allow(STAT, f'(literal (param "{key}"))')


def _write_network(
    writer: _Writer, network: str, ports: Sequence[int], *, loopback: bool, unix_sockets: bool
) -> None:
    if network not in ("off", "none", "on", "proxy"):
        _refuse(f"network {network!r}", "there is no such mode", "Use off, none, on or proxy.")
    bad = next((port for port in ports if not 0 < port < 65536), None)
    if bad is not None:
        _refuse(f"proxy port {bad}", "a port is a number from 1 to 65535", "Correct the port.")
    if unix_sockets:
        writer.text("\n; Sockets in the file system; where they may be is said above.\n")
        writer.text("(allow system-socket (socket-domain AF_UNIX))\n")
    if network == "on":
        writer.text("\n" + base.NETWORK_ON)
    if network == "proxy":
        writer.text("\n; The way out goes through the proxy.\n")
        for port in dict.fromkeys(ports):
            writer.allow("network-outbound", f'(remote ip "localhost:{port}")')
        if not ports:
            writer.notes.append("no proxy is running: the network stays closed")
    if loopback and network in ("off", "proxy"):
        writer.text("\n" + base.LOOPBACK)
        writer.notes.append(
            "loopback is the machine's own: services that listen on it can be reached"
        )
