"""Shell commands that are patches, and those that only look like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.tools.intercept import BarePatch, Intercepted, intercept

PATCH = "*** Begin Patch\n*** Delete File: x\n*** End Patch"


def script(text):
    return ("/bin/bash", "-lc", text)


@pytest.mark.parametrize("name", ["apply_patch", "applypatch"])
@pytest.mark.parametrize("word", ["<<'EOF'", '<<"EOF"', "<<EOF", "<< 'EOF'"])
def test_a_here_document_alone_is_a_patch(name, word):
    assert intercept(script(f"{name} {word}\n{PATCH}\nEOF\n")) == Intercepted(patch=PATCH)


@pytest.mark.parametrize(
    ("cd", "folder"),
    [("cd sub", "sub"), ("cd 'a b'", "a b"), ('cd "a b"', "a b"), ("cd /x/y", "/x/y")],
)
def test_one_folder_may_be_entered_first(cd, folder):
    text = f"{cd} && apply_patch <<'P'\n{PATCH}\nP"
    assert intercept(script(text)) == Intercepted(patch=PATCH, cd=folder)


@pytest.mark.parametrize(
    "text",
    [
        f"echo; apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"apply_patch <<'EOF'\n{PATCH}\nEOF\necho done",
        f"apply_patch <<'EOF' && ls\n{PATCH}\nEOF",
        f"cd a; apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"cd a || apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"cd a b && apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"cd $HOME && apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"cd \"$HOME\" && apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"cd ~ && apply_patch <<'EOF'\n{PATCH}\nEOF",
        f"cd -- && apply_patch <<'EOF'\n{PATCH}\nEOF; ls",
        f"apply_patch x <<'EOF'\n{PATCH}\nEOF",
        f"apply_patch <<'EOF'\n{PATCH}\n",
        f"git apply_patch <<'EOF'\n{PATCH}\nEOF",
        "ls",
        "",
    ],
)
def test_anything_more_makes_it_an_ordinary_command(text):
    assert intercept(script(text)) is None


def test_the_program_itself_with_a_patch_is_a_patch():
    assert intercept(("apply_patch", PATCH)) == Intercepted(patch=PATCH)
    assert intercept(("apply_patch", PATCH, "x")) is None


@pytest.mark.parametrize("argv", [script(PATCH), script(f"<<'EOF'\n{PATCH}\nEOF"), (PATCH,)])
def test_a_patch_without_the_command_is_recognised(argv):
    assert intercept(argv) == BarePatch()


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (("sh", "-c"), True),
        (("/usr/bin/zsh", "-lc"), True),
        (("pwsh", "-Command"), True),
        (("powershell.exe", "-NoProfile", "-Command"), True),
        (("cmd.exe", "/c"), True),
        (("bash", "-x", "-c"), False),
        (("fish", "-c"), False),
        (("python", "-c"), False),
    ],
)
def test_shells_are_known_by_name_and_options(argv, found):
    text = f"apply_patch <<'EOF'\n{PATCH}\nEOF"
    assert (intercept((*argv, text)) is not None) == found


@given(
    st.lists(
        st.sampled_from(["apply_patch", " <<'EOF'", "\n", "EOF", "cd a", " && ", PATCH, "'", ";"])
    ).map("".join)
)
def test_any_script_is_judged_without_failing(text):
    found = intercept(script(text))
    assert found is None or isinstance(found, Intercepted | BarePatch)
