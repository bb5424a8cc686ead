import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.policy.presets import BUILT_IN, preset
from octavo.policy.reader import Origin
from octavo.policy.tables import from_mapping, from_tables
from octavo.protocol.errors import ConfigError, UsageError
from octavo.protocol.permissions import Access, NetworkRules


def read(text, name="dev"):
    return from_tables(name, tomllib.loads(text)["permissions"], lambda _: Origin("c.toml", 7))


def access(text, name="dev"):
    return {rule.path: str(rule.access) for rule in read(text, name).files}


def refused(text, name="dev"):
    with pytest.raises(ConfigError) as caught:
        read(text, name)
    message = str(caught.value)
    assert message.startswith("c.toml:7: ")
    assert message.isprintable()
    return message.removeprefix("c.toml:7: ")


def test_the_example_of_the_reference_is_understood():
    rules = read("""
        [permissions.dev]
        extends = ":workspace"
        [permissions.dev.filesystem]
        ":minimal" = "read"
        "/opt/data" = "read"
        [permissions.dev.filesystem.":workspace_roots"]
        "." = "write"
        "docs" = "read"
        "**/*.env" = "deny"
        [permissions.dev.network]
        enabled = true
    """)
    assert [(rule.path, rule.access, rule.glob) for rule in rules.files] == [
        (":root", Access.READ, False),
        (":workspace_roots", Access.WRITE, False),
        (":slash_tmp", Access.WRITE, False),
        (":tmpdir", Access.WRITE, False),
        (":minimal", Access.READ, False),
        ("/opt/data", Access.READ, False),
        (":workspace_roots/docs", Access.READ, False),
        (":workspace_roots/**/*.env", Access.NONE, True),
    ]
    assert rules.network.enabled
    assert str(rules.files[6].ref) == '"docs" = "read" (c.toml:7)'
    (warning,) = rules.warnings
    assert warning.startswith('"**/*.env" = "deny" (c.toml:7): `**` looks through every folder')


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_profiles_are_the_presets(name):
    assert from_tables(name, {}) == preset(name) == preset(BUILT_IN[name])


def test_the_child_wins_key_by_key():
    text = """
        [permissions.base.filesystem]
        "/a" = "read"
        "/b" = "deny"
        ":workspace_roots" = { "." = "write", "docs" = "read" }
        [permissions.dev]
        extends = "base"
        filesystem."/a/" = "write"
        filesystem.":project_roots".docs = "write"
    """
    assert access(text) == {
        "/a": "write",
        "/b": "none",
        ":workspace_roots": "write",
        ":workspace_roots/docs": "write",
    }


def test_one_path_written_twice_gets_the_stricter_word():
    text = '[permissions.dev.filesystem]\n"/a" = "write"\n"/a/**" = "deny"\n"/b/." = "read"\n"/b" = "write"'
    assert access(text) == {"/a": "none", "/b": "write"}


def test_a_trailing_double_star_means_the_folder():
    text = '[permissions.dev.filesystem]\n"/a/**" = "read"\n"~/x/**" = "deny"\n"/**" = "read"'
    assert access(text) == {"/a": "read", "~/x": "none", "/": "read"}


def test_brackets_around_one_character_name_it():
    text = '[permissions.dev.filesystem]\n"/app/[[]id]" = "read"\n"/[*]" = "deny"'
    assert access(text) == {"/app/[id]": "read", "/*": "none"}


def test_a_table_below_a_pattern_character_keeps_the_folder_literal():
    rules = read('[permissions.dev.filesystem."/app/[[]id]"]\n"*.key" = "deny"\n"." = "read"')
    assert [(rule.path, rule.glob) for rule in rules.files] == [
        ("/app/[[]id]/*.key", True),
        ("/app/[id]", False),
    ]


