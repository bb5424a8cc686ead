import os
import re
import stat
import threading
import tomllib

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from octavo.config.edit import (
    Edit,
    VersionConflict,
    apply_edits,
    edited,
    key_path,
    remove_value,
    set_value,
    upsert_value,
    version,
)
from octavo.config.replacing import locked
from octavo.protocol.errors import ConfigError, UsageError

FULL = """\
# my settings
model = "gpt-5"  # the fast one

# what may be done
approval_policy = "never"

[tui]
theme = 'dark' # at night

# servers
[mcp_servers.one] # the first
command = "one"
args = [
  "a", # why a
  "b",
]

[mcp_servers.one.env]
A = "1"

[projects."/my/work"]
trust_level = "trusted"
# the end
"""


# ---- texts ------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c-d", "e f", "g.h", "ü", "'", '"', "", "1", "\\"])
LEAVES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.datetimes(timezones=st.just(None) | st.timezones())
    | st.dates()
)
PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=8)


def values(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=6,
    )


def shown_key(name):
    import tomlkit

    if name and name.isascii() and name.replace("-", "").isalnum():
        return name
    return tomlkit.item(name).as_string()


def shown(value):
    import tomlkit

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{shown_key(k)} = {shown(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(shown(one) for one in value) + "]"
    return tomlkit.item(value).as_string()


@st.composite
def texts(draw):
    """Settings files as people write them: headers, dotted keys, inline tables, comments."""
    lines = []
    numbers = iter(range(1000))

    def comment():
        if draw(st.booleans()):
            lines.append(f"# note {next(numbers)}")
        if draw(st.booleans()):
            lines.append("")

    def pairs(table, prefix=""):
        inner = []
        for key, value in table.items():
            style = draw(st.sampled_from(["inline", "dotted", "header", "header"]))
            if value and isinstance(value, list) and all(isinstance(one, dict) for one in value):
                inner.append((f"{prefix}{shown_key(key)}", value))
            elif not isinstance(value, dict) or style == "inline":
                comment()
                behind = f"  # note {next(numbers)}" if draw(st.booleans()) else ""
                lines.append(f"{prefix}{shown_key(key)} = {shown(value)}{behind}")
            elif style == "dotted" and value:
                inner += pairs(value, f"{prefix}{shown_key(key)}.")
            else:
                inner.append((f"{prefix}{shown_key(key)}", value))
        return inner

    def tables(found, path=""):
        for key, value in found:
            comment()
            if isinstance(value, list):
                for one in value:
                    lines.append(f"[[{path}{key}]]")
                    tables(pairs(one), f"{path}{key}.")
                continue
            lines.append(f"[{path}{key}]" + draw(st.sampled_from(["", " # note x"])))
            tables(pairs(value), f"{path}{key}.")

    table = draw(st.dictionaries(NAMES, values(LEAVES), max_size=4))
    tables(pairs(table))
    comment()
    text = "\n".join(lines) + draw(st.sampled_from(["\n", ""]))
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        text = "# note 0\n"
    return text


def notes(text):
    return sorted(re.findall("# note [0-9x]+", text))


def full(value):
    """A comparison in which 1, 1.0, true and nan are themselves and empty tables are nothing."""
    if isinstance(value, dict):
        inner = {key: full(one) for key, one in value.items()}
        return {key: one for key, one in inner.items() if one != {}}
    if isinstance(value, list):
        return [repr(full(one)) for one in value]
    return repr(value)


def at(table, keys):
    for key in keys:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    return table


def put(table, keys, value):
    *parents, last = keys
    for name in parents:
        table = table.setdefault(name, {})
    if value is None:
        table.pop(last, None)
    else:
        table[last] = value


KEYS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)


@settings(max_examples=300)
@given(texts(), KEYS, values(PLAIN))
def test_what_is_set_is_read_back_and_all_else_stays(text, keys, value):
    before = tomllib.loads(text)
    if not all(isinstance(at(before, keys[:n]), dict) for n in range(len(keys))):
        with pytest.raises(ConfigError, match="expected a table"):
            edited(text, [Edit(keys=keys, value=value)])
        return
    try:
        after = edited(text, [Edit(keys=keys, value=value)])
    except ConfigError as refused:  # a few shapes of the same table: said, and nothing is written
        if refused.hint != "change it by hand":
            raise
        reject()
    put(before, keys, value)
    assert full(tomllib.loads(after)) == full(before)
    assert edited(after, [Edit(keys=keys, value=value)]) == after


@settings(max_examples=300)
@given(texts(), KEYS)
def test_what_is_removed_is_gone_and_all_else_stays(text, keys):
    before = tomllib.loads(text)
    if not all(isinstance(at(before, keys[:n]), dict) for n in range(len(keys))):
        return
    after = edited(text, [Edit(keys=keys)])
    put(before, keys, None)
    assert full(tomllib.loads(after)) == full(before)


@settings(max_examples=200)
@given(texts(), st.sampled_from(["new", "other name", "d.o.t"]), values(PLAIN))
def test_comments_survive_what_is_added(text, name, value):
    after = edited(text, [Edit(keys=(name,), value=value)])
    assert notes(after) == notes(text)


@given(texts())
def test_no_change_is_no_change(text):
    assert edited(text, []) == text
    assert edited(text, [Edit(keys=("not", "there"))]) == text


def test_a_change_touches_one_line():
    after = edited(FULL, [Edit(keys=("model",), value="gpt-6")])
    assert after == FULL.replace('"gpt-5"', '"gpt-6"')


def test_a_new_key_stands_behind_the_others_of_its_table():
    after = edited(FULL, [Edit(keys=("web_search",), value="live")])
    assert after == FULL.replace('"never"\n', '"never"\nweb_search = "live"\n')


def test_a_new_table_is_written_as_people_write_it():
    value = {"env": {"A": "1"}, "command": "npx", "args": ["-y", "pkg"]}
    assert edited("", [Edit(keys=("mcp_servers", "ctx"), value=value)]) == (
        '[mcp_servers.ctx]\ncommand = "npx"\nargs = ["-y", "pkg"]\n\n'
        '[mcp_servers.ctx.env]\nA = "1"\n'
    )


def test_replacing_a_table_keeps_the_comments_of_what_it_still_says():
    value = {"command": "other", "args": ["a", "b"]}
    after = edited(FULL, [Edit(keys=("mcp_servers", "one"), value=value)])
    assert "# why a" in after
    assert "[mcp_servers.one] # the first" in after
    assert tomllib.loads(after)["mcp_servers"]["one"] == value


def test_upsert_lays_a_table_over_another():
    edits = [Edit(keys=("mcp_servers", "one"), value={"env": {"B": "2"}}, merge="upsert")]
    table = tomllib.loads(edited(FULL, edits))["mcp_servers"]["one"]
    assert table == {"command": "one", "args": ["a", "b"], "env": {"A": "1", "B": "2"}}


def test_lines_of_windows_stay_lines_of_windows():
    after = edited("a = 1\r\n[b]\r\nc = 2\r\n", [Edit(keys=("b", "d"), value=3)])
    assert after == "a = 1\r\n[b]\r\nc = 2\r\nd = 3\r\n"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "9223372036854775808"),
        ([None], r"k\.0: .*null"),
        ({"x": "\ud800"}, r"k\.x: .*not Unicode"),
        (object(), "expected a value that TOML has"),
    ],
)
def test_what_toml_cannot_say_is_named(value, words):
    with pytest.raises(ConfigError, match=words):
        edited("", [Edit(keys=("k",), value=value)])


