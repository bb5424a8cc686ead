"""Rules + host -> the exact steps for Linux.

Pure: the disk is asked through `look`, so that a plan can be made and tested anywhere. A rule that
the chosen mechanism cannot hold is `Refused`, never dropped; what is skipped for a harmless
reason (a writable root that does not exist) is a note.
"""

from octavo.sandbox.spec import Plan, Policy, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from octavo.sandbox.spec import Host, Kind, Look, StepSpec

MAX_LINKS = 8
MAX_ENTRIES = 20_000  # mounts per namespace are limited by fs.mount-max (100,000 by default)
SHM_SIZE = "256m"
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - named, not used
OWN_TREES = ("/dev", "/proc")
MINIMAL = (
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/etc",
    "/opt",
    "/nix/store",
)
PROTECTED_ORIGIN = "protected"
OVERLAY = "--overlay"
OVERLAY_RUNGS = ("native", "native-root")
OVERLAY_REMEDY = (
    "an overlay needs Linux 5.11, overlayfs, user namespaces (`octavo doctor` looks at these), and "
    "OCTAVO_HOME and the workspace on ordinary disks (ext4, xfs, btrfs; none that is an overlay "
    "itself, as in containers); or work without --overlay"
)


class Entry:
    """A rule resolved against the disk."""

    __slots__ = ("access", "kind", "origin")

    def __init__(self, access: str, kind: "Kind", origin: str) -> None:
        self.access = access
        """write, read, none, or link: a symlink to fix in place."""
        self.kind = kind
        self.origin = origin


class Entries:
    """What all rules come to: entries by path, mount points to create, notes."""

    def __init__(self, look: "Look", temporary: "tuple[str, ...]" = TEMPORARY) -> None:
        self.look = look
        self.temporary = temporary
        self.by_path: dict[str, Entry] = {}
        self.creates: dict[str, str] = {}
        self.stand_ins: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.notes: list[str] = []

    def add_writable(self, path: str, origin: str) -> None:
        if any(under(path, tree) for tree in OWN_TREES):
            self.notes.append(
                f"writable root {path} ({origin}): /dev and /proc are private here; skipped"
            )
            return
        real, first_link = resolve(path, self.look)
        if first_link and self.governing(first_link) == "write":
            # an earlier command may have planted it to point anywhere
            self.notes.append(
                f"writable root {path} ({origin}) goes through a symlink inside a writable root; skipped"
            )
            return
        kind = self.look.kind(real)
        if kind == "missing":
            self.notes.append(f"writable root {path} ({origin}) does not exist; skipped")
            return
        self.by_path[real] = Entry("write", kind, origin)

    def add_restriction(self, path: str, access: str, origin: str, level: int = 0) -> None:
        """Walk down to a read-only or hidden path; fix symlinks on the way, stop at what is missing."""
        if level > MAX_LINKS:
            raise Refused(
                origin, f"{path} goes through more than {MAX_LINKS} symlinks", "name the real path"
            )
        current = ""
        parts = path.strip("/").split("/") if path != "/" else []
        for i, part in enumerate(parts):
            current = f"{current}/{part}"
            kind = self.look.kind(current)
            if kind == "missing":
                self._missing(current, access, origin)
                return
            if kind == "link":
                if self.governing(current) == "write":
                    self._put(current, "link", "link", origin)
                target = join(parent(current), self.look.target(current))
                self.add_restriction(
                    "/".join([target.rstrip("/"), *parts[i + 1 :]]) or "/",
                    access,
                    origin,
                    level + 1,
                )
                return
            if kind != "dir" and i < len(parts) - 1:
                return  # a file stands where a folder would be: nothing can be below it
        self._put(path, access, self.look.kind(path), origin)
        made = self.look.synthetic(path) if origin.startswith(PROTECTED_ORIGIN) else ""
        if made:  # by another command that runs now: keep it for us too
            self.creates[path] = made

    def governing(self, path: str) -> str:
        """The access that decides a path so far; links do not decide."""
        while True:
            entry = self.by_path.get(path)
            if entry is not None and entry.access != "link":
                return entry.access
            if path == "/":
                return ""
            path = parent(path)

    def _put(self, path: str, access: str, kind: "Kind", origin: str) -> None:
        before = self.by_path.get(path)
        if before is not None and STRICTNESS[before.access] > STRICTNESS[access]:
            return
        self.by_path[path] = Entry(access, kind, origin)

    def _missing(self, path: str, access: str, origin: str) -> None:
        """Nothing to mount over: create it, so that the command cannot."""
        if path in self.by_path or self.governing(path) != "write":
            return
        folder, name = parent(path), path.rpartition("/")[2]
        if origin.startswith(PROTECTED_ORIGIN):
            if folder in self.temporary:
                return  # a stray /tmp/.git would break every build that searches upwards
            if name == ".git" and self._inside_repository(folder):
                return
        if not self.look.writable(folder):
            return  # then the command cannot create it either
        text = self.stand_ins.get(path)
        kind: Kind = "dir" if text is None else "file"
        self.creates[path] = "pointer" if text else kind
        self.by_path[path] = Entry("read", kind, origin)

    def _inside_repository(self, folder: str) -> bool:
        while folder != "/":
            folder = parent(folder)
            if self.look.kind(f"{folder.rstrip('/')}/.git") != "missing":
                return True
        return False


