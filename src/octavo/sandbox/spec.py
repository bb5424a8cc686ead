"""What a launcher is asked to do: plain classes, no imports.

Rules go in, a Plan comes out, both as data: a plan can be printed, compared with a golden file,
sent to a fork server, or carried out in this process.
"""

TYPE_CHECKING = False  # `typing` costs more at start than this module
if TYPE_CHECKING:
    from typing import Literal, Protocol

    Rule = tuple[str, str, str]
    """(absolute path, "write" | "read" | "none", where the rule comes from)."""
    Kind = Literal["dir", "file", "link", "other", "missing"]
    StepSpec = tuple[str, ...]

    class Look(Protocol):
        """The disk, as far as planning needs it."""

        def kind(self, path: str) -> Kind:
            """What is at the path itself, symlinks not followed."""

        def target(self, path: str) -> str:
            """What a symlink points to, as written."""

        def writable(self, path: str) -> bool:
            """May this user create an entry in the directory?"""

        def synthetic(self, path: str) -> str:
            """What we would have created there as a mount point ("dir", "file", "pointer"), or ""."""


class Refused(Exception):  # noqa: N818 - a verdict on a plan, not an accident
    """This mechanism cannot hold the policy: names the rule, the reason and what would help."""

    def __init__(self, rule: str, reason: str, remedy: str, *, final: bool = False) -> None:
        super().__init__(f"{rule}: {reason}")
        self.final = final
        """No other mechanism would do better."""
        self.rule = rule
        self.reason = reason
        self.remedy = remedy


class Unavailable(Exception):  # noqa: N818 - the doors turn it into SandboxUnavailable
    """No rung of the ladder holds here. `reasons`: one line per rung; `remedy`: what would help."""

    def __init__(self, reasons: "tuple[str, ...]", remedy: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
        self.remedy = remedy


class Policy:
    """The file and network part of a profile, absolute and ready to plan."""

    __slots__ = (
        "devices",
        "gateway",
        "nested",
        "network",
        "notify",
        "overlay",
        "rules",
        "stand_ins",
        "unix",
    )

    def __init__(
        self,
        rules: "tuple[Rule, ...]",
        *,
        network: str = "off",
        unix: bool = False,
        nested: bool = False,
        notify: bool = False,
        devices: "tuple[str, ...]" = (),
        stand_ins: "dict[str, str] | None" = None,
        overlay: "tuple[str, str, str] | None" = None,
        gateway: "tuple[str, ...]" = (),
    ) -> None:
        self.gateway = gateway
        """With network "off": each command has a network of its own, and its only ways out are
        sockets in there that are handed to us: "tcp ADDRESS PORT", "udp ADDRESS PORT"."""
        self.overlay = overlay
        """(folder, upper, work): what is changed in the folder goes into `upper` instead."""
        self.stand_ins = stand_ins or {}
        """Missing paths that need a file with this text, not a folder, as their mount point."""
        self.rules = rules
        """The deepest rule decides; nothing matches means no access."""
        self.network = network
        """"off": a private loopback; "none": no sockets at all; "on": the host's network."""
        self.unix = unix
        """Sockets on the file system may be used. They ignore read-only mounts."""
        self.nested = nested
        """The command may make namespaces of its own (browsers want it)."""
        self.notify = notify
        """Report what was refused; costs a little on each refused or writing call."""
        self.devices = devices
        """Further names under /dev, for example "dri" or "nvidia0"."""


class Host:
    """What the plan has to know of the machine and the user."""

    __slots__ = ("abi", "gid", "machine", "mount_calls", "uid", "user_namespace")

    def __init__(
        self, *, uid: int, gid: int, machine: str, abi: int, user_namespace: bool = True
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.machine = machine
        self.abi = abi
        """Landlock version; 0 without."""
        self.user_namespace = user_namespace
        """False: uid 0 makes its namespaces without a user namespace around them."""


class Plan:
    """The exact steps that confine a command here. Data only; see `describe` in the platform room."""

    __slots__ = (
        "creates",
        "gateway",
        "landlock",
        "nested",
        "network",
        "notes",
        "notify",
        "reads",
        "rung",
        "steps",
        "uid",
        "unix",
        "weaker",
    )

    def __init__(
        self,
        rung: str,
        steps: "tuple[StepSpec, ...]",
        landlock: "tuple[tuple[str, str], ...]",
        policy: Policy,
        host: Host,
        *,
        creates: "tuple[tuple[str, str], ...]" = (),
        notes: "tuple[str, ...]" = (),
        weaker: "tuple[str, ...]" = (),
    ) -> None:
        self.rung = rung
        """"native", "native-root", "bubblewrap" or "landlock"."""
        self.steps = steps
        self.landlock = landlock
        """(path, "read" | "write" | "device" | "proc") that stay allowed."""
        self.creates = creates
        """(path, "dir" | "file" | "pointer") to make on the host as mount points, and to remove afterwards."""
        self.notes = notes
        """What was left out and why; shown to the user."""
        self.weaker = weaker
        """What this rung does not hold although a stronger one would."""
        self.uid = host.uid
        self.network = policy.network
        self.gateway = policy.gateway
        self.unix = policy.unix
        self.nested = policy.nested
        self.notify = policy.notify
        # a report of every refused read costs each command milliseconds: not for our own denials
        self.reads = any(
            access == "none" and not origin.startswith("protected: ")
            for _, access, origin in policy.rules
        )


class Command:
    """One command to run inside a plan."""

    __slots__ = ("argv", "cwd", "env", "group", "limits", "terminal")

    def __init__(
        self,
        argv: "tuple[str, ...]",
        cwd: str,
        env: "dict[str, str]",
        *,
        limits: "tuple[tuple[str, int], ...]" = (),
        terminal: bool = False,
        group: int = -1,
    ) -> None:
        self.group = group
        """Descriptor of a control group's list of processes, to join before the start; -1: none."""
        self.argv = argv
        self.cwd = cwd
        self.env = env
        self.limits = limits
        """(name, value): "memory" and "file-size" in bytes, "processes", "cpu" in seconds, "files"."""
        self.terminal = terminal