@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ('a."b.c".d', ("a", "b.c", "d")),
        ("'x y'.z", ("x y", "z")),
        ("projects./a/b.c", ("projects", "/a/b", "c")),
        ('a.""', ("a", "")),
    ],
)
def test_key_paths_are_read(written, keys):
    assert key_path(written) == keys


@pytest.mark.parametrize(
    "written", ["", "a..b", ".a", "a.", 'a."', "a\nb", "a = 1 #'", '"a" = 1\nb']
)
def test_key_paths_that_are_none_are_refused(written):
    with pytest.raises(UsageError, match="no key path"):
        key_path(written)


# ---- files ------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(FULL)
    return path


def test_a_missing_file_is_made_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "config.toml"
    done = set_value(path, ("model",), "x")
    assert path.read_text() == 'model = "x"\n'
    assert (done.path, done.changed) == (str(path), True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rights_and_links_stay(file, tmp_path):
    file.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    done = set_value(link, ("model",), "x")
    assert link.is_symlink()
    assert done.path == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert 'model = "x"  # the fast one' in file.read_text()


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (
            ("approval_policy",),
            "bogus",
            r"config\.toml:5: approval_policy: expected .* found \"bogus\"",
        ),
        (("model",), 5, r"model: expected a string, found 5"),
        (("sandbox_workspace_write", "network_access"), "yes", "true or false"),
        (("model", "x"), 1, "model: expected a table, found"),
        (("projects", "/my/work", "trust_level"), "perhaps", "trust_level"),
        (("profile",), "x", "no longer understood"),
        (("model_providers", "openai", "base_url"), 1, "base_url"),
    ],
)
def test_a_bad_value_changes_nothing(file, keys, value, words):
    with pytest.raises(ConfigError, match=words):
        apply_edits(file, [Edit(keys=("web_search",), value="live"), Edit(keys=keys, value=value)])
    assert file.read_text() == FULL
    assert {name for name in os.listdir(file.parent) if name.endswith(".new")} == set()


