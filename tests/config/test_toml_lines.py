import json
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.config.toml_lines import locate

NAMES = st.sampled_from(["a", "b", "c-1", "0", "my key", "x.y", 'q"t', "é#", "[t]", "", "n\nl"])
STRINGS = st.sampled_from(
    ["", "x", "# no", "]", "}", "a = 1", "'", '"', "\\", "''' \"\"\"", "é\nb"]
)
SCALARS = st.one_of(STRINGS, st.integers(0, 9), st.booleans())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=6,
)
TABLES = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | VALUES, max_size=3),
    max_leaves=5,
)


class Writer:
    """Writes a table as TOML in one of its many spellings and remembers where it wrote what."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def chance(self):
        return self.draw(st.booleans())

    def put(self, text):
        self.text += text

    def note(self, path):
        line = self.text.count("\n") + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def blank(self):
        self.put(self.draw(st.sampled_from(["", " ", "\t"])))

    def end(self):
        self.put(self.draw(st.sampled_from(["\n", " # x = [1\n", "\r\n", "\n\n# [no]\n"])))

    def key(self, name):
        bare = name and all(char.isascii() and (char.isalnum() or char in "-_") for char in name)
        if bare and self.chance():
            return name
        if "'" not in name and "\n" not in name and self.chance():
            return f"'{name}'"
        return json.dumps(name, ensure_ascii=self.chance())

    def dotted(self, path):
        spaced = self.draw(st.sampled_from([".", " . "]))
        return spaced.join(map(self.key, path))

    def string(self, value):
        ways = [json.dumps(value)]
        if "'''" not in value and not value.endswith("'") and not value.startswith("\n"):
            ways.append(f"'''{value}'''")
        if "'" not in value and "\n" not in value:
            ways.append(f"'{value}'")
        escaped = value.replace("\\", "\\\\").replace('"""', '""\\"')
        if not escaped.endswith('"') or escaped == '"':
            ways += [
                f'"""\n{escaped}"""',
                f'"""\\\n   {escaped}"""' if value.strip() == value else f'"""\n{escaped}"""',
            ]
        return self.draw(st.sampled_from(ways))

    def value(self, path, value, *, inline=False):
        if isinstance(value, dict):
            self.put("{")
            for number, (name, inner) in enumerate(value.items()):
                self.put(", " if number else " ")
                self.note((*path, name))
                self.put(f"{self.key(name)} = ")
                self.value((*path, name), inner, inline=True)
            self.put(" }")
        elif isinstance(value, list):
            self.put("[")
            for number, inner in enumerate(value):
                self.put("," if number else "")
                if self.chance() and not inline:
                    self.put("\n  # ], not yet\n")
                self.note((*path, str(number)))
                self.value((*path, str(number)), inner, inline=inline)
            self.put("]")
        elif isinstance(value, str):
            self.put(json.dumps(value) if inline else self.string(value))
        else:
            self.put(str(value).lower())

    def pair(self, table, path, value):
        if isinstance(value, dict) and value and self.chance():
            for name, inner in value.items():
                self.pair(table, (*path, name), inner)
            return
        self.note((*table, *path))
        self.blank()
        self.put(self.dotted(path))
        self.blank()
        self.put("=")
        self.blank()
        self.value((*table, *path), value)
        self.end()

    def table(self, path, table):
        later = {
            name: value for name, value in table.items() if self.as_header(value) and self.chance()
        }
        for name, value in table.items():
            if name not in later:
                self.pair(path, (name,), value)
        for name, value in later.items():
            here = (*path, name)
            items = value if isinstance(value, list) else [value]
            for number, item in enumerate(items):
                self.blank()
                open_mark, close_mark = ("[[", "]]") if items is value else ("[", "]")
                inner = (*here, str(number)) if items is value else here
                self.note(inner)
                self.put(f"{open_mark}{self.dotted(self.plain(here))}{close_mark}")
                self.end()
                self.table(inner, item)

    def as_header(self, value):
        if isinstance(value, list):
            return bool(value) and all(isinstance(item, dict) for item in value)
        return isinstance(value, dict)

    def plain(self, path):
        """A path without the numbers of list items, as headers spell it."""
        return tuple(name for name, kept in zip(path, self.kept(path), strict=True) if kept)

    def kept(self, path):
        return [length == 0 or path[:length] not in self.lists for length in range(len(path))]

    @property
    def lists(self):
        return self._lists

    def write(self, table):
        self._lists = set(lists_in((), table))
        self.table((), table)


def lists_in(path, value):
    if isinstance(value, list):
        yield path
        for number, inner in enumerate(value):
            yield from lists_in((*path, str(number)), inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from lists_in((*path, name), inner)


@settings(deadline=None)
@given(TABLES, st.data())
def test_every_key_is_found_on_the_line_it_was_written(table, data):
    writer = Writer(data.draw)
    writer.write(table)
    assert tomllib.loads(writer.text) == table, writer.text
    assert locate(writer.text) == writer.lines, writer.text


def test_a_settings_file_as_people_write_them():
    text = """\
# comment
sandbox_mode = "workspace-write"

[sandbox_workspace_write]
writable_roots = [ # two
  "/a",
  '''
b''', "/c" ]
network_access=true

[permissions."my dev".filesystem.":workspace_roots"]
"**/*.env" = "deny" # [x]
docs.'a b' = 1
[[servers]]
name = QQQa
[no]
\\QQQ QQQ""
[[servers]]
[servers.env]
x = { y = 1, "z" = [1979-05-27 07:32:00, inf] }
""".replace("QQQ", '"' * 3)
    lines = locate(text)
    workspace = ("sandbox_workspace_write", "writable_roots")
    profile = ("permissions", "my dev", "filesystem", ":workspace_roots")
    assert lines["sandbox_mode",] == 2
    assert lines["sandbox_workspace_write",] == 4
    assert [lines[*workspace, str(n)] for n in range(3)] == [6, 7, 8]
    assert lines["sandbox_workspace_write", "network_access"] == 9
    assert lines[profile] == lines["permissions",] == 11
    assert lines[*profile, "**/*.env"] == 12
    assert lines[*profile, "docs", "a b"] == 13
    assert lines["servers", "0", "name"] == 15
    assert lines["servers", "1"] == 18
    assert lines["servers", "1", "env", "x", "z", "1"] == 20
    assert set(lines) >= {("servers", "1", "env", "x", "y")}
    assert tomllib.loads(text)["servers"][0]["name"].endswith('""')
