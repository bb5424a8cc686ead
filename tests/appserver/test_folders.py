"""What a client learns of folders: skills, hooks, changes, files that fit a few letters."""

SKILL = "---\nname: paint\ndescription: Paints walls.\n---\nBrush first.\n"
HOOK = '[[hooks.Stop]]\n[[hooks.Stop.hooks]]\ntype = "command"\ncommand = "true"\n'


def test_skills_are_listed_and_switched(client, octavo):
    folder = octavo.home / "skills" / "paint"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL)
    client.start()

    def listed():
        (entry,) = client.ask("skills/list", cwds=[str(octavo.cwd)])["data"]
        assert entry["errors"] == []
        (found,) = [one for one in entry["skills"] if one["name"] == "paint"]
        return found

    assert (listed()["enabled"], listed()["scope"]) == (True, "user")
    off = client.ask("skills/config/write", name="paint", enabled=False)
    assert off == {"effectiveEnabled": False}
    assert listed()["enabled"] is False
    client.ask("skills/config/write", name="paint", enabled=True)
    assert listed()["enabled"] is True
    assert (octavo.home / "config.toml").read_text().count("paint") == 1
    assert "only one" in client.error("skills/config/write", enabled=True)["message"]


def test_hooks_are_listed_with_their_standing(client, octavo, model, settings):
    octavo.config(settings.format(url=model.url) + HOOK)
    client.start()
    (entry,) = client.ask("hooks/list", cwds=[str(octavo.cwd)])["data"]
    (hook,) = entry["hooks"]
    assert (hook["eventName"], hook["command"]) == ("stop", "true")
    assert hook["trustStatus"] == "untrusted"


def test_changes_of_a_folder_are_told_until_nobody_wants_them(client, tmp_path):
    folder = tmp_path / "seen"
    folder.mkdir()
    client.start()
    client.ask("fs/watch", watchId="w", path=str(folder))
    (folder / "new").write_text("x")
    assert client.notice("fs/changed") == {"watchId": "w", "changedPaths": [str(folder / "new")]}
    assert "already" in client.error("fs/watch", watchId="w", path=str(folder))["message"]
    assert client.ask("fs/unwatch", watchId="w") == {}
    assert client.ask("fs/unwatch", watchId="w") == {}
    client.ask("fs/watch", watchId="w", path=str(folder / "new"))
    (folder / "new").unlink()
    assert client.notice("fs/changed")["changedPaths"] == [str(folder / "new")]
    assert "absolute" in client.error("fs/watch", watchId="v", path="x")["message"]


def test_a_search_follows_what_is_typed(client, tmp_path):
    for name in ("alpha.py", "beta.py"):
        (tmp_path / name).write_text("")
    client.start()
    client.ask("fuzzyFileSearch/sessionStart", sessionId="s", roots=[str(tmp_path)])
    client.ask("fuzzyFileSearch/sessionUpdate", sessionId="s", query="alph")
    told = client.notice("fuzzyFileSearch/sessionUpdated")
    assert [one["path"] for one in told["files"]] == ["alpha.py"]
    client.notice("fuzzyFileSearch/sessionCompleted")
    client.ask("fuzzyFileSearch/sessionStop", sessionId="s")
    gone = client.error("fuzzyFileSearch/sessionUpdate", sessionId="s", query="a")
    assert "no search" in gone["message"]


def test_methods_that_are_not_carried_out_say_so(client):
    client.start()
    absent = client.error("project/list")
    assert (absent["code"], absent["message"]) == (
        -32601,
        "project/list is not carried out by this server",
    )
    assert "vendor's cloud" in client.error("thread/realtime/start")["message"]


def test_settings_of_a_thread_change_from_the_next_turn_on(client, model):
    model.says("one").says("two")
    client.start()
    thread = client.thread()
    client.turn(thread, "a")
    client.ask("thread/settings/update", threadId=thread, effort="high", model="gpt-5-mini")
    client.turn(thread, "b")
    first, second = (request.json for request in model.requests)
    assert (first["model"], second["model"]) == ("gpt-5", "gpt-5-mini")
    assert second["reasoning"]["effort"] == "high"


def test_threads_are_found_by_their_words(client, model):
    model.says("one").says("two")
    client.start()
    wanted = client.thread()
    client.turn(wanted, "find the needle")
    client.turn(client.thread(), "nothing here")
    (found,) = client.ask("thread/search", searchTerm="needle")["data"]
    assert found["thread"]["id"] == wanted
