import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import paths

BAD = {
    "": "empty",
    "a\\b": "not absolute",
    "C:a": "relative to the drive's current folder",
    "C:": "relative to the drive's current folder",
    "\\a": "root of whatever drive",
    "\\\\.\\PhysicalDrive0": "a device",
    "\\\\.\\pipe\\x": "a device",
    "\\??\\C:\\a": "a device",
    "\\\\?\\GLOBALROOT\\Device\\x": "device or a volume",
    "\\\\?\\Volume{1}\\a": "device or a volume",
    "\\\\server": "a server and a share",
    "\\\\server\\": "a server and a share",
    "C:\\a\\\\b": "not normal",
    "C:\\a\\..\\b": "not normal",
    "C:\\.\\a": "not normal",
    "C:\\a.": "ends in a dot",
    "C:\\a \\b": "ends in a dot or a space",
    "C:\\a:stream": "alternate stream",
    "C:\\a::$DATA": "alternate stream",
    "C:\\CON": "device in every folder",
    "C:\\x\\nul.txt": "device in every folder",
    "C:\\com1.a.b": "device in every folder",
    "C:\\LPT² .x": "device in every folder",
    "C:\\conin$": "device in every folder",
    "C:\\PROGRA~1\\x": "8.3",
    "C:\\ab~12.txt": "8.3",
    "C:\\a\tb": "control character",
    "C:\\a\0b": "control character",
    "C:\\a*": "which no Windows file name",
    'C:\\a"b': "which no Windows file name",
    "C:\\" + "x" * 256: "longer than 255",
    "C:\\" + "\\".join(["xxxxxxxxx"] * 3300): "longer than 32,767",
    "C:\\\ud800": "surrogate",
}


@pytest.mark.parametrize("path", BAD)
def test_a_spelling_that_could_name_something_else_is_refused_with_its_reason(path):
    with pytest.raises(SandboxUnavailable) as caught:
        paths.canonical(path)
    assert BAD[path] in str(caught.value)
    str(caught.value).encode()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("c:/Users/me/", "C:\\Users\\me"),
        ("\\\\?\\c:\\a", "C:\\a"),
        ("//?/C:/a", "C:\\a"),
        ("c:\\", "C:\\"),
        ("\\\\?\\UNC\\srv\\share\\a", "\\\\srv\\share\\a"),
        ("//srv/share", "\\\\srv\\share\\"),
        ("C:\\console\\nuls.txt", "C:\\console\\nuls.txt"),
        ("C:\\.git\\a b", "C:\\.git\\a b"),
        ("C:\\backup~old", "C:\\backup~old"),
    ],
)
def test_one_path_has_one_spelling(path, plain):
    assert paths.canonical(path) == plain
    assert paths.canonical(plain) == plain


def test_a_name_that_only_looks_short_is_taken_from_the_system():
    assert paths.canonical("C:\\ab~1", resolved=True) == "C:\\ab~1"


@pytest.mark.parametrize(
    ("path", "key"),
    [("Z:\\tmp\\WS", "z:/tmp/ws"), ("C:\\", "c:/"), ("\\\\?\\C:\\É", "c:/É")],
)
def test_a_key_is_lower_case_in_ascii_only(path, key):
    assert paths.key(path) == key


def test_whole_names_count_not_beginnings():
    assert paths.contains("C:\\a", "c:\\A\\b")
    assert not paths.contains("C:\\a", "C:\\ab")
    assert paths.contains("C:\\", "C:\\ab")
    assert paths.overlaps("C:\\a\\b", "C:\\a")
    assert paths.contains("C:\\Ärger", "C:\\ÄRGER\\x".lower().replace("c:", "C:"))
    assert paths.most_specific(["C:\\", "C:\\a", "C:\\a\\b"], "C:\\a\\c") == "C:\\a"


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(st.lists(names, max_size=5), st.sampled_from(["C:\\", "\\\\?\\d:\\", "\\\\s\\x\\"]))
def test_whatever_is_accepted_is_absolute_normal_and_stays_what_it_is(parts, root):
    try:
        plain = paths.canonical(root + "\\".join(parts))
    except SandboxUnavailable:
        return
    assert paths.canonical(plain, resolved=True) == plain
    above = list(paths.ancestors(plain))
    assert all(paths.contains(folder, plain) for folder in above)
    assert paths.depth(plain) == len(above)
    assert paths.is_root(above[-1] if above else plain)
