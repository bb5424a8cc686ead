import json

import pytest

from octavo.config.auth import api_key
from octavo.config.providers import BUILT_IN
from octavo.config.schema import ModelProvider, TokenCommand
from octavo.protocol.errors import ConfigError

OPENAI = BUILT_IN["openai"]
MINE = ModelProvider(
    name="mine", base_url="http://x", env_key="MY_KEY", env_key_instructions="ask Jo"
)


def key(provider, home, **environ):
    found = api_key(provider, home=str(home), environ=environ)
    return found and found.reveal()


def keep(home, values, mode=0o600):
    path = home / "auth.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    path.chmod(mode)


def test_the_environment_comes_first(tmp_path):
    keep(tmp_path, {"OPENAI_API_KEY": "file"})
    assert key(OPENAI, tmp_path, OPENAI_API_KEY="env") == "env"
    assert key(OPENAI, tmp_path, OPENAI_API_KEY="env", CODEX_API_KEY="exec") == "exec"
    assert key(OPENAI, tmp_path, OPENAI_API_KEY=" ") == "file"
    assert key(MINE, tmp_path, MY_KEY="mine", CODEX_API_KEY="exec") == "mine"


def test_a_missing_key_is_named_with_the_providers_instructions(tmp_path):
    with pytest.raises(ConfigError, match=r"Missing environment variable: `MY_KEY`\.") as caught:
        key(MINE, tmp_path)
    assert caught.value.hint == "ask Jo"


def test_providers_that_need_none_get_none(tmp_path):
    assert key(BUILT_IN["ollama"], tmp_path, CODEX_API_KEY="x") is None
    assert key(ModelProvider(auth=TokenCommand(command="c")), tmp_path) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_open_is_refused(tmp_path, mode):
    keep(tmp_path, {"OPENAI_API_KEY": "file"}, mode)
    with pytest.raises(ConfigError, match=f"other users may open it .mode {mode:04o}") as caught:
        key(OPENAI, tmp_path)
    assert caught.value.hint.startswith("close it with: chmod 600 ")


@pytest.mark.parametrize("text", ["", "[1]", '{"OPENAI_API_KEY": "sk-secret'])
def test_a_broken_file_is_said_without_its_content(tmp_path, text):
    keep(tmp_path, text)
    with pytest.raises(ConfigError, match=r"auth\.json: is not a JSON object") as caught:
        key(OPENAI, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_printed_key_does_not_show(tmp_path):
    found = api_key(OPENAI, home=str(tmp_path), environ={"OPENAI_API_KEY": "sk-secret"})
    assert repr(found) == str(found) == "Secret(from OPENAI_API_KEY)"
    provider = ModelProvider(experimental_bearer_token="sk-secret")
    assert "secret" not in repr(provider)
    assert key(provider, tmp_path) == "sk-secret"
