import pytest

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows.acl import ALL, DOWN, EVERYONE, RX, Ace, Present
from octavo.sandbox.windows.audit import audit, candidates
from octavo.sandbox.windows.denyread import Found

OPEN = (Ace(True, EVERYONE, ALL, DOWN),)
READ = (Ace(True, EVERYONE, RX, DOWN),)


def look(**folders):
    table = {f"C:\\{name}": dacl for name, dacl in folders.items()}
    return lambda path: Present(path, True, "", table[path]) if path in table else None


def test_open_folders_are_found_and_samples_shown():
    places = [f"C:\\{name}" for name in "abcdef"]
    result = audit(places, look(a=OPEN, b=READ, c=OPEN, d=None, e=OPEN), elapsed_s=lambda: 0.0)
    assert result.open == ("C:\\a", "C:\\c", "C:\\d", "C:\\e")
    assert result.unreadable == 1
    assert result.warning().endswith("C:\\a, C:\\c, C:\\d and 1 more")


@pytest.mark.parametrize(
    ("places", "seconds", "reason"), [(["C:\\a"] * 50_001, 0, "50,000"), (["C:\\a"], 3, "2 s")]
)
def test_a_look_that_hit_a_limit_proves_nothing(places, seconds, reason):
    with pytest.raises(SandboxUnavailable, match=reason):
        audit(places, look(a=READ), elapsed_s=lambda: seconds)


def test_the_commands_folder_comes_first_and_links_are_not_followed():
    tree = {
        "C:\\ws": [Found("sub", folder=True), Found("file", folder=False),
                   Found("link", folder=True, link=True)],
        "C:\\": [Found("ProgramData", folder=True), Found("Windows", folder=True)],
        "C:\\Windows": [Found("Installer", folder=True), Found("Temp", folder=True)],
    }  # fmt: skip
    env = {"Temp": "C:\\t", "PATH": "rel;C:\\bin\\;C:\\ws"}
    found = list(candidates("C:\\ws", env, lambda folder: tree.get(folder, [])))
    assert found == [
        "C:\\ws\\sub",
        "C:\\ws",
        "C:\\t",
        "C:\\bin",
        "C:\\",
        "C:\\Windows",
        "C:\\Windows\\Temp",
    ]


def test_files_do_not_count_system32_has_thousands():
    many = [Found(str(at), folder=False) for at in range(5000)]
    tree = {"C:\\Windows\\System32": [*many, Found("drivers", folder=True)]}
    env = {"PATH": "C:\\Windows\\System32"}
    found = list(candidates("C:\\ws", env, lambda folder: tree.get(folder, [])))
    assert "C:\\Windows\\System32\\drivers" in found


def test_a_folder_with_too_many_folders_is_an_error():
    many = [Found(str(at), folder=True) for at in range(1001)]
    with pytest.raises(SandboxUnavailable, match="1,000"):
        list(candidates("C:\\ws", {}, lambda _folder: many))
