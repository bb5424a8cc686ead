import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy import globs

NAME = st.text("abc.-]!^\n", min_size=1, max_size=5).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAME, max_size=5).map(lambda names: "/" + "/".join(names))
PIECE = st.sampled_from(
    ["a", "b", ".", "*", "?", "[ab]", "[!a]", "[^a]", "[a-c]", "[]]", "[!]]", "[.-]", "[*]", "-"]
)
PATTERN_NAME = st.one_of(
    st.just("**"),
    st.lists(PIECE, min_size=1, max_size=5).map("".join).filter(lambda t: "**" not in t),
)
PATTERNS = st.lists(PATTERN_NAME, max_size=5).map(lambda names: "/" + "/".join(names))


def slow(pattern, path):
    """Every way to lay the pattern over the path, name by name."""
    wanted = [name for name in pattern.split("/") if name]
    while wanted and wanted[-1] == "**":
        wanted.pop()
    return _slow(wanted, [name for name in path.split("/") if name])


def _slow(wanted, names):
    if not wanted:
        return not names
    if wanted[0] == "**":
        return any(_slow(wanted[1:], names[skip:]) for skip in range(len(names) + 1))
    return bool(names) and _slow_name(wanted[0], names[0]) and _slow(wanted[1:], names[1:])


def _slow_name(pattern, name):
    return re.fullmatch(translate(pattern.replace("[^", "[!")), name) is not None


@given(PATTERNS, PATHS)
def test_patterns_agree_with_a_slow_matcher(pattern, path):
    assert globs.compiled(pattern).matches(path) == slow(pattern, path)


@given(PATTERNS, PATHS)
def test_a_pattern_touches_what_lies_below_a_match(pattern, path):
    names = path[1:].split("/") if path != "/" else []
    places = ["/" + "/".join(names[:count]) for count in range(len(names) + 1)]
    assert globs.compiled(pattern).touches(path) == any(slow(pattern, place) for place in places)


@given(PATHS)
def test_an_escaped_path_names_itself_alone(path):
    pattern = globs.escape(path)
    assert globs.literal(pattern) == path
    assert globs.compiled(pattern).matches(path)


@given(st.text("a*?[/", max_size=6))
def test_escaping_any_text_can_be_taken_back(text):
    assert globs.literal(globs.escape(text)) == text


@given(PATTERNS)
def test_every_match_lies_below_the_base(pattern):
    base = globs.compiled(pattern).base
    assert not base.endswith("//")
    literal = globs.literal(pattern)
    if literal is not None and literal != "/":
        assert literal.startswith(base)


@pytest.mark.parametrize(
    ("pattern", "base", "names"),
    [
        ("/ws/**/*.env", "/ws", None),
        ("/ws/[*]/x?", "/ws/*", 3),
        ("/*/a", "/", 2),
        ("/a/b", "/a", 2),
    ],
)
def test_a_search_knows_where_to_begin_and_how_deep(pattern, base, names):
    found = globs.compiled(pattern)
    assert (found.base, found.names) == (base, names)


@pytest.mark.parametrize("pattern", ["/a[", "/[!]", "/[]", "/[z-a]", "/a[b/c]d"])
def test_broken_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match=r"without|backwards"):
        globs.compiled(pattern)


def test_nothing_but_the_named_paths_matches():
    star = globs.compiled("/*")
    assert not star.matches("/")
    assert star.matches("/a")
    assert not star.matches("/a/b")
    assert globs.compiled("/ws/*.env").matches("/ws/.env")
    assert not globs.compiled("/ws/[+-0]").matches("/ws//")


def test_a_hostile_name_costs_no_more_than_its_length():
    pattern = globs.compiled("/**/*a*a*a*a*a*a*b/**/*a*a*a*a*b/**/c")
    assert not pattern.touches("/" + "/".join(["a" * 200] * 40))


def test_braces_are_seen_where_another_tool_would_read_two_patterns():
    assert globs.has_braces("*.{pem,key}")
    assert not globs.has_braces("{id}")
    assert not globs.has_braces("[{]a,b}")
