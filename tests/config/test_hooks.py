"""Hooks from every layer, who may run, and what is said about the rest."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.config.extras import any_hooks
from octavo.config.hook_trust import Entry, approved, changed, fingerprint, named_files, set_trust
from octavo.config.hooks import load_hooks
from octavo.config.settings import load_settings
from octavo.protocol.errors import ConfigError
from octavo.protocol.hooks import Hook


@pytest.fixture
def room(tmp_path):
    for name in ("home", "etc", "work/.git", "work/.codex"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def load(room, *overrides):
    return load_settings(
        home=str(room / "home"), cwd=str(room / "work"), environ={},
        overrides=overrides, system=(str(room / "etc"),),
    )  # fmt: skip


def hooks(room, *overrides):
    return load_hooks(load(room, *overrides))


def group(command, **more):
    return {"hooks": [{"type": "command", "command": command, **more}]}


def write(path, **events):
    path.write_text(json.dumps({"hooks": events}))


def trust_project(room):
    with (room / "home/config.toml").open("a") as file:
        file.write(f'[projects."{room}/work"]\ntrust_level = "trusted"\n')


def standings(found):
    return {one.hook.command: one.standing for one in found.found}


def test_without_hooks_nothing_is_found_and_nothing_needs_to_be_read(room):
    assert not any_hooks(load(room))
    assert hooks(room).found == ()


def test_every_layer_adds_its_hooks_in_order(room):
    trust_project(room)
    (room / "etc/requirements.toml").write_text(
        '[[hooks.Stop]]\nhooks = [{type = "command", command = "required"}]\n'
    )
    write(room / "etc/hooks.json", Stop=[group("system")])
    write(room / "home/hooks.json", Stop=[group("home file")])
    with (room / "home/config.toml").open("a") as file:
        file.write('[[hooks.Stop]]\nhooks = [{type = "command", command = "home table"}]\n')
    write(room / "work/.codex/hooks.json", Stop=[group("project")])
    flag = 'hooks.Stop=[{hooks=[{type="command",command="flag"}]}]'
    found = hooks(room, flag)
    assert any_hooks(load(room, flag))
    assert standings(found) == {
        "required": "managed", "system": "managed", "home file": "untrusted",
        "home table": "untrusted", "project": "untrusted", "flag": "untrusted",
    }  # fmt: skip
    assert [one.hook.key.rpartition("/")[2] for one in found.found] == [
        "requirements.toml:stop:0:0", "hooks.json:stop:0:0", "hooks.json:stop:0:0",
        "config.toml:stop:0:0", "hooks.json:stop:0:0", "config.toml:stop:0:0",
    ]  # fmt: skip
    assert found.found[-1].hook.key == "/<session-flags>/config.toml:stop:0:0"
    assert [hook.command for hook in found.runnable()] == ["required", "system"]
    assert len(found.runnable(bypass=True)) == 6
    assert "not reviewed" in found.notice()
    assert "because you said so" in found.notice(bypass=True)


def test_a_project_nobody_trusts_has_no_hooks_and_that_is_said(room):
    write(room / "work/.codex/hooks.json", Stop=[group("evil")])
    found = hooks(room)
    assert found.found == ()
    assert "not trusted" in found.warnings[0]


def test_the_home_is_no_project_of_its_own(room):
    (room / "home").rename(room / "work/.octavo")
    write(room / "work/.octavo/hooks.json", Stop=[group("mine")])
    loaded = load_settings(
        home=str(room / "work/.octavo"), cwd=str(room / "work"), environ={}, system=()
    )
    assert [one.hook.command for one in load_hooks(loaded).found] == ["mine"]


def test_only_the_administrators_hooks_run_when_that_is_required(room):
    (room / "etc/requirements.toml").write_text(
        'allow_managed_hooks_only = true\n[[hooks.Stop]]\nhooks = [{type = "command", command = "r"}]\n'
    )
    write(room / "home/hooks.json", Stop=[group("mine")])
    found = hooks(room)
    assert standings(found) == {"r": "managed"}
    assert "administrator" in found.warnings[-1]


def test_trust_is_for_one_definition_and_the_files_it_names(room):
    script = room / "work/check.sh"
    script.write_text("exit 0\n")
    write(room / "home/hooks.json", Stop=[group("sh check.sh --quick")])
    found = hooks(room)
    set_trust(
        str(room / "home"),
        approved([(one.hook, one.fingerprint) for one in found.found], str(room / "work")),
    )
    assert standings(hooks(room)) == {"sh check.sh --quick": "trusted"}
    assert hooks(room).notice() is None

    script.write_text("curl evil\n")
    again = hooks(room)
    assert standings(again) == {"sh check.sh --quick": "modified"}
    assert "changed since it was reviewed" in again.notice()
    assert "has changed" in changed(again.found[0].hook, str(room / "work"))

    script.write_text("exit 0\n")
    write(room / "home/hooks.json", Stop=[group("sh check.sh --quick", timeout=5)])
    assert standings(hooks(room)) == {"sh check.sh --quick": "modified"}

    set_trust(str(room / "home"), {one.hook.key: None for one in found.found})
    assert standings(hooks(room)) == {"sh check.sh --quick": "untrusted"}


def test_a_relative_script_of_another_folder_is_another_script(room):
    (room / "work/check.sh").write_text("exit 0\n")
    (room / "other").mkdir()
    (room / "other/check.sh").write_text("exit 0\n")
    hook = Hook(event="Stop", command="./check.sh", key="k", source="s")
    entry = approved([(hook, "x")], str(room / "work"))["k"]
    known = Hook(event="Stop", command="./check.sh", key="k", source="s", files=entry.files)
    assert changed(known, str(room / "work")) is None
    assert "not there when it was reviewed" in changed(known, str(room / "other"))


def test_trust_given_by_another_program_counts(room):
    write(room / "home/hooks.json", PreToolUse=[{"matcher": "^Bash$", **group("a", timeout=5)}])
    (one,) = hooks(room).found
    text = (
        '{"event_name":"pre_tool_use","hooks":[{"async":false,"command":"a","timeout":5,'
        '"type":"command"}],"matcher":"^Bash$"}'
    )
    import hashlib

    assert one.fingerprint == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    flag = f'hooks.state={{"{one.hook.key}"={{trusted_hash="{one.fingerprint}"}}}}'
    assert standings(hooks(room, flag)) == {"a": "trusted"}


def test_a_project_cannot_vouch_for_itself(room):
    trust_project(room)
    path = room / "work/.codex/hooks.json"
    write(path, Stop=[group("evil")])
    print_ = hooks(room).found[0].fingerprint
    (room / "work/.codex/config.toml").write_text(
        f'[hooks.state."{path}:stop:0:0"]\ntrusted_hash = "{print_}"\n'
    )
    assert standings(hooks(room)) == {"evil": "untrusted"}


def test_a_hook_can_be_switched_off(room):
    write(room / "home/hooks.json", Stop=[group("a")])
    key = hooks(room).found[0].hook.key
    set_trust(str(room / "home"), {key: Entry(enabled=False)})
    found = hooks(room)
    assert standings(found) == {"a": "disabled"}
    assert found.notice() is None
    assert found.runnable(bypass=True) == ()
    write(room / "home/hooks.json", Stop=[group("a"), group("b")])
    assert hooks(room, "features.hooks=false").found == ()


def test_writing_trust_keeps_comments_and_everything_else(room):
    (room / "home/config.toml").write_text('# mine\nmodel = "x"  # this one\n')
    set_trust(str(room / "home"), {"a:stop:0:0": Entry(trusted_hash="sha256:1", files={"/f": "2"})})
    text = (room / "home/config.toml").read_text()
    assert text.startswith('# mine\nmodel = "x"  # this one\n')
    assert '[hooks.state."a:stop:0:0"]' in text
    left = {path.name for path in (room / "home").iterdir()}
    assert left - {".config.toml.lock"} == {"config.toml"}


@pytest.mark.parametrize("text", [
    '[[hooks.Stop]]\nhooks = [{type = "command", command = "a"}]\n[tui]\nx = 1\n',
    '[hooks]\nStop = [{hooks = [{type = "command", command = "a"}]}]\n',
    'hooks = {Stop = [{hooks = [{type = "command", command = "a"}]}]}\nmodel = "x"\n',
    '[hooks.state."k"]\nenabled = false\n[[hooks.Stop]]\nhooks = [{type = "command", command = "a"}]\n',
    'hooks.state = {"k" = {enabled = false}}\n[mcp_servers.x]\ncommand = "y"\n',
])  # fmt: skip
def test_trust_is_written_whatever_the_settings_look_like(room, text):
    import tomllib

    path = room / "home/config.toml"
    path.write_text(text)
    before = tomllib.loads(text)
    set_trust(str(room / "home"), {"n": Entry(trusted_hash="sha256:1", files={"/a b": "x"})})
    after = tomllib.loads(path.read_text())
    assert after["hooks"]["state"].pop("n") == {
        "enabled": True, "trusted_hash": "sha256:1", "files": {"/a b": "x"},
    }  # fmt: skip
    if not after["hooks"]["state"]:
        del after["hooks"]["state"]
    assert after == before
    assert load(room).settings.hooks
    set_trust(str(room / "home"), {"n": None})
    assert "n" not in tomllib.loads(path.read_text())["hooks"].get("state", {})


def test_a_settings_file_that_is_wrong_is_left_as_it_is(room):
    (room / "home/config.toml").write_text("model = \n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        set_trust(str(room / "home"), {"a": Entry()})
    assert (room / "home/config.toml").read_text() == "model = \n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected"),
        ('{"hooks": 1}', "expected"),
        ('{"Stop": []}', "under a key `hooks`"),
        ('{"hooks": {"Stop": {}}}', "hooks.Stop"),
        ('{"hooks": {"Stop": [{"hooks": [{"type": "command"}]}]}}', "expected a command"),
        ('{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "a", "timeout": "x"}]}]}}',
         "timeout"),
        ('{"hooks": {"Stop": [{"hooks": [{"type": "comand", "command": "a"}]}]}}', "comand"),
        ('{"hooks": {"PreToolUse": [{"matcher": "(", "hooks": []}]}}', "regular expression"),
        ('{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "a", "on_failure": "x"}]}]}}',
         "on_failure"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_one_line_with_its_name(room, text, words):
    (room / "home/hooks.json").write_text(text)
    with pytest.raises(ConfigError, match=r"hooks\.json") as wrong:
        hooks(room)
    assert words in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_what_a_newer_version_knows_is_passed_over(room):
    write(
        room / "home/hooks.json",
        Notification=[group("a")],
        PreToolUs=[group("b")],
        Stop=[{"hooks": [{"type": "prompt", "prompt": "hm"}, {"type": "command", "command": "c"}]}],
    )
    found = hooks(room)
    assert [one.hook.command for one in found.found] == ["c"]
    assert found.found[0].hook.key.endswith(":stop:0:1")
    assert 'did you mean "PreToolUse"' in "".join(found.warnings)
    assert len(found.warnings) == 3


def test_times_limits_and_other_names_of_keys(room):
    write(
        room / "home/hooks.json",
        SessionEnd=[group("a", timeout=60)],
        Stop=[group("b", status_message="hm", additional_context_limit=7, onFailure="block")],
        SessionStart=[{"matcher": "startup", **group("c", **{"async": True})}],
    )
    by_name = {one.hook.command: one.hook for one in hooks(room).found}
    assert by_name["a"].timeout_s == 3
    assert by_name["b"].timeout_s == 600
    assert (by_name["b"].status_message, by_name["b"].context_tokens) == ("hm", 7)
    assert by_name["b"].on_failure == "block"
    assert by_name["c"].background
    assert by_name["c"].matcher == "startup"


def test_on_failure_is_part_of_what_is_trusted():
    hook = Hook(event="Stop", command="a", key="k", source="s")
    strict = Hook(event="Stop", command="a", key="k", source="s", on_failure="block")
    assert fingerprint(hook, None) != fingerprint(strict, None)
    assert fingerprint(hook, "x") == fingerprint(hook, None)


@given(st.text(), st.just("/nonexistent"))
def test_no_command_is_too_strange_to_look_for_files(command, cwd):
    named_files(command, cwd)


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange_for_a_file(tmp_path_factory, data):
    room = tmp_path_factory.mktemp("room")
    for name in ("home", "etc", "work"):
        (room / name).mkdir()
    (room / "home/hooks.json").write_bytes(data)
    with suppress(ConfigError):  # anything else is a defect
        hooks(room)