def test_several_changes_count_together(file):
    done = apply_edits(
        file,
        [
            Edit(keys=("web_search",), value="live"),
            Edit(keys=("mcp_servers", "one")),
            Edit(keys=("tui", "theme")),
        ],
    )
    table = tomllib.loads(file.read_text())
    assert table["web_search"] == "live"
    assert "mcp_servers" not in table or not table["mcp_servers"]
    assert done.version == version(table)
    assert "# what may be done" in file.read_text()


def test_a_file_that_was_changed_meanwhile_is_left_alone(file):
    old = version(tomllib.loads(FULL))
    first = apply_edits(file, [Edit(keys=("model",), value="x")], expected=old)
    text = file.read_text()
    with pytest.raises(VersionConflict, match="was changed since"):
        apply_edits(file, [Edit(keys=("model",), value="y")], expected=old)
    assert file.read_text() == text
    apply_edits(file, [Edit(keys=("model",), value="y")], expected=first.version)
    upsert_value(file, ("tui",), {"x": 1})
    assert tomllib.loads(file.read_text())["tui"] == {"theme": "dark", "x": 1}


def test_the_version_is_the_published_one():
    empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert version({}) == empty
    assert version({"b": 1, "a": {}}) == version({"a": {}, "b": 1}) != empty


def test_what_is_so_already_is_not_written(file):
    os.utime(file, ns=(1, 1))
    assert not set_value(file, ("tui", "theme"), "dark").changed
    assert not remove_value(file, ("nothing", "here")).changed
    assert file.stat().st_mtime_ns == 1


def test_a_file_that_is_no_toml_is_named_with_its_line(file):
    file.write_text("a = 1\nb =\n")
    with pytest.raises(ConfigError, match=r"config\.toml:2: not valid TOML"):
        set_value(file, ("c",), 1)
    assert file.read_text() == "a = 1\nb =\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        set_value(tmp_path / "file" / "config.toml", ("model",), "x")


def test_many_writers_lose_nothing(tmp_path):
    path = tmp_path / "config.toml"
    writers = [
        threading.Thread(target=set_value, args=(path, ("tui", f"k{number}"), number))
        for number in range(12)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert tomllib.loads(path.read_text())["tui"] == {f"k{n}": n for n in range(12)}


def test_a_writer_waits_for_the_one_before(file):
    started = threading.Event()
    done = threading.Event()

    def write():
        started.set()
        set_value(file, ("model",), "late")
        done.set()

    writer = threading.Thread(target=write)
    with locked(file):
        writer.start()
        started.wait()
        assert not done.wait(0.1)
        assert file.read_text() == FULL
    writer.join()
    assert 'model = "late"' in file.read_text()
