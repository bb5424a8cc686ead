import json

import pytest

from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.sandbox.windows import denyread
from octavo.sandbox.windows.denyread import Found

TREE = {
    "C:\\": [Found("src", folder=True), Found(".env", folder=False)],
    "C:\\src": [
        Found("a.ENV", folder=False),
        Found("deep", folder=True),
        Found("loop", folder=True, link=True),
        Found("secret", folder=True),
    ],
    "C:\\src\\deep": [Found("b.env", folder=False), Found("c.txt", folder=False)],
    "C:\\src\\loop": [Found("never.env", folder=False)],
    "C:\\src\\secret": [Found("x.env", folder=False)],
}


def listing(folder):
    """As Windows lists: whatever the case."""
    return next((each for path, each in TREE.items() if path.upper() == folder.upper()), [])


def found(pattern, depth=None):
    made = denyread.compiled(pattern, depth)
    return sorted(path for path, _ in denyread.expand([made], listing))


@pytest.mark.parametrize(
    ("pattern", "depth", "names"),
    [
        ("C:\\src\\*.env", None, ["C:\\src\\a.ENV"]),
        ("C:/SRC/**/*.env", None,
         ["C:\\SRC\\a.ENV", "C:\\SRC\\deep\\b.env", "C:\\SRC\\secret\\x.env"]),
        ("C:\\src\\**\\*.env", None,
         ["C:\\src\\a.ENV", "C:\\src\\deep\\b.env", "C:\\src\\secret\\x.env"]),
        ("C:\\src\\**\\*.env", 1, ["C:\\src\\a.ENV"]),
        ("C:\\*.env", None, ["C:\\.env"]),
        ("C:\\src\\s*", None, ["C:\\src\\secret"]),
    ],
)  # fmt: skip
def test_a_pattern_names_what_is_there_now(pattern, depth, names):
    assert found(pattern, depth) == names


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("C:\\**\\*.env", "all of C:"),
        ("C:\\src\\[a", "pattern"),
        ("C:\\src\\{a,b}*", "two patterns"),
        ("src\\*.env", "not absolute"),
    ],
)
def test_a_pattern_that_cannot_be_held_is_refused_before_anything_is_looked_for(pattern, reason):
    with pytest.raises(SandboxUnavailable, match=reason):
        denyread.compiled(pattern)


def test_too_many_matches_are_a_refusal_never_a_cut_list():
    many = [Found(f"{at}.env", folder=False) for at in range(10_001)]
    with pytest.raises(SandboxUnavailable, match="10,000"):
        list(denyread.expand([denyread.compiled("C:\\s\\*.env")], lambda _folder: many))


def test_the_state_file_says_what_was_written():
    state = {"S-1-5-21-1-2-3-4": ("C:\\b", "C:\\a"), "S-1-5-21-1-2-3-5": ()}
    again = denyread.decode_state(denyread.encode_state(state), "f")
    assert again == {"S-1-5-21-1-2-3-4": ("C:\\a", "C:\\b")}


@pytest.mark.parametrize(
    "table", [b"", b"[]", {}, {"principals": []}, {"principals": {"x": []}},
              {"principals": {"S-1-1-0": "C:"}}, {"principals": {"S-1-1-0": [1]}}],
)  # fmt: skip
def test_a_damaged_state_file_is_named(table):
    raw = table if isinstance(table, bytes) else json.dumps(table).encode()
    with pytest.raises(ConfigError, match="f: "):
        denyread.decode_state(raw, "f")


def test_a_state_file_that_may_be_another_file_is_refused():
    denyread.check_state_file("f", reparse_point=False, links=1)
    with pytest.raises(ConfigError, match="link"):
        denyread.check_state_file("f", reparse_point=True, links=1)
    with pytest.raises(ConfigError, match="2 names"):
        denyread.check_state_file("f", reparse_point=False, links=2)