def test_unknown_special_roots_are_ignored_with_a_warning():
    rules = read('[permissions.dev.filesystem]\n":cwd" = "write"\n":root" = "read"')
    assert [rule.path for rule in rules.files] == [":root"]
    assert rules.warnings == (
        'c.toml:7: permissions.dev.filesystem.":cwd": unknown special root, ignored',
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('"docs" = "read"', "docs: relative path"),
        ('"~you/x" = "read"', '"~you/x": relative path'),
        ('"/a/../b" = "read"', "`..` is not allowed"),
        ('"/*.x" = "read"', 'patterns can only deny, found "/*.x" = "read"'),
        ('"/a[b" = "deny"', "`[` without `]`"),
        ('"/a[b" = "read"', "`[` without `]`"),
        ('"/a.{x,y}" = "deny"', "braces are not patterns"),
        (
            '"/a" = "raed"',
            'expected read, write, deny or none, found "raed" (did you mean "read"?)',
        ),
        ('"/a" = true', "found true"),
        ('"/a" = []', "found a list"),
        ('"/a" = { "/b" = "read" }', "expected a relative path"),
        ('"/a" = { "../b" = "read" }', "`..` is not allowed"),
        ('"/a" = { b = { c = "read" } }', "tables nest once"),
        ('":minimal" = { b = "read" }', "`:minimal` stands for many folders"),
        ('":workspace_roots/docs" = "deny"', "a table of its own"),
        ('"/a/**" = { b = "read" }', "a pattern has no paths below it"),
        ('"/a\\u0000" = "read"', "NUL"),
        ("glob_scan_max_depth = -1", "expected a whole number from 0, found -1"),
        ("glob_scan_max_depth = true", "found true"),
    ],
)
def test_wrong_entries_are_refused_by_name(entry, message):
    assert message in refused(f"[permissions.dev.filesystem]\n{entry}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'dev.extends = "dev"',
            'dev.extends: profiles extend each other in a circle: "dev" → "dev"',
        ),
        ('dev.extends = "a"\na.extends = "b"\nb.extends = "a"', '"a" → "b" → "a"'),
        ('dev.extends = "bse"\nbase = {}', 'unknown profile, "bse" (did you mean "base"?)'),
        ('dev.extends = ":workspaces"', '(did you mean ":workspace"?)'),
        ("dev.extends = 1", "expected a string, found 1"),
        ("dev = 1", "dev: expected a table, found 1"),
        ("dev.filesystem = []", "expected a table"),
        ('dev = {}\n":mine" = {}', 'cannot be called ":mine"'),
        ("dev.filesytem = {}", 'unknown key (did you mean "filesystem"?)'),
        ("dev.git_write = 1", "expected true or false"),
        ("dve = {}", 'permissions: there is no profile "dev" (did you mean "dve"?)'),
    ],
)
def test_wrong_profiles_are_refused_by_name(text, message):
    assert message in refused("[permissions]\n" + text)


def network(text):
    return read(f"[permissions.dev.network]\n{text}").network


def test_network_keys_are_understood():
    rules = network("""
        enabled = true
        mode = "limited"
        domains = { "example.org" = "allow", "*.example.org" = "allow", "bad.example.org" = "deny" }
        unix_sockets = { "/run/a.sock" = "allow", "/run/b.sock" = "deny" }
        allow_local_binding = true
        proxy_url = "http://127.0.0.1:3128"
    """)
    assert rules == NetworkRules(
        enabled=True,
        mode="limited",
        allow=("example.org", "*.example.org"),
        deny=("bad.example.org",),
        socket_paths=("/run/a.sock",),
        local_binding=True,
        ref=rules.ref,
    )
    assert str(rules.ref) == "network on (c.toml:7)"
    assert network("enabled = false") == NetworkRules(ref=network("enabled = false").ref)
    assert network("enabled = true\nunix_sockets = true").unix_sockets


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("enabled = 1", "network.enabled: expected true or false, found 1"),
        ("enbled = true", 'unknown key (did you mean "enabled"?)'),
        ('mode = "ful"', 'expected limited or full, found "ful" (did you mean "full"?)'),
        ('domains = { x = "yes" }', "domains.x: expected allow or deny"),
        ('enabled = true\ndomains = { x = "deny" }', "none is allowed"),
    ],
)
def test_wrong_network_tables_are_refused_by_name(text, message):
    assert message in refused(f"[permissions.dev.network]\n{text}")


