"""Methods of the published protocol that are not carried out here: each says so by its name."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

CLOUD: Final = (
    "account/bedrock/checkGovCloudRequirements", "account/bedrock/discover",
    "account/bedrock/setup", "account/gatewayOAuth/cancel", "account/gatewayOAuth/login",
    "account/gatewayOAuth/read", "account/gcp/setup", "account/rateLimitResetCredit/consume",
    "account/rateLimits/read", "account/securitySetup/read", "account/sendAddCreditsNudgeEmail",
    "account/usage/read", "account/workspaceMessages/read", "accountSession/list",
    "accountSession/switch", "app/installed", "app/read", "feedback/upload", "marketplace/add",
    "marketplace/remove", "marketplace/upgrade", "mcpServer/event/stream/start",
    "mcpServer/event/stream/stop", "mock/experimentalMethod", "plugin/install",
    "plugin/installed", "plugin/read", "plugin/reconcile", "plugin/search",
    "plugin/share/checkout", "plugin/share/delete", "plugin/share/list", "plugin/share/save",
    "plugin/share/updateTargets", "plugin/skill/read", "plugin/uninstall",
    "remoteControl/client/list", "remoteControl/client/revoke", "remoteControl/disable",
    "remoteControl/enable", "remoteControl/pairing/start", "remoteControl/pairing/status",
    "remoteControl/status/read", "thread/approveGuardianDeniedAction", "thread/guardianReview",
    "thread/prediction/request", "thread/realtime/appendAudio", "thread/realtime/appendSpeech",
    "thread/realtime/appendText", "thread/realtime/listVoices", "thread/realtime/start",
    "thread/realtime/stop", "thread/sample", "thread/sample/cancel", "userVerification/cancel",
    "userVerification/delete", "userVerification/enroll", "userVerification/start",
    "userVerification/status", "userVerification/verify", "windowsSandbox/setupStart",
)  # fmt: skip
"""Methods that only the vendor's cloud can answer."""
ABSENT: Final = (
    "config/mcpServer/reload", "environment/add", "environment/info", "environment/status",
    "experimentalFeature/enablement/set", "externalAgentConfig/import",
    "externalAgentConfig/import/readHistories", "externalAgentConfig/import/recordHistory",
    "feedback/save", "memory/reset", "memory/status", "modelProvider/capabilities/read",
    "modelProvider/config/write", "process/kill", "process/resizePty", "process/spawn",
    "process/writeStdin", "project/create", "project/delete", "project/import", "project/list",
    "project/move", "project/read", "project/update", "rollout/compress", "server/diagnostics",
    "skills/extraRoots/set", "thread/attachment/add", "thread/attachment/list",
    "thread/attachment/remove", "thread/attachmentOwner/list",
    "thread/backgroundTerminals/clean", "thread/backgroundTerminals/list",
    "thread/backgroundTerminals/terminate", "thread/decrement_elicitation",
    "thread/increment_elicitation", "thread/items/read", "thread/memory/read",
    "thread/memoryMode/set", "thread/metadata/update", "thread/prepareApprovedPlan",
    "thread/queue/add", "thread/queue/delete", "thread/queue/list", "thread/queue/reorder",
    "thread/queue/start", "thread/queue/update", "thread/readState/update", "thread/revert",
    "thread/searchOccurrences", "thread/section/move", "thread/shellCommand",
    "thread/timeline/list", "threadSection/create", "threadSection/delete",
    "threadSection/list", "threadSection/update", "turn/settings/update",
)  # fmt: skip
"""Methods nobody has written here."""


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    for name in CLOUD:
        table.method(name, tier="cloud")(vendors)
    for name in ABSENT:
        table.method(name, tier="absent")(missing)


async def vendors(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """Belongs to the vendor's cloud: always an error."""
    raise AssertionError((server, connection, asked))  # refused by its tier


async def missing(server: "Server", connection: "Connection", asked: object) -> Any:  # noqa: ANN401
    """Part of the published protocol, not of this server: always an error."""
    raise AssertionError((server, connection, asked))  # refused by its tier
