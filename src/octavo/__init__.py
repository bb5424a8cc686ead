"""Octavo: a coding agent and a sandbox, as a library. Names load on first use.

>>> import octavo
>>> done = octavo.run_command(["echo", "hello"], sandbox=octavo.Sandbox.read_only())
>>> done.exit_code, done.output.text
(0, 'hello\\n')
"""

from octavo._version import __version__

TYPE_CHECKING = False  # `typing` would cost more than this module
if TYPE_CHECKING:
    from octavo.api.commands import (
        CommandRunner,
        CompletedCommand,
        Limits,
        Output,
        run_command,
        run_command_async,
    )
    from octavo.api.engine import Engine
    from octavo.api.sandbox import PermissionProfile, Sandbox
    from octavo.api.thread import BudgetExceeded, Thread, Turn, TurnFailedError, TurnResult
    from octavo.engine.budget import Budget
    from octavo.policy.profile import Explanation
    from octavo.protocol.approvals import ApprovalRequest, CommandApproval, Decision, PatchApproval
    from octavo.protocol.errors import (
        ConfigError,
        LimitReached,
        OctavoError,
        PolicyError,
        SandboxUnavailable,
        UsageError,
    )
    from octavo.protocol.permissions import Access, RuleRef
    from octavo.sandbox.denial import Denial
    from octavo.tools.function import tool

_HOMES = {
    "CommandRunner": "octavo.api.commands",
    "CompletedCommand": "octavo.api.commands",
    "Limits": "octavo.api.commands",
    "Output": "octavo.api.commands",
    "run_command": "octavo.api.commands",
    "run_command_async": "octavo.api.commands",
    "Engine": "octavo.api.engine",
    "PermissionProfile": "octavo.api.sandbox",
    "Sandbox": "octavo.api.sandbox",
    "Thread": "octavo.api.thread",
    "Turn": "octavo.api.thread",
    "TurnFailedError": "octavo.api.thread",
    "TurnResult": "octavo.api.thread",
    "BudgetExceeded": "octavo.api.thread",
    "Budget": "octavo.engine.budget",
    "ApprovalRequest": "octavo.protocol.approvals",
    "CommandApproval": "octavo.protocol.approvals",
    "Decision": "octavo.protocol.approvals",
    "PatchApproval": "octavo.protocol.approvals",
    "tool": "octavo.tools.function",
    "Explanation": "octavo.policy.profile",
    "ConfigError": "octavo.protocol.errors",
    "LimitReached": "octavo.protocol.errors",
    "OctavoError": "octavo.protocol.errors",
    "PolicyError": "octavo.protocol.errors",
    "SandboxUnavailable": "octavo.protocol.errors",
    "UsageError": "octavo.protocol.errors",
    "Access": "octavo.protocol.permissions",
    "RuleRef": "octavo.protocol.permissions",
    "Denial": "octavo.sandbox.denial",
}

__all__ = [
    "Access",
    "ApprovalRequest",
    "Budget",
    "BudgetExceeded",
    "CommandApproval",
    "CommandRunner",
    "CompletedCommand",
    "ConfigError",
    "Decision",
    "Denial",
    "Engine",
    "Explanation",
    "LimitReached",
    "Limits",
    "OctavoError",
    "Output",
    "PatchApproval",
    "PermissionProfile",
    "PolicyError",
    "RuleRef",
    "Sandbox",
    "SandboxUnavailable",
    "Thread",
    "Turn",
    "TurnFailedError",
    "TurnResult",
    "UsageError",
    "__version__",
    "run_command",
    "run_command_async",
    "tool",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'octavo' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return __all__
