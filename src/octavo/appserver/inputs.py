"""What clients give as input and as overrides, as our values. Pure."""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from octavo.api.thread import ExternalOutput
from octavo.appserver.errors import invalid
from octavo.appserver.params import Overrides, ThreadSettings, TurnStart
from octavo.engine.modes import Mode
from octavo.protocol.content import ImageInput, TextInput, UserInput

UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def known(thread_id: str) -> str:
    """An id that looks like one. Raises MethodError."""
    if not UUID.fullmatch(thread_id):
        raise invalid(f"invalid thread id: {thread_id}")
    return thread_id.lower()


def user_inputs(parts: Sequence[Mapping[str, Any]]) -> tuple[UserInput, ...]:
    """The input of a turn. Raises MethodError for a kind nobody knows."""
    return tuple(user_input(part) for part in parts)


def user_input(part: Mapping[str, Any]) -> UserInput:
    match dict(part):
        case {"type": "text", "text": str(text)}:
            return TextInput(text=text)
        case {"type": "image", "url": str(url)}:
            return ImageInput(url=url)
        case {"type": "localImage" | "local_image", "path": str(path)}:
            return ImageInput(path=path)
        case {"type": "skill", "name": str(name)}:
            return TextInput(text=f"${name}")
        case {"type": "mention", "path": str(path)}:
            return TextInput(text=f"@{path}")
        case {"type": str(kind)}:
            raise invalid(
                f"Invalid request: input of type `{kind}` is not understood, or incomplete"
            )
        case _:
            raise invalid("Invalid request: missing field `type` in `input`")


MODES = {
    "readOnly": "read-only",
    "workspaceWrite": "workspace-write",
    "dangerFullAccess": "danger-full-access",
}


def flags_of(asked: Overrides) -> dict[str, object]:
    """The settings that a client gives for a thread, by key."""
    found: dict[str, object] = dict(asked.config or {})
    named = {
        "model": asked.model,
        "model_provider": asked.model_provider,
        "approval_policy": policy_of(asked.approval_policy),
        "approvals_reviewer": asked.approvals_reviewer,
        "sandbox_mode": asked.sandbox,
        "developer_instructions": asked.developer_instructions,
        "service_tier": asked.service_tier,
    }
    found |= {key: value for key, value in named.items() if value is not None}
    return found


def turn_flags(asked: TurnStart | ThreadSettings) -> dict[str, object]:
    """The settings that a turn changes for itself and those after it."""
    found: dict[str, object] = {}
    named = {
        "model": asked.model,
        "model_reasoning_effort": asked.effort,
        "model_reasoning_summary": asked.summary,
        "approval_policy": policy_of(asked.approval_policy),
        "approvals_reviewer": asked.approvals_reviewer,
        "service_tier": asked.service_tier,
    }
    found |= {key: value for key, value in named.items() if value is not None}
    if asked.sandbox_policy is not None:
        found |= sandbox_flags(asked.sandbox_policy)
    return found


def sandbox_flags(policy: Mapping[str, Any]) -> dict[str, object]:
    """A sandbox policy as settings. Raises MethodError for one that cannot be kept here."""
    kind = policy.get("type")
    if kind not in MODES:
        raise invalid(f"Invalid request: unknown sandbox policy `{kind}`")
    found: dict[str, object] = {"sandbox_mode": MODES[kind]}
    if kind == "readOnly" and policy.get("networkAccess"):
        raise invalid("a read-only policy with network access needs a permission profile here")
    if kind == "workspaceWrite":
        found |= {
            "sandbox_workspace_write.writable_roots": list(policy.get("writableRoots") or []),
            "sandbox_workspace_write.network_access": bool(policy.get("networkAccess")),
            "sandbox_workspace_write.exclude_tmpdir_env_var": bool(
                policy.get("excludeTmpdirEnvVar")
            ),
            "sandbox_workspace_write.exclude_slash_tmp": bool(policy.get("excludeSlashTmp")),
        }
    return found


def policy_of(value: Any) -> object:  # noqa: ANN401 - from a client
    """An approval policy as the settings spell it."""
    return value


def mode_of(asked: Mapping[str, Any] | None) -> Mode:
    """The collaboration mode of a turn. Raises MethodError for one that is not known."""
    mode = "default" if asked is None else asked.get("mode")
    match mode:
        case "default" | "plan":
            return mode
        case _:
            raise invalid(f"Invalid request: unknown collaboration mode `{mode}`")


def external(raw: Mapping[str, Any]) -> ExternalOutput:
    """What another program says. Raises MethodError."""
    given = {**raw, "call_id": f"external_{uuid.uuid4().hex}"}
    try:
        found = msgspec.convert(given, ExternalOutput)
    except msgspec.ValidationError as error:
        raise invalid(f"Invalid request: toolOutput: {error}") from error
    if not found.name.strip():
        raise invalid("Invalid request: toolOutput: the name is empty")
    return found
