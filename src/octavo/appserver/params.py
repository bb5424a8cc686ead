"""What clients send with each method. Unknown fields are ignored, as real clients need it."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct


class Params(Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all parameters: names in camel case."""


class Nothing(Params, frozen=True, kw_only=True):
    """Methods without parameters."""


class Overrides(Params, frozen=True, kw_only=True):
    """Settings that a client gives for a thread."""

    cwd: str | None = None
    model: str | None = None
    model_provider: str | None = None
    approval_policy: Any = None
    approvals_reviewer: str | None = None
    sandbox: str | None = None
    config: Mapping[str, Any] | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    service_tier: str | None = None
    personality: str | None = None
    dynamic_tools: tuple[Mapping[str, Any], ...] | None = None


class ThreadStart(Overrides, frozen=True, kw_only=True):
    """`thread/start`."""

    ephemeral: bool | None = None
    service_name: str | None = None
    thread_source: Any = None


class ThreadResume(Overrides, frozen=True, kw_only=True):
    """`thread/resume`."""

    thread_id: str
    exclude_turns: bool | None = None


class ThreadFork(Overrides, frozen=True, kw_only=True):
    """`thread/fork`."""

    thread_id: str
    ephemeral: bool | None = None
    exclude_turns: bool | None = None
    last_turn_id: str | None = None


class OfThread(Params, frozen=True, kw_only=True):
    """Methods about one thread."""

    thread_id: str


class ThreadRead(OfThread, frozen=True, kw_only=True):
    """`thread/read`."""

    include_turns: bool = False


class ThreadSearch(Params, frozen=True, kw_only=True):
    """`thread/search`."""

    search_term: str
    cursor: str | None = None
    limit: int | None = None
    sort_key: str | None = None
    sort_direction: str | None = None
    archived: bool | None = None


class ThreadSettings(OfThread, frozen=True, kw_only=True):
    """`thread/settings/update`."""

    cwd: str | None = None
    model: str | None = None
    effort: str | None = None
    summary: str | None = None
    approval_policy: Any = None
    approvals_reviewer: str | None = None
    sandbox_policy: Mapping[str, Any] | None = None
    service_tier: str | None = None


class ThreadName(OfThread, frozen=True, kw_only=True):
    """`thread/name/set`."""

    name: str


class ThreadList(Params, frozen=True, kw_only=True):
    """`thread/list`."""

    cursor: str | None = None
    limit: int | None = None
    sort_key: str | None = None
    sort_direction: str | None = None
    archived: bool | None = None
    cwd: str | tuple[str, ...] | None = None
    model_providers: tuple[str, ...] | None = None
    source_kinds: tuple[Any, ...] | None = None
    search_term: str | None = None


class Page(OfThread, frozen=True, kw_only=True):
    """`thread/turns/list`."""

    cursor: str | None = None
    limit: int | None = None
    sort_direction: str | None = None
    items_view: str | None = None


class ItemsPage(Page, frozen=True, kw_only=True):
    """`thread/items/list`."""

    turn_id: str | None = None


class InjectItems(OfThread, frozen=True, kw_only=True):
    """`thread/inject_items`."""

    items: tuple[Mapping[str, Any], ...]


class GoalSet(OfThread, frozen=True, kw_only=True):
    """`thread/goal/set`."""

    objective: str | None = None
    status: str | None = None
    token_budget: int | None = None


class TurnStart(OfThread, frozen=True, kw_only=True):
    """`turn/start`."""

    input: tuple[Mapping[str, Any], ...]
    cwd: str | None = None
    model: str | None = None
    effort: str | None = None
    summary: str | None = None
    approval_policy: Any = None
    approvals_reviewer: str | None = None
    sandbox_policy: Mapping[str, Any] | None = None
    service_tier: str | None = None
    output_schema: Mapping[str, Any] | None = None
    collaboration_mode: Mapping[str, Any] | None = None
    tool_output: Mapping[str, Any] | None = None
    """What another program says, in place of `input`: `name`, `namespace`, `output`."""


class TurnSteer(OfThread, frozen=True, kw_only=True):
    """`turn/steer`."""

    expected_turn_id: str
    input: tuple[Mapping[str, Any], ...]


class TurnInterrupt(OfThread, frozen=True, kw_only=True):
    """`turn/interrupt`."""

    turn_id: str


class ReviewStart(OfThread, frozen=True, kw_only=True):
    """`review/start`."""

    target: Mapping[str, Any]
    delivery: str | None = None


class ModelList(Params, frozen=True, kw_only=True):
    """`model/list`."""

    limit: int | None = None
    cursor: str | None = None
    include_hidden: bool | None = None


