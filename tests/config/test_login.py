"""Keys that are kept in `auth.json`."""

import json
import os

import pytest

from octavo.config.auth import kept_keys
from octavo.config.login import forget_key, keep_key
from octavo.protocol.errors import ConfigError


def test_a_key_is_kept_for_this_user_alone_and_forgotten_again(tmp_path):
    home = tmp_path / "home"
    keep_key(str(home), "A", "secret")
    assert kept_keys(str(home)) == {"A": "secret"}
    assert (home / "auth.json").stat().st_mode & 0o077 == 0
    assert forget_key(str(home), "A")
    assert not forget_key(str(home), "A")
    assert kept_keys(str(home)) == {}


def test_what_other_programs_keep_there_stays(tmp_path):
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"tokens": {"id": 1}, "A": "old"}))
    file.chmod(0o600)
    keep_key(str(tmp_path), "A", "new")
    assert json.loads(file.read_text()) == {"tokens": {"id": 1}, "A": "new"}


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_a_file_that_is_open_to_others_or_broken_is_not_touched(tmp_path):
    file = tmp_path / "auth.json"
    file.write_text("{}")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="other users"):
        keep_key(str(tmp_path), "A", "x")
    file.write_text("no json")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="not a JSON object"):
        keep_key(str(tmp_path), "A", "x")
    assert file.read_text() == "no json"