STRICTNESS = {"link": 0, "write": 1, "read": 2, "none": 3}


def plan(
    policy: Policy,
    host: "Host",
    look: "Look",
    *,
    rung: str = "native",
    temporary: "tuple[str, ...]" = (),
) -> Plan:
    """The steps for one policy on one machine. `temporary`: further temporary folders ($TMPDIR).

    Raises Refused when `rung` cannot hold a rule.
    """
    entries = resolve_rules(policy, look, (*TEMPORARY, *temporary))
    if len(entries.by_path) > MAX_ENTRIES:
        raise Refused(
            "file rules",
            f"{len(entries.by_path)} paths need a mount each",
            f"use at most {MAX_ENTRIES}",
        )
    if rung == "landlock":
        return plan_landlock(policy, host, entries)
    return plan_view(policy, host, entries, rung)


def resolve_rules(policy: Policy, look: "Look", temporary: "tuple[str, ...]") -> Entries:
    entries = Entries(look, temporary)
    entries.stand_ins = policy.stand_ins
    ordered = sorted(policy.rules, key=lambda rule: (depth(rule[0]), STRICTNESS[rule[1]]))
    # writable roots first: whether a symlink or a missing name matters depends on them
    for path, access, origin in ordered:
        if path == "/":
            entries.by_path["/"] = Entry(access, "dir", origin)
        elif access == "write":
            entries.add_writable(path, origin)
    for path, access, origin in ordered:
        if path != "/" and access != "write":
            for real in MINIMAL if path == ":minimal" else (path,):
                entries.add_restriction(real, access, origin)
    drop_redundant(entries)
    return entries


def drop_redundant(entries: Entries) -> None:
    """An entry that says what its surroundings say needs no mount."""
    for path in sorted(entries.by_path, key=depth, reverse=True):
        entry = entries.by_path[path]
        if path == "/" or entry.access == "link":
            continue
        if entries.governing(parent(path)) == entry.access:
            del entries.by_path[path]


# ---- namespaces and mounts --------------------------------------------------------------------


def plan_view(policy: Policy, host: "Host", entries: Entries, rung: str) -> Plan:
    base = entries.by_path.pop("/", None)
    base_access = base.access if base else "none"
    layered = (
        ""
        if policy.overlay is None
        else place_overlay(policy.overlay[0], entries, base_access, rung)
    )
    order = sorted(entries.by_path.items(), key=lambda item: (depth(item[0]), item[0]))
    parents = {path: nearest(path, entries.by_path, base_access) for path, _ in order}
    order = [
        (path, entry) for path, entry in order if needs_mount(entry, base_access, parents[path][1])
    ]
    pins = find_pins(order, parents)
    if base_access == "none":
        # in the empty root a pin needs the folder it is in: below the one that is used later
        pins = {root: [root, *paths] for root, paths in pins.items()}
    steps: list[StepSpec] = []
    if host.user_namespace:
        steps.append(("identity", host.uid, host.gid))  # type: ignore[arg-type]  # numbers in a tuple of text
    steps += [
        ("hold", path, entry.kind)
        for path, entry in order
        if entry.access != "none" and path != layered
    ]
    if policy.overlay is not None:
        steps.append(("overlay", *policy.overlay))
    steps += [("hold-pin", path) for _, paths in sorted(pins.items()) for path in paths]
    steps.append(("hold-devices", policy.devices))  # type: ignore[arg-type]
    if base_access == "none":
        steps.append(("new-root",))
        steps += [("place", path, entry.kind) for path, entry in order if parents[path][0] == ""]
    else:
        steps.append(("seal", base_access == "read"))  # type: ignore[arg-type]
    steps.append(("devices", SHM_SIZE))
    steps += attach_steps(order, parents, pins, layered)
    if base_access == "none":
        steps += [("symlink", path, target) for path, target in root_links(entries)]
        steps.append(("enter-root",))
    if policy.network == "off":
        steps.append(("loopback",))
    return Plan(
        rung,
        tuple(steps),
        landlock_rules(order, base_access, host),
        policy,
        host,
        creates=tuple(entries.creates.items()),
        notes=tuple(entries.notes),
        weaker=weaker_view(host, rung, empty=base_access == "none"),
    )


