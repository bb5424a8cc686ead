import pytest

from octavo.api.windows import choice_of
from octavo.protocol.errors import ConfigError

MAIN = "[windows]\nsandbox = 'unelevated'\nacl_mode = 'manual'\n"


def home(tmp_path, config=MAIN, profile=None):
    (tmp_path / "config.toml").write_text(config)
    if profile is not None:
        (tmp_path / "p.config.toml").write_text(profile)
    return str(tmp_path)


def test_without_settings_no_sandbox_is_chosen_and_entries_would_be_written(tmp_path):
    choice = choice_of(str(tmp_path), {"A": "b"})
    assert (choice.level, choice.private_desktop, choice.manual) == ("disabled", True, False)
    assert (choice.home, choice.environ) == (str(tmp_path), {"A": "b"})


def test_the_settings_file_chooses(tmp_path):
    more = MAIN + "sandbox_private_desktop = false\n"
    choice = choice_of(home(tmp_path, more), {})
    assert (choice.level, choice.private_desktop, choice.manual) == ("unelevated", False, True)


def test_a_profile_that_says_nothing_about_a_key_leaves_it_as_it_was(tmp_path):
    folder = home(tmp_path, profile="[windows]\nsandbox = 'elevated'\n")
    choice = choice_of(folder, {}, profile="p")
    assert (choice.level, choice.manual) == ("elevated", True)
    assert not choice_of(folder, {}, profile="p", overrides=("windows.acl_mode=write",)).manual


def test_flags_are_stronger_than_files_and_the_users_file_can_be_left_out(tmp_path):
    folder = home(tmp_path)
    assert choice_of(folder, {}, flags={"windows.sandbox": "elevated"}).level == "elevated"
    assert choice_of(folder, {}, user_settings=False).level == "disabled"


def test_another_word_for_who_writes_entries_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"windows\.acl_mode is 'by hand'"):
        choice_of(home(tmp_path), {}, overrides=("windows.acl_mode=by hand",))
