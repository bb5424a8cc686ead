"""The settings as typed values: one field per key, with its default. Values only, no reading.

A key whose meaning belongs to a room that is not built yet is kept as the table that was written.
The JSON schema of the file is made from these types by `octavo.config.schema_json`.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Raw = Mapping[str, object]
"""A table as it was written, for a room that reads it by itself."""
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Retries = Annotated[int, Meta(ge=0, le=100)]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]
Summary = Literal["auto", "concise", "detailed", "none"]
Verbosity = Literal["low", "medium", "high"]
ApprovalMode = Literal["untrusted", "on-failure", "on-request", "never"]
Reviewer = Literal["user", "auto_review", "guardian_subagent"]
SandboxMode = Literal["read-only", "workspace-write", "danger-full-access"]
WebSearch = Literal["disabled", "cached", "indexed", "live"]
CompactScope = Literal["total", "body_after_prefix"]
WireApi = Literal["responses", "chat", "messages"]
TrustLevel = Literal["trusted", "untrusted"]


class Granular(Struct, frozen=True, kw_only=True):
    """Which kinds of question reach a person; the others are refused without asking."""

    sandbox_approval: bool
    rules: bool
    mcp_elicitations: bool
    skill_approval: bool = False
    request_permissions: bool = False


class GranularApproval(Struct, frozen=True, kw_only=True):
    """`approval_policy = { granular = { … } }`."""

    granular: Granular


class AutoReview(Struct, frozen=True, kw_only=True):
    """`[auto_review]`."""

    model: str | None = None
    """Which model reviews; None: the one that works. Octavo's own key."""

    policy: str | None = None
    """What the reviewing model is told; None: the text that is built in."""


class WorkspaceWrite(Struct, frozen=True, kw_only=True):
    """`[sandbox_workspace_write]`, as written. `Loaded.sandbox` has the paths resolved."""

    writable_roots: tuple[str, ...] = ()
    network_access: bool = False
    exclude_tmpdir_env_var: bool = False
    exclude_slash_tmp: bool = False
    git_write: bool = False
    protect_metadata: bool = True


class ShellEnvironment(Struct, frozen=True, kw_only=True):
    """`[shell_environment_policy]`: which variables commands see."""

    inherit: Literal["all", "core", "none"] = "all"
    ignore_default_excludes: bool = False
    """True keeps variables whose names look like secrets (KEY, SECRET, TOKEN, PASSWORD)."""
    keep: tuple[str, ...] = ()
    """Patterns of names that look like secrets and are passed on all the same. Octavo's own."""
    exclude: tuple[str, ...] = ()
    """Patterns of names to leave out; case does not count."""
    set: Mapping[str, str] = {}
    include_only: tuple[str, ...] = ()
    """When given, only names that match one of these patterns stay."""
    filters: Mapping[str, Literal["include", "exclude"]] = {}
    """The newer form of `exclude` and `include_only`; the two cannot be mixed."""
    experimental_use_profile: bool = False


class UpdatePlan(Struct, frozen=True, kw_only=True):
    """`[tools.update_plan]`."""

    enabled: bool = False


class RequestUserInput(Struct, frozen=True, kw_only=True):
    """`[tools.experimental_request_user_input]`."""

    enabled: bool = True


class Tools(Struct, frozen=True, kw_only=True):
    """`[tools]`."""

    web_search: bool | Raw | None = None
    """An older switch, or a table of the search's own settings."""
    view_image: bool = True
    update_plan: UpdatePlan = UpdatePlan()
    experimental_request_user_input: RequestUserInput = RequestUserInput()


class History(Struct, frozen=True, kw_only=True):
    """`[history]`: the prompts a person typed."""

    persistence: Literal["save-all", "none"] = "save-all"
    max_bytes: Count | None = None


class BudgetLimits(Struct, frozen=True, kw_only=True):
    """`[budget]`: what one run or thread may spend; checked before each request. Octavo's own."""

    tokens: Positive | None = None
    usd: Annotated[float, Meta(gt=0)] | None = None
    seconds: Annotated[float, Meta(gt=0)] | None = None
    turns: Positive | None = None


class ModelPrice(Struct, frozen=True, kw_only=True):
    """`[model_prices."NAME"]`: US dollars per million tokens."""

    input: Annotated[float, Meta(ge=0)]
    output: Annotated[float, Meta(ge=0)]
    cached_input: Annotated[float, Meta(ge=0)] | None = None
    """None: like `input`."""


class UndoSettings(Struct, frozen=True, kw_only=True):
    """`[undo]`: file states kept around each turn. Octavo's own."""

    enabled: bool = True
    max_bytes: Positive = 1 << 30
    """For all of them together; the oldest go first."""
    max_file_bytes: Positive = 32 << 20
    """A larger file is named, not kept."""
    required: bool = False
    """True: nothing is changed in a turn whose checkpoint could not be taken."""


