"""The tools of a thread in a turn of plan mode: those that look stay, the rest is refused.

The list the model gets is the usual one, so that what servers have cached stays of use; only the
tool that asks the user joins it. Everything not named here is refused: a tool that is added later
has to say that it only reads (`reads_only = True`).
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from octavo.model.request import ToolSpec
from octavo.process.spec import ProcessSpec
from octavo.protocol.errors import UsageError
from octavo.protocol.ids import CallId
from octavo.sandbox.confined import Confined
from octavo.tools.base import Launcher, Tool, ToolCall, ToolContext, ToolOutput, failed
from octavo.tools.registry import Registry, names_of, shown

LOOKING: Final = frozenset(
    {"exec_command", "write_stdin", "view_image", "get_goal", "request_user_input"}
)
RUNNING: Final = re.compile(r"^Process running with session ID (\d+)$", re.MULTILINE)
BODY: Final = "\nOutput:"
REFUSED: Final = "not in plan mode: {name} may change something. Put it into the plan."
CHECKLIST: Final = (
    "not in plan mode: update_plan is for carrying out. Write the plan into <proposed_plan>."
)
OUTSIDE: Final = (
    "not in plan mode: nothing runs outside the read-only sandbox. Leave `sandbox_permissions` out."
)
OLD_COMMAND: Final = (
    "not in plan mode: this command was started before and may write. Its output can be read "
    "(empty `chars`)."
)


class PlanRegistry(Registry):
    """`usual` with everything refused that may change something; `more` joins it.

    `trusted` are tools of the embedding program: it gave them to this thread and answers for them.
    """

    def __init__(
        self, usual: Registry, *, more: Iterable[Tool] = (), trusted: Iterable[Tool] = ()
    ) -> None:
        super().__init__()
        self._usual = usual
        for tool in more:
            if usual.find(called(tool)) is None:
                self._add(tool)
        self._trusted = {name for tool in trusted for name in names_of(tool.spec)}
        self._begun: set[int] = set()
        """Commands started in plan mode."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """The usual ones first."""
        return (*self._usual.specs(), *super().specs())

    def find(self, call: ToolCall) -> Tool | None:
        """Its own, else a usual one."""
        return super().find(call) or self._usual.find(call)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Run it, or say why it is refused."""
        tool = self.find(call)
        why = None if tool is None else self._refusal(tool, call)
        if why is not None:
            return failed(why)
        answer = await super().run(call, context)
        if call.name == "exec_command" and call.namespace is None:
            found = RUNNING.search(answer.text.partition(BODY)[0])
            if found is not None:
                self._begun.add(int(found[1]))
        return answer

    def _refusal(self, tool: Tool, call: ToolCall) -> str | None:
        name = (call.namespace, call.name)
        if super().find(call) is not None or name in self._trusted:
            return None
        if call.namespace is None and call.name == "update_plan":
            return CHECKLIST
        known = call.namespace is None and call.name in LOOKING
        if not known and getattr(tool, "reads_only", False) is not True:
            return REFUSED.format(name=shown(call.namespace, call.name))
        given = arguments_of(call)
        if call.name == "exec_command" and given.get("sandbox_permissions") == "require_escalated":
            return OUTSIDE
        if call.name == "write_stdin" and given.get("chars"):
            return None if number_of(given.get("session_id")) in self._begun else OLD_COMMAND
        return None


class InsideOnly:
    """A launcher that starts nothing outside its sandbox, whoever asks."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher

    @property
    def problem(self) -> object:
        """Why a command could not be confined, where the launcher below remembers it."""
        return getattr(self._launcher, "problem", None)

    def prepare(self) -> None:
        """See `Launcher`."""
        self._launcher.prepare()

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """See `Launcher`. Raises UsageError for what is meant to run outside."""
        if escalated:
            raise UsageError(OUTSIDE)
        return await self._launcher.start(spec)


def called(tool: Tool) -> ToolCall:
    """A call for this tool, to look for it."""
    namespace, name = names_of(tool.spec)[0]
    return ToolCall(call_id=CallId(""), name=name, namespace=namespace, arguments="")


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """The arguments as a table; empty when they cannot be read: the tool says so itself."""
    try:
        found = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def number_of(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return int(value) if isinstance(value, int | float) else None
