"""What each method answers, as types: for the schema, the TypeScript declarations and the tests.

The shapes with a `kind` word inside (items, statuses, sources) stay open: `Any` in these types,
described in docs/protocols.md.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct


class Result(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all results: names in camel case."""


class Empty(Result, frozen=True, kw_only=True):
    """Nothing to say: it is done."""


class Initialized(Result, frozen=True, kw_only=True):
    """`initialize`."""

    user_agent: str
    codex_home: str
    platform_family: str
    platform_os: str


class GitInfo(Result, frozen=True, kw_only=True):
    """Where a thread's folder was in its history."""

    sha: str | None
    branch: str | None
    origin_url: str | None


class TurnError(Result, frozen=True, kw_only=True):
    """Why a turn failed."""

    message: str
    codex_error_info: Any
    additional_details: str | None
    misalignment: Any = None


class Turn(Result, frozen=True, kw_only=True):
    """One turn. Times in seconds since 1970."""

    id: str
    items: tuple[Mapping[str, Any], ...]
    items_view: str
    status: str
    error: TurnError | None
    started_at: int | None
    completed_at: int | None
    duration_ms: int | None
    root_turn_id: str


class Thread(Result, frozen=True, kw_only=True):
    """One thread. Times in seconds since 1970."""

    id: str
    session_id: str
    forked_from_id: str | None
    parent_thread_id: str | None
    preview: str
    ephemeral: bool
    model_provider: str
    model: str | None
    reasoning_effort: str | None
    created_at: int
    updated_at: int
    recency_at: int | None
    status: Mapping[str, Any]
    path: str | None
    cwd: str
    cli_version: str
    originator: str | None
    source: Any
    thread_source: Any
    agent_nickname: str | None
    agent_role: str | None
    git_info: GitInfo | None
    name: str | None
    history_mode: str
    section: Any
    project_id: str | None
    can_accept_direct_input: bool
    extra: Any
    turns: tuple[Turn, ...]


class Opened(Result, frozen=True, kw_only=True):
    """`thread/start` and `thread/fork`."""

    thread: Thread
    model: str
    model_provider: str
    cwd: str
    approval_policy: Any
    approvals_reviewer: str
    sandbox: Mapping[str, Any]
    reasoning_effort: str | None
    service_tier: str | None
    instruction_sources: tuple[str, ...]
    runtime_workspace_roots: tuple[str, ...]
    disabled_plugin_ids: tuple[str, ...]
    active_permission_profile: Any
    multi_agent_mode: Any


class Resumed(Opened, frozen=True, kw_only=True):
    """`thread/resume`."""

    initial_turns_page: Any
    turns_backwards_cursor: str | None
    items_backwards_cursor: str | None
    collaboration_mode: Any


class OneThread(Result, frozen=True, kw_only=True):
    """`thread/unarchive`."""

    thread: Thread


class ReadThread(OneThread, frozen=True, kw_only=True):
    """`thread/read`."""

    read_state: Any


class Threads(Result, frozen=True, kw_only=True):
    """`thread/list`."""

    data: tuple[Thread, ...]
    read_states: Mapping[str, Any]
    next_cursor: str | None
    backwards_cursor: str | None


class Found(Result, frozen=True, kw_only=True):
    """A thread with the words that were looked for."""

    thread: Thread
    snippet: str


class FoundThreads(Result, frozen=True, kw_only=True):
    """`thread/search`."""

    data: tuple[Found, ...]
    next_cursor: str | None
    backwards_cursor: str | None


class Ids(Result, frozen=True, kw_only=True):
    """`thread/loaded/list`."""

    data: tuple[str, ...]
    next_cursor: str | None


class Turns(Result, frozen=True, kw_only=True):
    """`thread/turns/list`."""

    data: tuple[Turn, ...]
    next_cursor: str | None
    backwards_cursor: str | None


class PlacedItem(Result, frozen=True, kw_only=True):
    """An item and the turn it belongs to."""

    turn_id: str
    item: Mapping[str, Any]
    started_at_ms: int | None
    completed_at_ms: int | None


class Items(Result, frozen=True, kw_only=True):
    """`thread/items/list`."""

    data: tuple[PlacedItem, ...]
    next_cursor: str | None
    backwards_cursor: str | None


class Status(Result, frozen=True, kw_only=True):
    """One word about what happened."""

    status: str


class StartedTurn(Result, frozen=True, kw_only=True):
    """`turn/start`."""

    turn: Turn


class StartedReview(StartedTurn, frozen=True, kw_only=True):
    """`review/start`."""

    review_thread_id: str


class Steered(Result, frozen=True, kw_only=True):
    """`turn/steer`."""

    turn_id: str


class Goal(Result, frozen=True, kw_only=True):
    """What a thread works for by itself. Times in seconds."""

    thread_id: str
    objective: str
    status: str
    token_budget: int | None
    tokens_used: int
    time_used_seconds: int
    created_at: int
    updated_at: int


class SetGoal(Result, frozen=True, kw_only=True):
    """`thread/goal/set`."""

    goal: Goal


class GotGoal(Result, frozen=True, kw_only=True):
    """`thread/goal/get`."""

    goal: Goal | None


class Cleared(Result, frozen=True, kw_only=True):
    """`thread/goal/clear`."""

    cleared: bool


class Page(Result, frozen=True, kw_only=True):
    """A list in pages."""

    data: tuple[Mapping[str, Any], ...]
    next_cursor: str | None