class AuditSettings(Struct, frozen=True, kw_only=True):
    """`[audit]`: a hash-chained record of what was done. Octavo's own."""

    enabled: bool = True
    fsync: bool = False
    """True: each line is forced to the disk."""


class MemorySettings(Struct, frozen=True, kw_only=True):
    """`[memories]`: what earlier threads taught; `features.memories = true` switches it on."""

    generate_memories: bool = True
    """Threads that have been idle are read in the background and remembered."""
    use_memories: bool = True
    """New threads are told the summary."""
    max_raw_memories_for_consolidation: Annotated[int, Meta(ge=1, le=4_096)] = 256
    max_unused_days: Annotated[int, Meta(ge=0, le=365)] = 30
    """What nobody has used for longer is no longer merged."""
    max_rollout_age_days: Annotated[int, Meta(ge=0, le=90)] = 10
    max_rollouts_per_startup: Annotated[int, Meta(ge=1, le=128)] = 2
    min_rollout_idle_hours: Annotated[int, Meta(ge=1, le=48)] = 6
    min_rate_limit_remaining_percent: Annotated[int, Meta(ge=0, le=100)] = 25
    """Accepted; Octavo does not know what a provider would still allow."""
    disable_on_external_context: bool = False
    """A thread that searched the web or used an MCP server is not remembered."""
    dedicated_tools: bool = False
    """Accepted, not yet used."""
    extract_model: str | None = None
    """Reads threads; None: the model of the thread that runs."""
    consolidation_model: str | None = None
    """Merges; None: the model of the thread that runs."""


class Goals(Struct, frozen=True, kw_only=True):
    """`[goals]`."""

    max_goal_token_budget: Count | None = None


class Switch(Struct, frozen=True, kw_only=True):
    """A table with a single switch: `[analytics]`, `[feedback]`."""

    enabled: bool = True


class WindowsSettings(Struct, frozen=True, kw_only=True):
    """`[windows]`."""

    sandbox: Literal["elevated", "unelevated"] | None = None
    sandbox_private_desktop: bool = True
    acl_mode: Literal["write", "manual"] = "write"
    """"manual": nothing is written to access lists; the commands for it are printed instead."""


class Project(Struct, frozen=True, kw_only=True):
    """`[projects."/abs/path"]`."""

    trust_level: TrustLevel | None = None


class TokenCommand(Struct, frozen=True, kw_only=True):
    """`[model_providers.ID.auth]`: a program that prints the token."""

    command: str
    args: tuple[str, ...] = ()
    timeout_ms: Positive = 5_000
    refresh_interval_ms: Count = 300_000
    """How long a token is used before the program is asked again; 0: until it is refused."""
    cwd: str | None = None


class Aws(Struct, frozen=True, kw_only=True):
    """`[model_providers.ID.aws]`; accepted, not yet used."""

    profile: str | None = None
    region: str | None = None


class ModelProvider(Struct, frozen=True, kw_only=True):
    """`[model_providers.ID]`: a server that speaks one of the three wire formats."""

    name: str = ""
    """What people see; empty: the id."""
    base_url: str | None = None
    env_key: str | None = None
    """The environment variable that holds the key."""
    env_key_instructions: str | None = None
    experimental_bearer_token: str | None = None
    auth: TokenCommand | None = None
    aws: Aws | None = None
    wire_api: WireApi = "responses"
    query_params: Mapping[str, str] = {}
    http_headers: Mapping[str, str] = {}
    env_http_headers: Mapping[str, str] = {}
    """Header to variable; unset or empty: the header is not sent."""
    request_max_retries: Retries = 4
    stream_max_retries: Retries = 5
    stream_idle_timeout_ms: Positive = 300_000
    websocket_connect_timeout_ms: Positive = 15_000
    requires_openai_auth: bool = False
    supports_websockets: bool = False

    def __repr__(self) -> str:
        """Without tokens and headers: a printed setting must not give a secret away."""
        return f"ModelProvider(name={self.name!r}, base_url={self.base_url!r}, wire_api={self.wire_api!r})"


