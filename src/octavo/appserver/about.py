"""Methods about the server, its models and its account."""

from typing import TYPE_CHECKING, Any, Final, get_args

from octavo.appserver.hello import Initialize
from octavo.appserver.params import ModelList
from octavo.model.catalog import MODELS
from octavo.model.request import Effort

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

EFFORTS: Final = ("minimal", "low", "medium", "high", "xhigh")


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    method = table.method
    method("initialize", Initialize)(initialize)
    method("model/list", ModelList)(model_list)
    method("plugin/list", tier="extended")(plugin_list)
    method("app/list", tier="extended")(empty_page)
    method("collaborationMode/list", tier="extended")(mode_list)
    method("externalAgentConfig/detect", tier="extended")(detected)
    method("configRequirements/read", tier="extended")(requirements)
    method("windowsSandbox/readiness", tier="extended")(readiness)


async def initialize(server: "Server", connection: "Connection", asked: Initialize) -> Any:  # noqa: ANN401
    """Say who you are; the first request of every client."""
    raise AssertionError((server, connection, asked))  # done before the table is looked at


async def readiness(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """Whether the sandbox accounts of Windows are set up."""
    return {"status": "notConfigured"}


async def model_list(server: "Server", connection: "Connection", asked: ModelList) -> Any:  # noqa: ANN401
    """The models Octavo knows."""
    default = server.engine.settings().settings.model
    data = [
        {
            "id": name,
            "model": name,
            "displayName": name,
            "description": f"{info.context_window:,} tokens",
            "hidden": False,
            "isDefault": name == default,
            "defaultReasoningEffort": info.default_effort or "medium",
            "supportedReasoningEfforts": [
                {"reasoningEffort": effort, "description": ""}
                for effort in (EFFORTS if info.default_effort else ("medium",))
                if effort in get_args(Effort)
            ],
            "inputModalities": ["text", "image"] if info.images else ["text"],
            "supportsPersonality": False,
            "upgrade": None,
        }
        for name, info in MODELS.items()
    ]
    most = asked.limit or len(data)
    start = int(asked.cursor) if asked.cursor and asked.cursor.isdigit() else 0
    more = start + most < len(data)
    return {
        "data": data[start : start + most],
        "nextCursor": str(start + most) if more else None,
    }


async def plugin_list(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """There are no plugins."""
    return {"marketplaces": [], "marketplaceLoadErrors": [], "featuredPluginIds": []}


async def empty_page(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """An empty list."""
    return {"data": [], "nextCursor": None}


async def mode_list(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """The collaboration modes."""
    names = ("default", "plan")
    return {"data": [{"name": name, "mode": name} for name in names]}


async def detected(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """Settings of other agents: none are looked for."""
    return {"items": [], "connectors": []}


async def requirements(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """What administrators require."""
    return {"supportsIndependentSpeedModes": True, "requirements": None}
