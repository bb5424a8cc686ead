import pytest

from octavo.config.load import load_sandbox_settings, resolve_profile
from octavo.config.look import DiskLook
from octavo.policy.profile import Places, effective
from octavo.policy.reader import Origin
from octavo.protocol.errors import ConfigError, OctavoError, PolicyError, UsageError
from octavo.protocol.permissions import Access


class Home:
    """Octavo's home folder with some files in it."""

    def __init__(self, path):
        self.path = path
        self.file = str(path / "config.toml")

    def write(self, text, name="config.toml"):
        (self.path / name).write_text(text)
        return self

    def load(self, *overrides, profile=None):
        return load_sandbox_settings(
            str(self.path), cwd="/ws", profile=profile, overrides=overrides
        )

    def resolve(self, *overrides, profile=None, **flags):
        return resolve_profile(self.load(*overrides, profile=profile), cwd="/ws", **flags)

    def refused(self, *overrides, profile=None, **flags):
        with pytest.raises(OctavoError) as caught:
            self.resolve(*overrides, profile=profile, **flags)
        assert str(caught.value).isprintable()
        return caught.value


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def files(rules):
    return {rule.path: str(rule.access) for rule in rules.files}


def test_without_files_everything_has_its_default(home):
    found = home.load()
    assert found.mode is None
    assert found.protect
    assert not any((found.network_access, found.git_write, found.exclude_slash_tmp))
    rules = home.resolve()
    assert rules.name == ":read-only"
    assert files(rules) == {":root": "read"}
    assert home.resolve(default_mode="workspace-write").name == ":workspace"


def test_a_missing_home_folder_is_no_error(tmp_path):
    assert load_sandbox_settings(str(tmp_path / "gone"), cwd="/ws").mode is None


FULL = """\
model = "some-model"
sandbox_mode = "workspace-write"
[sandbox_workspace_write]
writable_roots = ["/data", "~/cache", "rel"]
network_access = true
exclude_tmpdir_env_var = true
exclude_slash_tmp = true
git_write = true
protect_metadata = false
[mcp_servers.x]
command = "y"
"""


def test_all_keys_are_read_and_know_their_lines(home):
    rules = home.write(FULL).resolve()
    assert files(rules) == {
        ":root": "read",
        ":workspace_roots": "write",
        "/data": "write",
        "~/cache": "write",
        f"{home.path}/rel": "write",
    }
    assert rules.network.enabled
    assert rules.git_write
    assert not rules.protect
    assert str(rules.files[2].ref) == f'writable_roots = ["/data"] ({home.file}:4)'
    assert str(rules.network.ref) == f"network_access = true ({home.file}:5)"
    assert home.load().origin(("sandbox_mode",)) == Origin(home.file, 2, "config")


def test_settings_of_workspace_write_do_not_count_in_other_modes(home):
    rules = home.write(FULL).resolve(mode="read-only")
    assert files(rules) == {":root": "read"}
    assert not rules.network.enabled
    assert home.resolve(permission_profile=":workspace").git_write


def test_later_layers_win(home):
    home.write('sandbox_mode = "read-only"\nsandbox_workspace_write.writable_roots = ["/a"]')
    home.write('sandbox_mode = "workspace-write"', "work.config.toml")
    assert home.load().mode == "read-only"
    assert home.load(profile="work").mode == "workspace-write"
    assert home.load(profile="work").writable_roots == ("/a",)
    roots = 'sandbox_workspace_write.writable_roots=["/b", "c"]'
    found = home.load(roots, "sandbox_mode=danger-full-access", profile="work")
    assert found.mode == "danger-full-access"
    assert found.writable_roots == ("/b", "/ws/c")
    rules = home.resolve(roots, profile="work")
    assert str(rules.files[-1].ref) == 'writable_roots = ["/ws/c"] (flag)'
    assert home.resolve(roots, profile="work", mode="read-only").name == ":read-only"


PROFILES = """\
default_permissions = "dev"
[permissions.dev]
extends = ":workspace"
[permissions.dev.filesystem]
"~/.ssh" = "deny"
":workspace_roots".docs = "read"
":later" = "read"
"""


def test_a_default_profile_stands_in_for_the_mode(home):
    rules = home.write(PROFILES).resolve()
    assert rules.name == "dev"
    assert files(rules)["~/.ssh"] == "none"
    assert str(rules.files[-1].ref) == f'"docs" = "read" ({home.file}:6)'
    assert rules.warnings == (
        f'{home.file}:7: permissions.dev.filesystem.":later": unknown special root, ignored',
    )
    assert home.resolve(mode="read-only").name == ":read-only"
    assert home.resolve("sandbox_mode=read-only").name == ":read-only"
    assert home.resolve("default_permissions=:danger-full-access").unrestricted
    assert home.write('sandbox_mode = "read-only"\n' + PROFILES).resolve().name == "dev"
    assert home.resolve(permission_profile=":read-only").name == ":read-only"


def test_a_flag_may_change_one_entry_of_a_profile(home):
    rules = home.write(PROFILES).resolve('permissions.dev.filesystem."~/.ssh"=read')
    assert files(rules)["~/.ssh"] == "read"
    assert [str(r.ref) for r in rules.files if r.path == "~/.ssh"] == ['"~/.ssh" = "read" (flag)']