def test_a_child_adds_domains_to_its_parents():
    rules = read("""
        [permissions.base.network]
        enabled = true
        domains = { a = "allow", b = "allow" }
        [permissions.dev]
        extends = "base"
        network.domains = { b = "deny", c = "allow" }
    """)
    assert (rules.network.allow, rules.network.deny) == (("a", "c"), ("b",))


def test_full_access_with_any_limit_is_no_longer_unrestricted():
    assert read('[permissions.dev]\nextends = ":danger-full-access"').unrestricted
    limited = read(
        '[permissions.dev]\nextends = ":danger-full-access"\nfilesystem."~/.ssh" = "deny"'
    )
    assert not limited.unrestricted
    assert limited.protect
    assert limited.network.enabled


def test_a_program_writes_the_same_as_a_mapping():
    rules = from_mapping(
        {
            "filesystem": {
                ":root": "read",
                ":cwd": "write",
                "./secrets": "none",
                ".": Access.WRITE,
            },
            "network": {"allow": ["docs.example.org:443", "both"], "deny": ["both"]},
        }
    )
    assert [(rule.path, rule.access) for rule in rules.files] == [
        (":root", Access.READ),
        (":cwd", Access.WRITE),
        (":cwd/secrets", Access.NONE),
    ]
    assert rules.files[0].ref.source == "program"
    assert rules.network.enabled
    assert rules.network.allow == ("docs.example.org:443",)
    assert rules.network.deny == ("both",)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"filesystem": {":cdw": "read"}}, 'unknown special root (did you mean ":cwd"?)'),
        ({"filesystem": {"docs": "read"}}, "begin with `./`"),
        ({"filesystem": {"./../x": "read"}}, "`..` is not allowed"),
        ({"extends": "mine"}, "extends: expected :read-only"),
        ({"network": 3}, "network: expected a table, found 3"),
        ({"network": {"allow": "x"}}, "network.allow: expected a list of strings"),
        ({"filesystm": {}}, 'filesystm: unknown key (did you mean "filesystem"?)'),
        ({1: {}}, "expected a table"),
        ({"filesystem": {"/a": {1: "read"}}}, "expected a table"),
    ],
)
def test_a_wrong_mapping_is_refused_by_name(mapping, message):
    with pytest.raises(UsageError) as caught:
        from_mapping(mapping)
    assert message in str(caught.value)


def test_the_network_of_a_mapping_may_be_a_bool():
    assert from_mapping({"network": True}).network.enabled
    assert not from_mapping({"extends": ":danger-full-access", "network": False}).network.enabled
    assert from_mapping({"extends": ":workspace"}).files == preset(":workspace").files


KEYS = st.sampled_from(
    ["filesystem", "network", "extends", "/a*", "./x", ":root", ":workspace_roots", "domains", "."]
)
SCALARS = st.sampled_from([None, True, 1, 1.5, "", "\n", "read", "deny", "dev", ":workspace", [1]])
SMALL = st.dictionaries(KEYS, SCALARS, max_size=3)
PROFILES = st.dictionaries(KEYS, SCALARS | SMALL | st.dictionaries(KEYS, SMALL), max_size=3)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["dev", "base"]), SCALARS | PROFILES))
def test_whatever_is_written_is_read_or_refused_in_one_line(tables):
    said = ""
    try:
        from_tables("dev", tables)
    except ConfigError as wrong:
        said = str(wrong)
    assert said.isprintable()
