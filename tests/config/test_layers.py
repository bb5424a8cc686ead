import os
import tomllib

import pytest

from octavo.config.layers import Merged, file_layer, flag_layer
from octavo.policy.reader import Origin
from octavo.protocol.errors import ConfigError, UsageError


def written(folder, text, name="config.toml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_tables_merge_key_by_key_and_all_else_replaces(tmp_path):
    low = written(tmp_path, 'a = [1, 2]\nt.x = 1\nt.y = 2\nk = { z = 1 }\ns = "s"')
    high = written(tmp_path, "a = [3]\n[t]\ny = 3\n", "n.config.toml")
    layers = [file_layer(low), file_layer(high), flag_layer("k=5"), flag_layer("s.deep=true")]
    merged = Merged(layers)
    assert merged.table == {"a": [3], "t": {"x": 1, "y": 3}, "k": 5, "s": {"deep": True}}
    origins = merged.origins()
    assert origins["a",] == origins["a", "0"] == Origin(high, 1, "config")
    assert origins["t", "x"] == Origin(low, 2, "config")
    assert origins["t", "y"] == Origin(high, 3, "config")
    assert origins["k",] == Origin("-c k=5", None, "flag")
    assert ("k", "z") not in origins
    assert ("a", "1") not in origins


@pytest.mark.parametrize(
    ("override", "table"),
    [
        ("a=1", {"a": 1}),
        ("a.b = true", {"a": {"b": True}}),
        ('a="x=y"', {"a": "x=y"}),
        ("a=plain words", {"a": "plain words"}),
        ("a=", {"a": ""}),
        ('a=["x", "y"]', {"a": ["x", "y"]}),
        ("a=1\nb=2", {"a": "1\nb=2"}),
        ("a={b=1}", {"a": {"b": 1}}),
        (
            'permissions."my dev".extends=":workspace"',
            {"permissions": {"my dev": {"extends": ":workspace"}}},
        ),
    ],
)
def test_a_flag_holds_toml_or_else_plain_text(override, table):
    assert flag_layer(override).table == table


@pytest.mark.parametrize("override", ["a", "", "=1", "a..b=1", '"a=1', '"a"b=1', '""=1', "a.=1"])
def test_a_flag_without_a_key_or_a_value_is_refused(override):
    with pytest.raises(UsageError, match="-c"):
        flag_layer(override)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", ":2: not valid TOML: "),
        ("a = 1\n[t", ":2: not valid TOML: "),
        ("a = 1\na = 2\n", ":2: not valid TOML: "),
        (b"a = 1\nb = '\xff'\n", ":2: is not UTF-8 text"),
        (b"\xef\xbb\xbfa = 1\n", ":1: not valid TOML: "),
        ("a = " + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        file_layer(path)
    assert str(caught.value).startswith(path)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_missing_file_is_no_layer(tmp_path):
    assert file_layer(str(tmp_path / "config.toml")) is None


def test_a_folder_or_pipe_in_place_of_a_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ConfigError, match="cannot be read: "):
            file_layer(str(tmp_path / name))


def test_reading_a_file_does_not_change_it(tmp_path):
    path = written(tmp_path, "a = 1\r\n[t]\r\nb = 2\r\n")
    layer = file_layer(path)
    assert layer.table == tomllib.loads("a = 1\n[t]\nb = 2\n")
    assert layer.origin(("t", "b")) == Origin(path, 3, "config")
    assert layer.origin(("t", "b", "c")) == Origin(path, 3, "config")
    assert layer.origin(("nowhere",)) == Origin(path, None, "config")
