import json
import os
from pathlib import Path

import msgspec
import pytest

from octavo.config.load import resolve_profile
from octavo.config.schema import GranularApproval, Settings
from octavo.config.schema_json import config_schema
from octavo.config.settings import Where, load_settings
from octavo.protocol.errors import ConfigError, OctavoError, UsageError


class World:
    """A home, a project and the folder of an administrator."""

    def __init__(self, base):
        self.home, self.project, self.system = base / "home", base / "project", base / "etc"
        for folder in (self.home, self.project / ".git", self.system):
            folder.mkdir(parents=True)
        self.main = self.home / "config.toml"

    def write(self, text):
        self.main.write_text(text)
        return self

    def trust(self, level="trusted", more=""):
        return self.write(f'{more}\n[projects."{self.project}"]\ntrust_level = "{level}"\n')

    def bring(self, text, folder=".", name=".codex"):
        """Settings of the project's own."""
        path = self.project / folder / name / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def load(self, *overrides, cwd=None, **more):
        return load_settings(
            home=str(self.home), cwd=str(cwd or self.project), environ={"HOME": "/home/me"},
            overrides=overrides, system=(str(self.system),), **more,
        )  # fmt: skip

    def refused(self, *overrides, **more):
        with pytest.raises(OctavoError) as caught:
            self.load(*overrides, **more)
        assert str(caught.value).isprintable()
        return caught.value


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_without_files_every_key_has_its_default(world):
    found = world.load()
    assert found.settings == Settings()
    assert (found.warnings, found.default_mode) == ((), "read-only")
    assert found.origin("model") == Where(None)
    assert not found.chosen("model")


def test_a_missing_home_is_no_error(world):
    world.home = world.home / "gone"
    assert world.load().settings == Settings()


def test_the_stronger_layer_wins_and_each_value_knows_its_origin(world):
    (world.system / "config.toml").write_text(
        'model = "system"\nmodel_verbosity = "low"\nreview_model = "r"'
    )
    world.trust(more='model = "user"\npersonality = "none"\nservice_tier = "a"')
    (world.home / "work.config.toml").write_text('\n\nservice_tier = "work"\nmodel = "work"')
    outer = world.bring('model = "outer"\nlog_dir = "x"\nfile_opener = "none"')
    inner = world.bring('model = "inner"', "sub")
    own = world.bring('\nmodel = "own"', "sub", ".octavo")
    found = world.load("compact_prompt=a=b", cwd=world.project / "sub", profile="work")
    assert found.settings.model == "own"
    assert found.origin("model") == Where("project", own, 2)
    assert found.origin("model_verbosity") == Where("system", str(world.system / "config.toml"), 2)
    assert found.origin("personality") == Where("user", str(world.main), 2)
    assert found.origin("service_tier").layer == "profile"
    assert found.origin("file_opener") == Where("project", outer, 3)
    assert found.origin("compact_prompt") == Where("flag", "-c compact_prompt=a=b", None)
    assert found.settings.compact_prompt == "a=b"
    assert inner
    (world.system / "managed_config.toml").write_text('model = "managed"')
    found = world.load('model="flag"', flags={"model": "option"})
    assert found.settings.model == "managed"
    assert found.origin("model").layer == "managed"


def test_an_option_of_its_own_beats_an_override(world):
    found = world.load("model=a", flags={"model": "b", "tools.view_image": False})
    assert found.settings.model == "b"
    assert found.origin("model") == Where("flag", "--model", None)
    assert not found.settings.tools.view_image


def test_tables_merge_and_everything_else_replaces(world):
    world.write("[features]\na = true\nb = true\n[history]\nmax_bytes = 5\n")
    found = world.load("features.b=false", 'notify=["x", "y"]').settings
    assert found.features == {"a": True, "b": False}
    assert found.history.max_bytes == 5
    assert found.notify == ("x", "y")


def test_the_users_own_file_can_be_left_out(world):
    assert world.write('model = "x"').load(user_settings=False).settings.model is None


@pytest.mark.parametrize("level", ["untrusted", None])
def test_a_project_brings_settings_only_when_it_is_trusted(world, level):
    if level:
        world.trust(level)
    path = world.bring('model = "theirs"')
    found = world.load()
    assert found.settings.model is None
    assert found.trust.level == level
    assert found.warnings == (
        f"{path}: its settings are ignored, because {world.project} is not trusted",
    )
    assert found.default_mode == ("workspace-write" if level else "read-only")


def test_a_flag_can_trust(world):
    world.bring('model = "theirs"')
    flag = f'projects."{world.project}".trust_level="trusted"'
    assert world.load(flag).settings.model == "theirs"