def test_flags_on_the_command_line_beat_everything(home):
    rules = home.write(FULL).resolve(
        add_dirs=["../lib", "/abs"], network=False, git_write=False, protect=True
    )
    assert files(rules)["/lib"] == files(rules)["/abs"] == "write"
    assert str(rules.files[-2].ref) == "--add-dir ../lib (flag)"
    assert str(rules.network.ref) == "--network off (flag)"
    assert not rules.network.enabled
    assert rules.protect
    assert not rules.git_write
    assert home.write(PROFILES).resolve(network=True).network.enabled


def test_full_access_without_a_network_is_confined_after_all(home):
    rules = home.resolve(mode="danger-full-access", network=False)
    assert not rules.unrestricted
    found = effective(rules, Places(cwd="/", home="/"), look=DiskLook())
    assert found.access("/etc/passwd") is Access.WRITE
    assert not found.network.enabled
    assert found.mode is None
    assert home.resolve(mode="danger-full-access", network=True).unrestricted


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            'a = 1\nsandbox_mode = "workspace"',
            2,
            'sandbox_mode: expected read-only, workspace-write or danger-full-access, found "workspace"',
        ),
        ('sandbox_mode = "read-onyl"', 1, 'found "read-onyl" (did you mean "read-only"?)'),
        ("sandbox_mode = 1", 1, "found 1"),
        ("sandbox_workspace_write = 1", 1, "sandbox_workspace_write: expected a table, found 1"),
        (
            "[sandbox_workspace_write]\n\nnetwork_acess = true",
            3,
            'sandbox_workspace_write.network_acess: unknown key (did you mean "network_access"?)',
        ),
        (
            '[sandbox_workspace_write]\nnetwork_access = "yes"',
            2,
            'sandbox_workspace_write.network_access: expected true or false, found "yes"',
        ),
        (
            '[sandbox_workspace_write]\nwritable_roots = "/x"',
            2,
            'expected a list of strings, found "/x"',
        ),
        (
            '[sandbox_workspace_write]\nwritable_roots = [\n"/x",\n3]',
            4,
            "writable_roots.1: expected a string, found 3",
        ),
        ('[sandbox_workspace_write]\nwritable_roots = [""]', 2, 'expected a path, found ""'),
        ('[sandbox_workspace_write]\nwritable_roots = ["~/../x"]', 2, "`..`"),
        (
            'default_permissions = "dve"\n[permissions.dev]',
            1,
            'default_permissions: there is no profile "dve" (did you mean "dev"?)',
        ),
        ("default_permissions = 1", 1, "expected a string"),
        ('\npermissions = "x"', 2, "permissions: expected a table"),
        ('profile = "x"', 1, "profile: is no longer understood"),
        ("[profiles.x]", 1, "profiles: is no longer understood"),
        ("sandbox_mode = ", 1, "not valid TOML"),
    ],
)
def test_wrong_settings_are_named_with_file_line_and_key(home, text, line, message):
    wrong = home.write(text).refused()
    assert isinstance(wrong, ConfigError)
    assert str(wrong).startswith(f"{home.file}:{line}: ")
    assert message in str(wrong)
    assert (wrong.file, wrong.line, wrong.exit_code) == (home.file, line, 3)


def test_a_wrong_flag_is_named_as_the_flag(home):
    wrong = home.refused("sandbox_mode=read_only")
    assert str(wrong) == (
        "-c sandbox_mode=read_only: sandbox_mode: expected read-only, workspace-write or "
        'danger-full-access, found "read_only" (did you mean "read-only"?)'
    )


@pytest.mark.parametrize(
    ("flags", "kind", "message"),
    [
        ({"mode": "workspace"}, UsageError, "is not a sandbox mode: choose read-only"),
        ({"mode": ":workspace"}, UsageError, "choose it with -P"),
        ({"mode": "read-only", "permission_profile": "dev"}, UsageError, "exclude each other"),
        (
            {"permission_profile": "dve"},
            ConfigError,
            'there is no profile "dve" (did you mean "dev"?)',
        ),
        ({"permission_profile": ":workspce"}, ConfigError, '(did you mean ":workspace"?)'),
        ({"mode": "read-only", "add_dirs": ["x"]}, UsageError, "the mode is read-only"),
        (
            {"mode": "workspace-write", "add_dirs": ["/"]},
            PolicyError,
            "--add-dir / (flag): `/` is the whole disk",
        ),
        ({"mode": "workspace-write", "add_dirs": [".."]}, PolicyError, "whole disk"),
        ({"mode": "workspace-write", "add_dirs": [""]}, UsageError, "expected a path"),
        ({"mode": "workspace-write", "add_dirs": ["a\0"]}, UsageError, "--add-dir a\\x00"),
    ],
)
def test_impossible_flags_are_refused_in_one_line(home, flags, kind, message):
    wrong = home.write(PROFILES).refused(**flags)
    assert type(wrong) is kind
    assert message in str(wrong)


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a\0"])
def test_a_settings_profile_is_a_plain_name(home, name):
    assert isinstance(home.refused(profile=name), UsageError)


def test_a_missing_settings_profile_names_the_nearest(home):
    wrong = home.write("", "work.config.toml").refused(profile="wrok")
    assert 'there is no settings profile "wrok" (did you mean "work"?)' in str(wrong)


def test_strange_folder_names_are_passed_on_and_shown_escaped(home):
    rules = home.resolve(mode="workspace-write", add_dirs=["/a\nb\udcff"])
    assert files(rules)["/a\nb\udcff"] == "write"
    assert str(rules.files[-1].ref) == "--add-dir /a\\nb\\xff (flag)"