def place_overlay(root: str, entries: Entries, base: str, rung: str) -> str:
    """The folder whose changes are kept apart gets a mount of its own, whatever is around it.

    Raises Refused where a change could reach the folder itself.
    """
    if rung not in OVERLAY_RUNGS:
        raise Refused(OVERLAY, f"{rung} cannot keep changes apart", OVERLAY_REMEDY)
    if root == "/":
        raise Refused(OVERLAY, "not of the whole file system", "work in a folder", final=True)
    access = entries.governing(root) or base
    if access == "none":
        raise Refused(OVERLAY, f"no rule lets commands see {root}", "allow it", final=True)
    for path, entry in entries.by_path.items():
        if path != root and entry.access == "write" and under(path, root):
            raise Refused(
                OVERLAY,
                f"{path} ({entry.origin}) is writable apart from {root}: changes would be real",
                "take that rule out, or work without --overlay",
                final=True,
            )
    entries.by_path.setdefault(root, Entry(access, "dir", OVERLAY))
    return root


def weaker_view(host: "Host", rung: str, *, empty: bool = False) -> "tuple[str, ...]":
    """What a view made this way does not hold."""
    found = []
    if not host.abi:
        found.append("no Landlock behind the mounts: a named pipe of the host can be written to")
    if rung == "bubblewrap":
        found.append(
            "what the host mounts while the command runs keeps its modes and times writable"
        )
        if empty:
            found.append("the program files of Octavo and of its Python can be read")
    return tuple(found)


def needs_mount(entry: Entry, base: str, around: str) -> bool:
    """A hidden path where nothing can be read anyway needs no mask."""
    return entry.access != "none" or around != "none"


def nearest(path: str, by_path: "dict[str, Entry]", base: str) -> "tuple[str, str]":
    """The closest surrounding entry and its access; ("", base) when only the root surrounds it."""
    while path != "/":
        path = parent(path)
        entry = by_path.get(path)
        if entry is not None and entry.access != "link":
            return path, entry.access
    return "", base


def find_pins(
    order: "list[tuple[str, Entry]]", parents: "dict[str, tuple[str, str]]"
) -> "dict[str, list[str]]":
    """Folders between each writable root and the rules below it, by root; "" is the whole tree."""
    pins: dict[str, dict[str, None]] = {}
    mounted = {path for path, _ in order}
    for path, _ in order:
        root, access = parents[path]
        if access != "write":
            continue
        folder = parent(path)
        chain = []
        while folder not in (root, "/"):
            if folder not in mounted:
                chain.append(folder)
            folder = parent(folder)
        pins.setdefault(root, {}).update(dict.fromkeys(reversed(chain)))
    return {root: sorted(paths, key=depth) for root, paths in pins.items() if paths}


def attach_steps(
    order: "list[tuple[str, Entry]]",
    parents: "dict[str, tuple[str, str]]",
    pins: "dict[str, list[str]]",
    layered: str = "",
) -> "list[StepSpec]":
    steps: list[StepSpec] = [("pin-open", path) for path in pins.get("", ())]
    for path, entry in order:
        if entry.access == "write":
            if path == layered and pins.get(path):
                steps.append(("overlay-under", path))
            steps += [("pin", folder) for folder in pins.get(path, ())]
            steps.append(("write", path))
        elif entry.access == "none":
            places = tuple(
                f"{below[len(path) :]}:{inner.kind}"
                for below, inner in order
                if parents[below][0] == path and inner.access != "none"
            )
            steps.append(("mask", path, entry.kind, places))  # type: ignore[arg-type]
        else:
            steps.append((entry.access, path))
    return steps


def root_links(entries: Entries) -> "list[tuple[str, str]]":
    """In an empty root, `/bin -> usr/bin` and its kin have to be made again."""
    look = entries.look
    return [
        (path, look.target(path))
        for path in MINIMAL
        if look.kind(path) == "link" and path not in entries.by_path
    ]


def landlock_rules(
    order: "list[tuple[str, Entry]]", base: str, host: "Host"
) -> "tuple[tuple[str, str], ...]":
    if not host.abi:
        return ()
    allowed = [("/", "write" if base == "write" else "read"), ("/dev", "device")]
    if base != "write":
        allowed += [(path, "write") for path, entry in order if entry.access == "write"]
    return (*allowed, ("/proc", "proc"))