class Listed(Result, frozen=True, kw_only=True):
    """A list, whole."""

    data: tuple[Mapping[str, Any], ...]


class Account(Result, frozen=True, kw_only=True):
    """`account/read`."""

    account: Mapping[str, Any] | None
    user_id: str | None
    requires_openai_auth: bool
    workspace_routing: Any


class LoggedIn(Result, frozen=True, kw_only=True):
    """`account/login/start`."""

    type: str


class AuthStatus(Result, frozen=True, kw_only=True):
    """`getAuthStatus`."""

    auth_method: str | None
    auth_token: str | None
    requires_openai_auth: bool


class Config(Result, frozen=True, kw_only=True):
    """`config/read`."""

    config: Mapping[str, Any]
    origins: Mapping[str, Any]
    layers: tuple[Mapping[str, Any], ...] | None


class ConfigWritten(Result, frozen=True, kw_only=True):
    """`config/value/write` and `config/batchWrite`."""

    status: str
    version: str
    file_path: str
    overridden_metadata: Mapping[str, Any] | None


class Requirements(Result, frozen=True, kw_only=True):
    """`configRequirements/read`."""

    supports_independent_speed_modes: bool
    requirements: Mapping[str, Any] | None


class SwitchedSkill(Result, frozen=True, kw_only=True):
    """`skills/config/write`."""

    effective_enabled: bool


class Data(Result, frozen=True, kw_only=True):
    """`fs/readFile`."""

    data_base64: str


class Metadata(Result, frozen=True, kw_only=True):
    """`fs/getMetadata`. Times in milliseconds since 1970."""

    is_directory: bool
    is_file: bool
    is_symlink: bool
    created_at_ms: int
    modified_at_ms: int


class Entry(Result, frozen=True, kw_only=True):
    """One name in a folder."""

    file_name: str
    is_directory: bool
    is_file: bool


class Entries(Result, frozen=True, kw_only=True):
    """`fs/readDirectory`."""

    entries: tuple[Entry, ...]


class Watched(Result, frozen=True, kw_only=True):
    """`fs/watch`."""

    path: str


class FoundFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file whose path fits; `indices` are the letters that do."""

    root: str
    path: str
    match_type: str
    file_name: str
    score: int
    indices: tuple[int, ...] | None


class FoundFiles(Result, frozen=True, kw_only=True):
    """`fuzzyFileSearch`."""

    files: tuple[FoundFile, ...]


class Ran(Result, frozen=True, kw_only=True):
    """`command/exec`; what was streamed is not said again."""

    exit_code: int
    stdout: str
    stderr: str


class Called(Result, frozen=True, kw_only=True):
    """`mcpServer/tool/call`."""

    content: tuple[Any, ...]
    structured_content: Any
    is_error: bool


class Contents(Result, frozen=True, kw_only=True):
    """`mcpServer/resource/read`."""

    contents: tuple[Mapping[str, Any], ...]


class LoginAddress(Result, frozen=True, kw_only=True):
    """`mcpServer/oauth/login`: where the browser has to go."""

    authorization_url: str
    login_id: str


class Plugins(Result, frozen=True, kw_only=True):
    """`plugin/list`."""

    marketplaces: tuple[Any, ...]
    marketplace_load_errors: tuple[Any, ...]
    featured_plugin_ids: tuple[str, ...]


class Detected(Result, frozen=True, kw_only=True):
    """`externalAgentConfig/detect`."""

    items: tuple[Any, ...]
    connectors: tuple[Any, ...]


RESULTS: Final[Mapping[str, type[Struct]]] = {
    "account/login/cancel": Status,
    "account/login/start": LoggedIn,
    "account/read": Account,
    "app/list": Page,
    "collaborationMode/list": Listed,
    "command/exec": Ran,
    "config/batchWrite": ConfigWritten,
    "config/read": Config,
    "config/value/write": ConfigWritten,
    "configRequirements/read": Requirements,
    "experimentalFeature/list": Page,
    "externalAgentConfig/detect": Detected,
    "fs/getMetadata": Metadata,
    "fs/readDirectory": Entries,
    "fs/readFile": Data,
    "fs/watch": Watched,
    "fuzzyFileSearch": FoundFiles,
    "getAuthStatus": AuthStatus,
    "hooks/list": Listed,
    "initialize": Initialized,
    "mcpServer/oauth/login": LoginAddress,
    "mcpServer/resource/read": Contents,
    "mcpServer/tool/call": Called,
    "mcpServerStatus/list": Page,
    "model/list": Page,
    "modelProvider/list": Page,
    "permissionProfile/list": Page,
    "plugin/list": Plugins,
    "review/start": StartedReview,
    "skills/config/write": SwitchedSkill,
    "skills/list": Listed,
    "thread/fork": Opened,
    "thread/goal/clear": Cleared,
    "thread/goal/get": GotGoal,
    "thread/goal/set": SetGoal,
    "thread/items/list": Items,
    "thread/list": Threads,
    "thread/loaded/list": Ids,
    "thread/read": ReadThread,
    "thread/resume": Resumed,
    "thread/search": FoundThreads,
    "thread/start": Opened,
    "thread/turns/list": Turns,
    "thread/unarchive": OneThread,
    "thread/unsubscribe": Status,
    "turn/start": StartedTurn,
    "turn/steer": Steered,
    "windowsSandbox/readiness": Status,
}
"""By method; all others answer `Empty`."""