@pytest.mark.parametrize(
    "line",
    [
        'openai_base_url = "http://evil"', 'chatgpt_base_url = "x"', 'model_provider = "x"',
        'notify = ["evil"]', 'profile = "x"', 'projects."/".trust_level = "trusted"',
        "otel.environment = 'x'", "features.respect_system_proxy = true", "profiles.x.model = 'y'",
        'experimental_realtime_ws_base_url = "x"', 'model_providers.x.base_url = "http://evil"',
        'apps_mcp_product_sku = "x"', "responses_api_metadata.a = 'x'", 'log_dir = "/x"',
        "project_root_markers = []",
    ],
)  # fmt: skip
def test_what_a_project_may_not_say_is_ignored_with_a_warning(world, line):
    path = world.trust().bring(f'model = "m"\n{line}\n')
    found = world.load()
    assert found.settings.model == "m"
    without = world.load("x=1").settings
    assert msgspec.structs.replace(found.settings, model=None) == msgspec.structs.replace(
        Settings(), projects=without.projects
    )
    (warning,) = found.warnings
    assert warning.startswith(f"{path}:2: ")
    assert warning.endswith("a project's own settings may not say this; it is ignored")


def test_the_home_folder_is_not_a_projects_own(world):
    home = world.project / ".codex"
    home.mkdir()
    (home / "config.toml").write_text('model = "m"\nnotify = ["x"]')
    world.home = home
    found = world.load()
    assert (found.settings.notify, found.warnings) == (("x",), ())


def test_a_strange_pipe_in_place_of_settings_is_one_line(world):
    os.mkfifo(world.main)
    assert "not a regular file" in str(world.refused())