# ---- Landlock alone ---------------------------------------------------------------------------

LANDLOCK_WEAKER = (
    "other processes of this user stay visible in /proc",
    "file modes, owners and times outside the writable roots can be changed",
    "extended attributes and inode flags there can be changed too",
    "limits and scheduling of this user's other processes can be changed",
    "System V shared memory and message queues of this user stay reachable",
    "so do POSIX message queues",
    "temporary folders and /dev are the host's own",
)
HOSTS = "rules per host"
HOSTS_REMEDY = "allow user namespaces on this machine (`octavo doctor` says how)"
LANDLOCK_REMEDY = (
    "allow user namespaces on this machine (`octavo doctor` says how), or install bubblewrap"
)


def plan_landlock(policy: Policy, host: "Host", entries: Entries) -> Plan:
    """Rights below paths, and a filter. No carve-outs in what may be written."""
    if policy.gateway:
        raise Refused(HOSTS, "Landlock alone has no network of its own to keep it in", HOSTS_REMEDY)
    if policy.overlay is not None:
        raise Refused(OVERLAY, "Landlock cannot keep changes apart", OVERLAY_REMEDY)
    if host.abi < 3:
        raise Refused(
            "file rules",
            f"Landlock version {host.abi} here cannot control truncation (3 is needed)",
            LANDLOCK_REMEDY,
        )
    for path, entry in sorted(entries.by_path.items(), key=lambda item: depth(item[0])):
        refuse_carve_out(path, entry, entries)
    allowed = [
        (path, entry.access)
        for path, entry in entries.by_path.items()
        if entry.access in ("read", "write")
        or (entry.access == "none" and path != "/" and entries.governing(parent(path)) == "read")
    ]
    weaker = list(LANDLOCK_WEAKER)
    if any(access == "none" for _, access in allowed):
        weaker.append("what appears beside hidden files while the command runs cannot be read")
    if host.abi < 6:
        weaker.append("signals can be sent to this user's other processes")
    if policy.network == "off":
        weaker.append("no loopback inside: every socket is refused")
        policy = without_loopback(policy)
    return Plan(
        "landlock",
        (),
        (*allowed, ("/dev", "read"), *DEVICE_FILES),
        policy,
        host,
        notes=tuple(entries.notes),
        weaker=tuple(weaker),
    )


DEVICE_FILES = tuple((f"/dev/{name}", "write") for name in ("null", "zero", "full", "tty"))


def refuse_carve_out(path: str, entry: Entry, entries: Entries) -> None:
    around = "" if path == "/" else entries.governing(parent(path))
    what = {"read": "stay read-only", "none": "be hidden", "link": "be fixed in place"}.get(
        entry.access
    )
    if what is None:
        return
    if entry.access == "read" and around in ("", "read", "none"):
        return
    if entry.access == "none" and around in ("", "none", "read"):
        return  # all else around it is named one by one
    remedy = LANDLOCK_REMEDY
    if entry.origin.startswith(PROTECTED_ORIGIN):
        remedy += "; or give up this protection with --unprotected"
    raise Refused(
        f"{path} ({entry.origin})",
        f"it must {what} inside {around or '/'} access, and Landlock alone cannot take rights away again",
        remedy,
    )


def without_loopback(policy: Policy) -> Policy:
    return Policy(
        policy.rules, network="none", unix=policy.unix, nested=policy.nested,
        notify=policy.notify, devices=policy.devices, stand_ins=policy.stand_ins,
    )  # fmt: skip


# ---- paths ------------------------------------------------------------------------------------


def depth(path: str) -> int:
    return 0 if path == "/" else path.count("/")


def under(path: str, root: str) -> bool:
    return path == root or root == "/" or path.startswith(root + "/")


def parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def join(folder: str, target: str) -> str:
    """The absolute, normal form of a symlink's target."""
    path = target if target.startswith("/") else f"{folder}/{target}"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def resolve(path: str, look: "Look") -> "tuple[str, str]":
    """The real path, and the first symlink met ("" without one). What is missing stays as written."""
    first, todo, real, links = "", path.strip("/").split("/"), "", 0
    while todo:
        part = todo.pop(0)
        candidate = f"{real}/{part}"
        if look.kind(candidate) == "link":
            first = first or candidate
            links += 1
            if links > MAX_LINKS * 5:
                return path, first
            target = look.target(candidate)
            todo = [piece for piece in join(real or "/", target).split("/") if piece] + todo
            real = ""
        else:
            real = candidate
    return real or "/", first