class Login(Params, frozen=True, kw_only=True):
    """`account/login/start`."""

    type: str
    api_key: str | None = None


class LoginCancel(Params, frozen=True, kw_only=True):
    """`account/login/cancel`."""

    login_id: str


class AccountRead(Params, frozen=True, kw_only=True):
    """`account/read`."""

    refresh_token: bool = False


class ConfigRead(Params, frozen=True, kw_only=True):
    """`config/read`."""

    include_layers: bool = False
    cwd: str | None = None


class ConfigEdit(Params, frozen=True, kw_only=True):
    """One change of the user's settings."""

    key_path: str
    value: Any
    merge_strategy: Literal["replace", "upsert"]


class ConfigValueWrite(ConfigEdit, frozen=True, kw_only=True):
    """`config/value/write`."""

    file_path: str | None = None
    expected_version: str | None = None


class ConfigBatchWrite(Params, frozen=True, kw_only=True):
    """`config/batchWrite`."""

    edits: tuple[ConfigEdit, ...]
    file_path: str | None = None
    expected_version: str | None = None


class SkillsList(Params, frozen=True, kw_only=True):
    """`skills/list`."""

    cwds: tuple[str, ...] | None = None
    force_reload: bool = False


class SkillsWrite(Params, frozen=True, kw_only=True):
    """`skills/config/write`."""

    enabled: bool
    path: str | None = None
    name: str | None = None


class HooksList(Params, frozen=True, kw_only=True):
    """`hooks/list`."""

    cwds: tuple[str, ...] | None = None


class FsPath(Params, frozen=True, kw_only=True):
    """`fs/*` methods about one path."""

    path: str


class FsWrite(FsPath, frozen=True, kw_only=True):
    """`fs/writeFile`."""

    data_base64: str


class FsMake(FsPath, frozen=True, kw_only=True):
    """`fs/createDirectory`."""

    recursive: bool = True


class FsRemove(FsPath, frozen=True, kw_only=True):
    """`fs/remove`."""

    recursive: bool = False
    force: bool = False


class FsCopy(Params, frozen=True, kw_only=True):
    """`fs/copy`."""

    source_path: str
    destination_path: str
    recursive: bool = False


class McpToolCall(OfThread, frozen=True, kw_only=True):
    """`mcpServer/tool/call`."""

    server: str
    tool: str
    arguments: Mapping[str, Any] | None = None


class McpRead(Params, frozen=True, kw_only=True):
    """`mcpServer/resource/read`."""

    server: str
    uri: str
    thread_id: str | None = None


class McpLogin(Params, frozen=True, kw_only=True):
    """`mcpServer/oauth/login`."""

    name: str
    scopes: tuple[str, ...] | None = None
    timeout_secs: int | None = None
    thread_id: str | None = None


class FsWatch(FsPath, frozen=True, kw_only=True):
    """`fs/watch`."""

    watch_id: str


class FsUnwatch(Params, frozen=True, kw_only=True):
    """`fs/unwatch`."""

    watch_id: str


class SearchSession(Params, frozen=True, kw_only=True):
    """A search that follows what is typed."""

    session_id: str


class SearchStart(SearchSession, frozen=True, kw_only=True):
    """`fuzzyFileSearch/sessionStart`."""

    roots: tuple[str, ...]


class SearchUpdate(SearchSession, frozen=True, kw_only=True):
    """`fuzzyFileSearch/sessionUpdate`."""

    query: str


class Size(Params, frozen=True, kw_only=True):
    """Of a terminal."""

    rows: int
    cols: int


class CommandExec(Params, frozen=True, kw_only=True):
    """`command/exec`."""

    command: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str | None] | None = None
    timeout_ms: int | None = None
    disable_timeout: bool = False
    sandbox_policy: Mapping[str, Any] | None = None
    output_bytes_cap: int | None = None
    disable_output_cap: bool = False
    process_id: str | None = None
    stream_stdin: bool = False
    stream_stdout_stderr: bool = False
    tty: bool = False
    size: Size | None = None


class OfProcess(Params, frozen=True, kw_only=True):
    """Methods about a command that runs."""

    process_id: str


class CommandWrite(OfProcess, frozen=True, kw_only=True):
    """`command/exec/write`."""

    delta_base64: str | None = None
    close_stdin: bool = False


class CommandResize(OfProcess, frozen=True, kw_only=True):
    """`command/exec/resize`."""

    size: Size


class FuzzySearch(Params, frozen=True, kw_only=True):
    """`fuzzyFileSearch`."""

    query: str
    roots: tuple[str, ...]