ERRORS = [
    ('model_verbosity = "hihg"', 'model_verbosity: expected high, low or medium, found "hihg" (did you mean "high"?)'),
    ("model = 3", "model: expected a string, found 3"),
    ("project_doc_max_bytes = -1", "project_doc_max_bytes: expected a whole number from 0, found -1"),
    ("allow_login_shell = 1", "allow_login_shell: expected true or false, found 1"),
    ('notify = ["a", 3]', "notify.1: expected a string, found 3"),
    ('notify = "a"', 'notify: expected a list, found "a"'),
    ("tui = 1", "tui: expected a table, found 1"),
    ("[history]\npersistence = 1", "history.persistence: expected none or save-all, found 1"),
    ("[model_providers.x]\nwire_api = 'caht'", 'model_providers.x.wire_api: expected chat, messages or responses, found "caht" (did you mean "chat"?)'),
    ("[model_providers.x]\nrequest_max_retries = 101", "model_providers.x.request_max_retries: expected a whole number from 0 to 100, found 101"),
    ("[model_providers.x.http_headers]\nA = 1", "model_providers.x.http_headers.A: expected a string, found 1"),
    ("[model_providers.x.auth]\nargs = []", "model_providers.x.auth: `command` is missing"),
    ("[model_providers.openai]\nname = 'x'", "model_providers.openai: is built in and cannot be redefined"),
    ("[model_providers.x]\nenv_key = 'K'\nauth = { command = 'c' }", "model_providers.x.env_key: cannot be used together with `auth`"),
    ("model_provider = 'opneai'", 'model_provider: there is no model provider "opneai" (did you mean "openai"?)'),
    ("approval_policy = 'nevr'", 'expected never, on-failure, on-request, untrusted or a table, found "nevr" (did you mean "never"?)'),
    ("approval_policy = { granular = { rules = true } }", "approval_policy.granular: `sandbox_approval` is missing"),
    ("[shell_environment_policy]\nexclude = ['A']\nfilters = { B = 'include' }", "shell_environment_policy.exclude: cannot be used together with `filters`"),
    ("[shell_environment_policy]\nset = { A = 1 }", "shell_environment_policy.set.A: expected a string, found 1"),
    ("profile = 'x'", "profile: is no longer understood"),
    ("[profiles.x]\nmodel = 'y'", "profiles: is no longer understood"),
    ('sandbox_mode = "writable"', "sandbox_mode: expected read-only, workspace-write or danger-full-access"),
    ('project_root_markers = "x"', "project_root_markers: expected a list of strings"),
    ("model = ", "not valid TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_a_wrong_value_is_named_with_file_line_and_key(world, text, message):
    wrong = world.write(f"\n{text}\n").refused()
    assert isinstance(wrong, ConfigError)
    assert wrong.file == str(world.main)
    assert wrong.line in range(2, 5)
    assert message in str(wrong)
    assert str(wrong).startswith(f"{world.main}:{wrong.line}: ")


def test_an_unknown_key_is_a_warning_or_strictly_an_error(world):
    world.write(
        '\nmodle = "m"\n[tools]\nweb_serach = true\n[tui]\nanything = 1\n[model_providers.x]\nbaseurl = "y"'
    )
    assert world.load().warnings == (
        f'{world.main}:2: modle: unknown key (did you mean "model"?); it is ignored',
        f'{world.main}:4: tools.web_serach: unknown key (did you mean "web_search"?); it is ignored',
        f'{world.main}:8: model_providers.x.baseurl: unknown key (did you mean "base_url"?); it is ignored',
    )
    assert (
        str(world.refused(strict=True))
        == f'{world.main}:2: modle: unknown key (did you mean "model"?)'
    )
    assert "-c nope=1: nope: unknown key" in str(world.write("").refused("nope=1", strict=True))


@pytest.mark.parametrize("flag", ["x", "=1", "a..b=1", ".a=1"])
def test_an_override_without_key_or_value_is_refused(world, flag):
    assert isinstance(world.refused(flag), UsageError)


def test_relative_paths_are_seen_from_their_file(world):
    found = world.write('model_instructions_file = "a.md"\nlog_dir = "~/logs"').load(
        'sqlite_home="db"'
    )
    assert found.settings.model_instructions_file == str(world.home / "a.md")
    assert found.settings.log_dir == "/home/me/logs"
    assert found.settings.sqlite_home == str(world.project / "db")


FULL = Path(__file__).with_name("full.toml")


def test_a_file_with_everything_loads_without_complaint(world):
    found = world.write(FULL.read_text()).load(strict=True)
    assert found.warnings == ()
    assert isinstance(found.settings.approval_policy, GranularApproval)
    assert found.settings.model_providers["mock"].env_http_headers == {"X-B": "ENVVAR"}
    said = set(found.stack.merged.table)
    assert set(Settings.__struct_fields__) - said == {"default_permissions"}


def test_the_sandbox_part_is_the_one_that_the_sandbox_commands_read(world):
    world.trust(
        more='sandbox_mode = "workspace-write"\nsandbox_workspace_write.writable_roots = ["x"]'
    )
    world.bring("[sandbox_workspace_write]\nnetwork_access = true")
    found = world.load()
    rules = resolve_profile(found.sandbox, cwd=found.cwd, default_mode=found.default_mode)
    assert rules.network.enabled
    assert str(world.home / "x") in [rule.path for rule in rules.files]


CAPS = 'allowed_sandbox_modes = ["read-only"]\nallowed_approval_policies = ["never", "granular"]\n'


def test_a_default_that_is_not_allowed_gives_way(world):
    (world.system / "requirements.toml").write_text(
        CAPS + "allow_login_shell = false\n[features]\nx = true\n[rules]\n"
    )
    found = world.trust().load()
    assert found.settings.approval_policy == "never"
    assert found.settings.sandbox_mode == found.sandbox.mode == "read-only"
    assert not found.settings.allow_login_shell
    assert found.settings.features == {"x": True}
    assert found.warnings == (
        f"{world.system}/requirements.toml:6: rules: not enforced by this version",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sandbox_mode = 'danger-full-access'", 1),
        ("approval_policy = 'on-request'", 2),
        ("allow_login_shell = true", 3),
    ],
)
def test_a_choice_that_is_not_allowed_is_refused_naming_who_forbids_it(world, text, line):
    (world.system / "requirements.toml").write_text(CAPS + "allow_login_shell = false")
    wrong = world.write(text).refused()
    assert str(wrong).startswith(f"{world.main}:1: ")
    assert f"is not allowed; {world.system}/requirements.toml:{line} allows" in str(wrong)


def test_an_empty_list_of_requirements_is_an_error(world):
    (world.system / "requirements.toml").write_text("allowed_sandbox_modes = []")
    assert "allowed_sandbox_modes: expected at least one name" in str(world.refused())


def test_the_schema_is_whole_and_valid():
    schema = config_schema()
    assert set(schema["properties"]) == set(Settings.__struct_fields__)
    text = json.dumps(schema)
    for part in text.split('"#/$defs/')[1:]:
        assert part.partition('"')[0] in schema["$defs"]
    golden = Path(__file__).parents[1] / "golden" / "config" / "schema.json"
    shown = json.dumps(schema, indent=2) + "\n"
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(shown)
    assert shown == golden.read_text()
