import pytest

from octavo.config.windows import windows_tables
from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows.levels import level


def home(tmp_path, **files):
    for name, text in files.items():
        (tmp_path / f"{name.replace('_', '.')}.toml").write_text(text)
    return str(tmp_path)


def test_file_then_profile_then_flag(tmp_path):
    main = '[windows]\nsandbox = "unelevated"\n'
    folder = home(tmp_path, config=main, p_config='[windows]\nsandbox = "elevated"\n')
    assert level(*windows_tables(folder)) == "unelevated"
    assert level(*windows_tables(folder, profile="p")) == "elevated"
    flag = ('windows.sandbox="unelevated"',)
    assert level(*windows_tables(folder, profile="p", overrides=flag)) == "unelevated"
    assert level(*windows_tables(str(tmp_path / "missing"))) == "disabled"


def test_what_is_no_level_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"windows\.sandbox"):
        level(*windows_tables(home(tmp_path, config="[windows]\nsandbox = 'yes'\n")))
