"""The tools a thread usually has, in their fixed order."""

from collections.abc import Iterable

from octavo.model.request import HostedTool
from octavo.process.table import yield_ms
from octavo.tools.apply_patch import ApplyPatch, Patcher
from octavo.tools.base import Tool
from octavo.tools.plan import UpdatePlan
from octavo.tools.registry import Registry
from octavo.tools.sessions import Sessions
from octavo.tools.shell import ExecCommand, WriteStdin, Yields
from octavo.tools.view_image import ViewImage


def default_registry(
    sessions: Sessions,
    *,
    patch: str | None = "freeform",
    plan: bool = False,
    original_images: bool = False,
    search: HostedTool | None = None,
    more: Iterable[Tool] = (),
    allow_login: bool = True,
    poll_ms: int | None = None,
) -> Registry:
    """The tools of one thread; `sessions` belongs to the caller, who ends it.

    `patch`: "freeform", "function", or None for models that use the shell for it. `plan` adds
    `update_plan`, `original_images` lets the model ask for full detail, `search` is made by
    `web_search`, `poll_ms` is `background_terminal_max_timeout`.
    """
    patcher = Patcher()
    yields = bounded(poll_ms)
    tools: list[Tool] = [
        ExecCommand(sessions, patcher, allow_login=allow_login, yields=yields),
        WriteStdin(sessions, yields=yields),
    ]
    if plan:
        tools.append(UpdatePlan())
    if patch is not None:
        tools.append(ApplyPatch(patcher, freeform=patch == "freeform"))
    tools.append(ViewImage(original=original_images))
    return Registry((*tools, *more), hosted=() if search is None else (search,))


def bounded(poll_ms: int | None) -> Yields:
    """How long calls wait, with another limit for those that only wait."""
    if poll_ms is None:
        return yield_ms
    return lambda asked, wanted: (
        min(max(wanted or 0, min(5_000, poll_ms)), poll_ms)
        if asked == "poll"
        else yield_ms(asked, wanted)
    )
