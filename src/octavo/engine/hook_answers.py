"""What a hook answered, read strictly, and the answers of several hooks as one. Pure.

Exit 0 with a JSON object says it in fields, exit 2 with words on standard error objects; anything
else is a failure, which is shown and means what the hook's `on_failure` says.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.protocol.hooks import Hook, HookEvent

OBJECTS: Final[frozenset[HookEvent]] = frozenset(
    {
        "UserPromptSubmit",
        "PreToolUse",
        "PermissionRequest",
        "PostToolUse",
        "PreCompact",
        "SubagentStop",
        "Stop",
    }
)
"""Events a hook can object to, with exit code 2 as well."""
DECIDES: Final[frozenset[HookEvent]] = frozenset(
    {"UserPromptSubmit", "PreToolUse", "PostToolUse", "SubagentStop", "Stop"}
)
"""Events that know `decision: "block"`."""
STOPLESS: Final[frozenset[HookEvent]] = frozenset({"PreToolUse", "PermissionRequest"})
"""Events at which `continue: false` means nothing."""
SPEAKS: Final[frozenset[HookEvent]] = frozenset(
    {"SessionStart", "UserPromptSubmit", "SubagentStart"}
)
"""Events at which plain words on standard output are context for the model."""
SPEECHLESS: Final[frozenset[HookEvent]] = frozenset({"Stop", "SubagentStop"})
"""Events at which plain words are a mistake."""
ADDS_CONTEXT: Final[frozenset[HookEvent]] = frozenset(
    {"SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "SubagentStart"}
)
MOST_SHOWN: Final = 300
"""Letters of what went wrong."""


class Ended(Struct, frozen=True, kw_only=True):
    """How the program of a hook ended."""

    code: int | None = None
    """None: a signal, or it never started."""
    stdout: str = ""
    stderr: str = ""
    problem: str | None = None
    """It did not get as far as an exit code: time-out, could not be started, too much output."""


class Answer(Struct, frozen=True, kw_only=True):
    """What one hook said."""

    failure: str | None = None
    """It failed, and how; then nothing else is set."""
    message: str | None = None
    """For the user."""
    stop: str | None = None
    """The turn is to stop; the reason, which may be empty."""
    block: str | None = None
    """It objects; the reason."""
    allow: bool = False
    """It says yes to what was asked."""
    ask: bool = False
    """Somebody is to be asked."""
    updated: dict[str, Any] | None = None
    """Other arguments for the tool."""
    context: tuple[str, ...] = ()
    """For the model."""


class _Permission(Struct, forbid_unknown_fields=True):
    behavior: str
    message: str | None = None


class _Specific(Struct, forbid_unknown_fields=True, rename="camel"):
    hook_event_name: str | None = None
    permission_decision: str | None = None
    permission_decision_reason: str | None = None
    updated_input: dict[str, Any] | None = None
    additional_context: str | None = None
    decision: _Permission | None = None


class _Output(Struct, forbid_unknown_fields=True, rename="camel"):
    continue_: bool = msgspec.field(name="continue", default=True)
    stop_reason: str | None = None
    suppress_output: bool = False
    system_message: str | None = None
    decision: str | None = None
    reason: str | None = None
    hook_specific_output: _Specific | None = None


class _Invalid(Exception):  # noqa: N818 - says what the output is
    """The output means nothing at this event."""


def understood(event: HookEvent, ended: Ended) -> Answer:
    """The answer in how a program ended."""
    if ended.problem is not None:
        return Answer(failure=ended.problem)
    if ended.code == 2:
        return _objection(event, ended.stderr.strip())
    if ended.code != 0:
        return Answer(failure=_with("exit code" if ended.code is not None else "signal", ended))
    text = ended.stdout.strip()
    if not text:
        return Answer()
    if text[0] not in "{[":
        return _words(event, text)
    try:
        return _fields(event, msgspec.json.decode(text, type=_Output))
    except (_Invalid, msgspec.MsgspecError, RecursionError) as wrong:
        return Answer(failure=f"its output is not understood: {shortened(str(wrong))}")


def _with(what: str, ended: Ended) -> str:
    said = shortened(ended.stderr.strip())
    number = "" if ended.code is None else f" {ended.code}"
    return f"{what}{number}" + (f": {said}" if said else "")


def shortened(text: str) -> str:
    """The beginning, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= MOST_SHOWN else flat[: MOST_SHOWN - 1] + "…"


def _objection(event: HookEvent, reason: str) -> Answer:
    if not reason:
        return Answer(failure="exit code 2 without a reason on standard error")
    if event not in OBJECTS:
        return Answer(failure=f"exit code 2: {shortened(reason)}")
    return Answer(block=reason)