class Settings(Struct, frozen=True, kw_only=True):
    """Everything the settings files, profiles and flags say. `None`: nobody said anything."""

    # the model
    model: str | None = None
    review_model: str | None = None
    model_provider: str = "openai"
    model_providers: Mapping[str, ModelProvider] = {}
    """As written; `octavo.config.providers.provider` adds the built-in ones."""
    openai_base_url: str | None = None
    oss_provider: Literal["lmstudio", "ollama"] | None = None
    model_context_window: Positive | None = None
    model_auto_compact_token_limit: Positive | None = None
    """None: 90 % of the window."""
    model_auto_compact_token_limit_scope: CompactScope = "total"  # noqa: S105 - tokens of models
    model_reasoning_effort: Effort | None = None
    plan_mode_reasoning_effort: Effort | None = None
    model_reasoning_summary: Summary = "auto"
    model_verbosity: Verbosity | None = None
    model_catalog_json: str | None = None
    personality: Literal["none", "friendly", "pragmatic"] | None = None
    service_tier: str | None = None
    unreachable_timeout_ms: Positive = 60_000
    """How long `exec` tries to reach a provider that does not answer at all. Octavo's own key."""

    # what the model is told
    model_instructions_file: str | None = None
    developer_instructions: str | None = None
    instructions: str | None = None
    compact_prompt: str | None = None
    experimental_compact_prompt_file: str | None = None
    include_permissions_instructions: bool = True
    include_environment_context: bool = True
    include_collaboration_mode_instructions: bool = True
    include_apps_instructions: bool = True
    project_doc_max_bytes: Count = 32_768
    project_doc_fallback_filenames: tuple[str, ...] = ()
    project_root_markers: tuple[str, ...] = (".git",)

    # what may be done
    approval_policy: ApprovalMode | GranularApproval = "on-request"
    approvals_reviewer: Reviewer = "user"
    auto_review: AutoReview = AutoReview()
    sandbox_mode: SandboxMode | None = None
    sandbox_workspace_write: WorkspaceWrite = WorkspaceWrite()
    default_permissions: str | None = None
    permissions: Raw = {}
    deny_secrets: Literal["none", "home", "all"] = "home"
    """Which credentials commands may not read: the stores in the home folder, with `all` the
    workspace's `.env` files too. Octavo's own key."""
    budget: BudgetLimits = BudgetLimits()
    undo: UndoSettings = UndoSettings()
    audit: AuditSettings = AuditSettings()
    model_prices: Mapping[str, ModelPrice] = {}
    """By model name; beats what Octavo knows. Octavo's own key."""
    allow_login_shell: bool = True
    shell_environment_policy: ShellEnvironment = ShellEnvironment()
    projects: Mapping[str, Project] = {}
    windows: WindowsSettings = WindowsSettings()

    # tools
    web_search: WebSearch = "cached"
    tools: Tools = Tools()
    tool_output_token_limit: Positive | None = None
    background_terminal_max_timeout: Positive = 300_000
    """Milliseconds."""
    agents: Raw = {}
    goals: Goals = Goals()
    mcp_servers: Raw = {}
    mcp_oauth_credentials_store: Literal["auto", "file", "keyring"] = "auto"
    mcp_oauth_callback_port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    mcp_oauth_callback_url: str | None = None
    memories: MemorySettings = MemorySettings()
    skills: Raw = {}
    hooks: Raw = {}
    plugins: Raw = {}
    marketplaces: Raw = {}
    apps: Raw = {}

    # the program
    cli_auth_credentials_store: Literal["file", "keyring", "auto", "ephemeral"] = "file"
    forced_login_method: Literal["chatgpt", "api"] | None = None
    chatgpt_base_url: str | None = None
    notify: tuple[str, ...] | None = None
    history: History = History()
    sqlite_home: str | None = None
    log_dir: str | None = None
    file_opener: Literal["vscode", "vscode-insiders", "windsurf", "cursor", "none"] = "vscode"
    hide_agent_reasoning: bool = False
    show_raw_agent_reasoning: bool = False
    check_for_update_on_startup: bool = True
    disable_paste_burst: bool = False
    analytics: Switch = Switch()
    feedback: Switch = Switch()
    features: Mapping[str, bool | Raw] = {}
    suppress_unstable_features_warning: bool = False
    tui: Raw = {}
    notice: Raw = {}
    otel: Raw = {}


PATHS: Final = (
    ("model_instructions_file",),
    ("experimental_compact_prompt_file",),
    ("model_catalog_json",),
    ("sqlite_home",),
    ("log_dir",),
    ("model_providers", "*", "auth", "cwd"),
    ("mcp_servers", "*", "cwd"),
)
"""Keys that hold a path: a relative one is seen from the folder of its file. `*`: any name."""

TABLES: Final[Mapping[tuple[str, ...], type[Struct]]] = {
    (): Settings,
    ("approval_policy",): GranularApproval,
    ("approval_policy", "granular"): Granular,
    ("auto_review",): AutoReview,
    ("sandbox_workspace_write",): WorkspaceWrite,
    ("shell_environment_policy",): ShellEnvironment,
    ("projects", "*"): Project,
    ("windows",): WindowsSettings,
    ("tools",): Tools,
    ("tools", "update_plan"): UpdatePlan,
    ("tools", "experimental_request_user_input"): RequestUserInput,
    ("goals",): Goals,
    ("memories",): MemorySettings,
    ("budget",): BudgetLimits,
    ("undo",): UndoSettings,
    ("audit",): AuditSettings,
    ("model_prices", "*"): ModelPrice,
    ("history",): History,
    ("analytics",): Switch,
    ("feedback",): Switch,
    ("model_providers", "*"): ModelProvider,
    ("model_providers", "*", "auth"): TokenCommand,
    ("model_providers", "*", "aws"): Aws,
}
"""Which tables have a fixed set of keys. `*`: any name."""
