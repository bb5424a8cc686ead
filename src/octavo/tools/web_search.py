"""`web_search`: the provider searches; here is only what it is told. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from octavo.model.request import HostedTool

Mode = Literal["disabled", "cached", "indexed", "live"]
ContextSize = Literal["low", "medium", "high"]


def web_search(
    mode: Mode,
    *,
    context_size: ContextSize | None = None,
    allowed_domains: Sequence[str] = (),
    location: Mapping[str, str] | None = None,
) -> HostedTool | None:
    """The tool for a request; None when it is switched off. Only `live` leaves the index.

    `location` may have `country`, `region`, `city` and `timezone`.
    """
    if mode == "disabled":
        return None
    raw: dict[str, Any] = {"type": "web_search", "external_web_access": mode == "live"}
    if allowed_domains:
        raw["filters"] = {"allowed_domains": list(allowed_domains)}
    if location:
        raw["user_location"] = {"type": "approximate", **location}
    if context_size is not None:
        raw["search_context_size"] = context_size
    return HostedTool(raw=raw)