def _words(event: HookEvent, text: str) -> Answer:
    if event in SPEAKS:
        return Answer(context=(text,))
    if event in SPEECHLESS:
        return Answer(failure="its output is not JSON")
    return Answer()


def _fields(event: HookEvent, said: _Output) -> Answer:
    specific = said.hook_specific_output or _Specific()
    _check(event, said, specific)
    permission = specific.decision
    block = said.reason if said.decision == "block" else None
    if specific.permission_decision == "deny":
        block = specific.permission_decision_reason
    if permission is not None and permission.behavior == "deny":
        block = permission.message or "denied by a hook"
    allowed = permission is not None and permission.behavior == "allow"
    context = (specific.additional_context or "").strip()
    return Answer(
        message=said.system_message,
        stop=None if said.continue_ else said.stop_reason or "",
        block=block,
        allow=allowed or specific.permission_decision == "allow",
        ask=specific.permission_decision == "ask",
        updated=specific.updated_input,
        context=(context,) if context else (),
    )


def _check(event: HookEvent, said: _Output, specific: _Specific) -> None:
    """Refuse what means nothing here: a guard that misspells itself must not pass for a yes."""
    if specific.hook_event_name not in (None, event):
        raise _Invalid(f"hookEventName is {specific.hook_event_name!r}, the event is {event}")
    if event in STOPLESS and not said.continue_:
        raise _Invalid(f"`continue` means nothing for {event}")
    if said.decision is not None:
        if event not in DECIDES or said.decision != "block":
            raise _Invalid(f"`decision` cannot be {said.decision!r} for {event}")
        if not (said.reason or "").strip():
            raise _Invalid("`decision` needs a `reason`")
    if event != "PreToolUse" and (
        specific.permission_decision or specific.updated_input is not None
    ):
        raise _Invalid(f"`permissionDecision` and `updatedInput` mean nothing for {event}")
    if specific.permission_decision not in (None, "allow", "deny", "ask"):
        raise _Invalid(f"`permissionDecision` cannot be {specific.permission_decision!r}")
    if (
        specific.permission_decision == "deny"
        and not (specific.permission_decision_reason or "").strip()
    ):
        raise _Invalid("`permissionDecision` deny needs a `permissionDecisionReason`")
    if specific.updated_input is not None and specific.permission_decision != "allow":
        raise _Invalid("`updatedInput` needs `permissionDecision` allow")
    if specific.decision is not None:
        if event != "PermissionRequest":
            raise _Invalid(f"`decision` in hookSpecificOutput means nothing for {event}")
        if specific.decision.behavior not in ("allow", "deny"):
            raise _Invalid(f"`behavior` cannot be {specific.decision.behavior!r}")
    if specific.additional_context and event not in ADDS_CONTEXT:
        raise _Invalid(f"`additionalContext` means nothing for {event}")


class Said(Struct, frozen=True, kw_only=True):
    """What one hook said, and which."""

    hook: Hook
    answer: Answer


class Verdict(Struct, frozen=True, kw_only=True):
    """What all hooks of an event said together."""

    block: str | None = None
    """Somebody objects; all reasons, one per paragraph."""
    stop: str | None = None
    """Somebody stops the turn; the first reason."""
    allow: bool = False
    ask: bool = False
    updated: dict[str, Any] | None = None
    context: tuple[Said, ...] = ()
    """Those that add context, in the order they are configured."""
    messages: tuple[str, ...] = ()
    """For the user: what hooks said, and which failed."""


def merged(event: HookEvent, finished: Iterable[Said], order: Iterable[Hook] = ()) -> Verdict:
    """All answers as one. `finished`: in the order they came; any no wins, the last update counts.

    `order` is the order of configuration, for what is shown and told.
    """
    came = list(finished)
    place = {hook.key: number for number, hook in enumerate(order)}
    said = sorted(came, key=lambda one: place.get(one.hook.key, len(place)))
    failures = [one for one in said if one.answer.failure is not None]
    blocks = [one.answer.block for one in said if one.answer.block]
    if event in OBJECTS:
        blocks += [
            f"{one.hook.name} failed ({one.answer.failure}), and it blocks when it fails"
            for one in failures
            if one.hook.on_failure == "block"
        ]
    stops = [one.answer.stop for one in said if one.answer.stop is not None]
    updates = [one.answer.updated for one in came if one.answer.updated is not None]
    messages = [f"{one.hook.name} failed: {one.answer.failure}" for one in failures]
    messages += [one.answer.message for one in said if one.answer.message]
    return Verdict(
        block="\n\n".join(blocks) if blocks else None,
        stop=stops[0] if stops else None,
        allow=not blocks and any(one.answer.allow for one in said),
        ask=any(one.answer.ask for one in said),
        updated=updates[-1] if updates and not blocks else None,
        context=tuple(one for one in said if one.answer.context),
        messages=tuple(messages),
    )
