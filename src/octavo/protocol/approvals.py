"""Questions to a person or a program, and their answers.

Whoever answers is an `Approver`: an async function. What is remembered for how long is the
engine's business; `keys` say what a remembered answer is about. A new kind of question is a
subclass of `Question` with a tag of its own, added to `ApprovalRequest`.
"""

from typing import Final, Literal, Protocol, Self

from msgspec import Struct

from octavo.protocol.ids import CallId
from octavo.protocol.items import DenialNote, FileUpdate

Pipeline = tuple[tuple[str, ...], ...]
"""Commands connected by `|`, each as its words."""

STATEFUL: Final = frozenset(
    {
        ".", "alias", "bind", "builtin", "cd", "chdir", "command", "declare", "dirs", "disown",
        "enable", "eval", "exec", "exit", "export", "fg", "hash", "let", "local", "mapfile", "popd",
        "printf", "pushd", "read", "readonly", "return", "set", "setopt", "shift", "shopt",
        "source", "trap", "typeset", "ulimit", "umask", "unalias", "unset", "unsetopt", "wait",
    }
)  # fmt: skip
"""What changes the meaning of later commands: such a script is remembered as a whole only."""


NETWORK_ACCESS: Final = "network-access"
"""The first word of a question about a host: `network-access https://HOST:PORT` is no command."""


class Granular(Struct, frozen=True, kw_only=True):
    """Which kinds of question reach somebody; the others are refused without asking."""

    sandbox_approval: bool
    rules: bool
    mcp_elicitations: bool
    skill_approval: bool = False
    request_permissions: bool = False


class Question(Struct, frozen=True, kw_only=True):
    """What every question has."""

    call_id: CallId
    reason: str | None = None
    """Why, in the model's words: no evidence of anything."""
    because: str | None = None
    """Why it is asked, in ours: the rule or the table that decides."""
    denials: tuple[DenialNote, ...] = ()
    """What the sandbox refused in the first try, if this is about a second one."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What a remembered answer is about; every one has to be remembered to skip the question.
        None: it is never remembered."""
        return ()


class CommandApproval(Question, frozen=True, kw_only=True, tag="command"):
    """May this command run?"""

    argv: tuple[str, ...]
    cwd: str
    proposed_rule: tuple[str, ...] | None = None
    """First words that "always" would allow from now on. None: there is no "always" here."""
    escalated: bool = False
    """It would run outside the sandbox."""
    terminal: bool = False
    pipelines: tuple[Pipeline, ...] = ()
    """What the script runs, one after the other; empty when that is not known from its text."""
    covers_retry: bool = False
    """A yes also covers a second try outside, if the sandbox refuses something in the first."""

    @property
    def keys(self) -> tuple[str, ...]:
        """One for each pipeline of a script that is understood, else one for all of it."""
        kind = "outside" if self.escalated else "retry" if self.covers_retry else "inside"
        head = (kind, "tty" if self.terminal else "", self.cwd)
        whole = any(command[0] in STATEFUL for one in self.pipelines for command in one)
        if not self.pipelines:
            return ("\0".join((*head, "argv", *self.argv)),)
        parts = [_joined(one) for one in self.pipelines]
        if whole and len(parts) > 1:
            return ("\0".join((*head, "script", self.argv[-1])),)
        return tuple("\0".join((*head, "words", part)) for part in dict.fromkeys(parts))

    @property
    def scope(self) -> str | None:
        """What "always" would mean, for people to read before they say it."""
        if self.proposed_rule is None:
            return None
        if self.proposed_rule[0] == NETWORK_ACCESS:
            where = self.proposed_rule[-1]
            return f"connections to {_shown(where)}, in every folder and thread, without asking"
        words = " ".join(_shown(word) for word in self.proposed_rule)
        return (
            f"every command that begins with `{words}`, in every folder and thread, "
            "without asking and outside the sandbox"
        )


def _joined(pipeline: Pipeline) -> str:
    return "\0|\0".join("\0".join(command) for command in pipeline)


def _shown(word: str) -> str:
    """A word of a rule: quoted where it would be unclear where it ends."""
    plain = word and word.isprintable() and not any(letter in word for letter in " '\"`\\")
    return word if plain else repr(word)


class PatchApproval(Question, frozen=True, kw_only=True, tag="patch"):
    """May these files be changed?"""

    changes: tuple[FileUpdate, ...]
    grant_root: str | None = None
    """The folder that would have to be writable for all of it."""

    @property
    def keys(self) -> tuple[str, ...]:
        """One per touched path."""
        paths = [path for one in self.changes for path in (one.path, one.move_path) if path]
        return tuple("file\0" + path for path in dict.fromkeys(paths))


class McpApproval(Question, frozen=True, kw_only=True, tag="mcp_tool"):
    """May this tool of an MCP server be called? "Always" means this tool, whatever it is given."""

    server: str
    tool: str
    arguments: object = None
    title: str | None = None
    """What the server calls it for people."""
    description: str = ""
    """What the server says about it: no evidence of anything."""
    destructive: bool | None = None
    """It says of itself that it destroys things; None: it says nothing."""
    open_world: bool | None = None
    """It says of itself that it reaches out of this machine; None: it says nothing."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The tool of this server."""
        return (f"mcp\0{self.server}\0{self.tool}",)


ApprovalRequest = CommandApproval | PatchApproval | McpApproval


class Decision(Struct, frozen=True):
    """An answer. Make one with the class methods."""

    kind: Literal["allow_once", "allow_for_session", "allow_always", "deny", "abort"]
    reason: str | None = None
    """For the model: why not, and what else to do."""
    rule: tuple[str, ...] | None = None
    """With `allow_always`: the first words to allow from now on. With `deny`: the host to refuse."""

    @property
    def allowed(self) -> bool:
        """It may be done."""
        return self.kind in ("allow_once", "allow_for_session", "allow_always")

    @classmethod
    def allow_once(cls) -> Self:
        """This time."""
        return cls("allow_once")

    @classmethod
    def allow_for_session(cls) -> Self:
        """This time, and the same again until the thread is closed."""
        return cls("allow_for_session")

    @classmethod
    def allow_always(cls, rule: tuple[str, ...]) -> Self:
        """This time, and from now on every command that begins with these words.

        The rule is kept in `rules/default.rules` in the home folder: for every folder and thread,
        without asking and outside the sandbox. Words that would allow anything at all (`bash`,
        `git`) are not kept. For a host: what the question proposed, or `("network-access",
        "https://HOST")` for every port.
        """
        return cls("allow_always", None, tuple(rule))

    @classmethod
    def deny_always(cls, rule: tuple[str, ...], reason: str | None = None) -> Self:
        """No, and from now on no to this host, without asking; as `allow_always`."""
        return cls("deny", reason, tuple(rule))

    @classmethod
    def deny(cls, reason: str | None = None) -> Self:
        """No; the turn goes on, and the model reads the reason."""
        return cls("deny", reason)

    @classmethod
    def abort(cls) -> Self:
        """No, and the turn ends."""
        return cls("abort")


class Approver(Protocol):
    """Anything that answers: `async def approve(request) -> Decision`."""

    async def __call__(self, request: ApprovalRequest, /) -> Decision: ...


class Decider(Protocol):
    """Answers some questions and passes on the rest (None): hooks, grants, a reviewer."""

    async def __call__(self, request: ApprovalRequest, /) -> Decision | None: ...
