import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.store.leftout import ignored, rules_of

PARTS = st.sampled_from(["a", "b", "*", "**", "a*", "?", "[ab]", "[!a]", "build"])
PATTERNS = st.lists(
    st.builds(
        lambda bang, lead, parts, end: bang + lead + "/".join(parts) + end,
        st.sampled_from(["", "", "!"]),
        st.sampled_from(["", "/"]),
        st.lists(PARTS, min_size=1, max_size=3),
        st.sampled_from(["", "/"]),
    ),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ignored")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for one in ("a", "b", "build"):
        for two in ("a", "b", "build"):
            (folder / one / two / "a").mkdir(parents=True)
    return folder


@given(patterns=PATTERNS)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_top_folders_are_judged_as_git_judges_them(repository, patterns):
    text = "\n".join(patterns) + "\n"
    (repository / ".gitignore").write_text(text)
    run = ["git", "-C", str(repository), "check-ignore", "-q"]
    for folder in ("a", "b", "build"):
        judge = subprocess.run([*run, folder]).returncode == 0
        assert ignored(folder, [("", rules_of(text))]) == judge, (text, folder)


def test_a_pattern_of_an_inner_file_is_about_what_lies_below_it():
    files = [("", rules_of("out/\n")), ("inner", rules_of("!out/\n/gen\n"))]
    assert not ignored("inner/out", files)
    assert ignored("inner/gen", files)
    assert ignored("other/out", files[:1])


def test_garbage_names_nothing():
    assert rules_of("\n#x\n!\n/\n   \n[\n") is not None
    assert not ignored("a", [("", rules_of("[\n"))])
