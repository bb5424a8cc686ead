import pytest

from octavo.config.home import find_home, own_homes, places_for
from octavo.policy.places import MINIMAL_MACOS
from octavo.protocol.errors import ConfigError


def test_the_home_is_the_first_variable_that_is_set(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    both = {"OCTAVO_HOME": str(ours), "CODEX_HOME": str(theirs)}
    assert find_home(both, "/home/me") == str(ours.resolve())
    assert find_home({"CODEX_HOME": str(theirs), "OCTAVO_HOME": ""}, "/home/me") == str(
        theirs.resolve()
    )
    assert find_home({}, "/home/me") == "/home/me/.octavo"


@pytest.mark.parametrize("name", ["OCTAVO_HOME", "CODEX_HOME"])
def test_a_variable_that_names_no_folder_is_an_error(tmp_path, name):
    (tmp_path / "file").touch()
    for wrong in ("gone\n", "file"):
        with pytest.raises(ConfigError) as caught:
            find_home({name: str(tmp_path / wrong)}, "/home/me")
        assert name in str(caught.value)
        assert str(caught.value).isprintable()


def test_every_home_that_is_ever_obeyed_is_known():
    found = own_homes({"CODEX_HOME": "/opt/codex"}, "/home/me")
    assert found == ("/opt/codex", "/home/me/.octavo", "/home/me/.codex")


def test_places_are_where_the_links_lead(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = places_for(
        cwd=str(tmp_path / "link"),
        user_home=str(tmp_path / "link"),
        environ={"TMPDIR": "/tmp"},
        platform="darwin",
    )
    assert found.cwd == found.home == str((tmp_path / "real").resolve())
    assert found.roots == (found.cwd,)
    assert found.tmpdir == "/tmp"
    assert found.minimal == MINIMAL_MACOS
    unknown = places_for(cwd="/", user_home="", environ={}, platform="linux")
    assert (unknown.home, unknown.tmpdir) == ("", None)
