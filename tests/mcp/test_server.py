"""Servers that are programs: started, called, watched, ended; and those that misbehave."""

import asyncio
import json

import pytest
from mcp_room import until

from octavo.mcp import stdio
from octavo.mcp.base import CallTimeout, McpError
from octavo.protocol.mcp import ElicitationAnswer, McpServer, StdioTransport


async def test_it_is_started_and_called(fleet, tiny):
    async with fleet(tiny()) as servers:
        await servers.ready()
        one = servers.server("tiny")
        reply = await one.call("echo", {"text": "hi"})
        assert (one.state, one.instructions) == ("ready", "A tiny server.")
    assert reply.content == ({"type": "text", "text": "hi"},)
    assert reply.structured == {"text": "hi"}
    assert not reply.is_error


async def test_its_program_is_gone_when_the_session_is_over(fleet, tiny, world):
    children = []
    async with fleet(tiny(), tiny("other")) as servers:
        await servers.ready()
        children += world.children
    statuses = [await child.wait() for child in children]
    assert len(children) == 2
    assert [status.code for status in statuses] == [0, 0]


async def test_the_end_does_not_wait_for_one_that_is_starting(fleet, tiny, world):
    async with asyncio.timeout(4):
        async with fleet(tiny(start="silent")) as servers:
            await until(lambda: world.children)
        assert servers.server("tiny").state == "cancelled"
    (child,) = world.children
    assert (await child.wait()).code == 0


async def test_a_program_that_does_not_want_to_end_is_ended(fleet, tiny, world, monkeypatch):
    async with fleet(tiny(start="stubborn")) as servers:
        await servers.ready()
        (child,) = world.children
    assert (await child.wait()).signal == 9


async def test_a_cancelled_session_leaves_no_program(fleet, tiny, world):
    async def session():
        async with fleet(tiny(start="stubborn")) as servers:
            await servers.ready()
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session())
        await started.wait()
        task.cancel()
    (child,) = world.children
    assert (await child.wait()).signal == 9


async def test_filters_decide_which_tools_there_are(fleet, tiny):
    names = ["echo", "write", "plain"]
    settings = tiny(tools=names, enabled_tools=("echo", "write"), disabled_tools=("write",))
    async with fleet(settings, tiny("off", enabled=False)) as servers:
        await servers.ready()
        found = [name.flat for name, _, _ in servers.tools()]
    assert found == ["mcp__tiny__echo"]


async def test_a_list_in_pages_is_read_to_its_end(fleet, tiny):
    async with fleet(tiny(tools=["echo", "write", "plain"], pages=True)) as servers:
        await servers.ready()
        assert [tool.name for tool in servers.server("tiny").tools] == ["echo", "plain", "write"]


async def test_a_changed_list_is_there_before_the_next_request(fleet, tiny):
    heard = asyncio.Event()

    def hear(server):
        if len(server.tools) == 3:
            heard.set()

    async with fleet(tiny(tools=["echo", "grow"]), heard=hear) as servers:
        await servers.ready()
        await servers.server("tiny").call("grow", {})
        await heard.wait()
        assert [name.tool for name, _, _ in servers.tools()] == ["echo", "grow", "grown"]


async def test_the_environment_is_small(fleet, tiny, monkeypatch, tmp_path):
    environ = {"PATH": "/usr/bin", "HOME": "/h", "API_KEY": "secret", "WANTED": "yes", "LANG": "C"}
    settings = tiny(tools=["environment"], env={"MINE": "1"}, env_vars=("WANTED", "MISSING"))
    async with fleet(settings, environ=environ) as servers:
        reply = await servers.server("tiny").call("environment", {})
    found = json.loads(reply.content[0]["text"])
    assert found["cwd"] == str(tmp_path)
    env = {name: value for name, value in found["env"].items() if not name.startswith("OCTAVO")}
    env.pop("LC_CTYPE", None)  # the interpreter's own
    assert env == {
        "PATH": "/usr/bin", "HOME": "/h", "LANG": "C", "WANTED": "yes", "MINE": "1",
    }  # fmt: skip


async def test_progress_is_heard(fleet, tiny):
    heard = []
    async with fleet(tiny(tools=["progress"])) as servers:
        await servers.server("tiny").call("progress", {}, progress=heard.append)
    assert heard == ["half way"]


async def test_a_call_that_takes_too_long_says_so(fleet, tiny):
    async with fleet(tiny(tools=["hang", "echo"], tool_timeout_s=0.05)) as servers:
        one = servers.server("tiny")
        with pytest.raises(CallTimeout, match=r"hang took longer than 0\.05 s"):
            await one.call("hang", {})
        assert one.state == "ready"


async def test_a_cancelled_call_is_cancelled_over_there(fleet, tiny, tmp_path):
    log = tmp_path / "log"
    async with fleet(tiny(tools=["hang", "echo"], log=str(log))) as servers:
        one = servers.server("tiny")
        await one.ready()
        call = asyncio.ensure_future(one.call("hang", {}))
        await until(lambda: '"hang"' in log.read_text())
        call.cancel()
        await asyncio.wait([call])
        await one.call("echo", {})  # comes after whatever was sent before
        said = [json.loads(line) for line in log.read_text().splitlines()]
    asked = next(one["id"] for one in said if one.get("params", {}).get("name") == "hang")
    (told,) = [one for one in said if one["method"] == "notifications/cancelled"]
    assert told["params"]["requestId"] == asked


async def test_questions_reach_the_user_and_the_clock_stands_still(fleet, tiny):
    asked = []

    async def elicit(question):
        asked.append(question)
        await asyncio.sleep(0.15)  # longer than the call may take
        return ElicitationAnswer(action="accept", content={"name": "Ada"})

    async with fleet(tiny(tools=["ask"], tool_timeout_s=0.1), elicit=elicit) as servers:
        await servers.ready()
        reply = await servers.server("tiny").call("ask", {})
    assert (asked[0].server, asked[0].message) == ("tiny", "Who are you?")
    assert asked[0].schema["properties"] == {"name": {"type": "string"}}
    assert json.loads(reply.content[0]["text"]) == {"action": "accept", "content": {"name": "Ada"}}


async def test_questions_are_declined_where_nobody_can_be_asked(fleet, tiny):
    async with fleet(tiny(tools=["ask"])) as servers:
        reply = await servers.server("tiny").call("ask", {})
    assert json.loads(reply.content[0]["text"]) == {"action": "decline"}


# ---- servers that misbehave ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"start": "crash"}, "has ended; stderr: cannot find my settings"),
        ({"start": "silent", "startup_timeout_s": 0.3}, "was not ready after 0.3 s"),
        ({"start": "endless"}, "it wrote a line of more than 1 MiB"),
    ],
)
async def test_a_broken_one_is_one_line_and_the_others_run(fleet, tiny, monkeypatch, how, words):
    monkeypatch.setattr(stdio, "LONGEST_LINE", 1 << 20)
    async with fleet(tiny("broken", **how), tiny("good")) as servers:
        await servers.ready()
        broken, good = servers.server("broken"), servers.server("good")
        assert (broken.state, good.state) == ("failed", "ready")
        assert words in broken.error
        assert "\n" not in broken.error
        with pytest.raises(McpError, match="broken"):
            await broken.call("echo", {})


async def test_a_program_that_does_not_exist_says_what_to_check(fleet):
    nothing = McpServer(name="gone", transport=StdioTransport(command="no-such-program"))
    async with fleet(nothing) as servers:
        await servers.ready()
        error = servers.server("gone").error
    assert error.startswith("MCP server 'gone': cannot start 'no-such-program'")


async def test_words_on_stdout_that_are_no_messages_do_no_harm(fleet, tiny):
    async with fleet(tiny(start="garbage")) as servers:
        assert (await servers.server("tiny").call("echo", {"text": "x"})).structured == {
            "text": "x"
        }


async def test_it_is_started_once_more_after_a_crash_and_then_given_up(fleet, tiny, world):
    states = []
    async with fleet(
        tiny(tools=["die", "echo"]), heard=lambda s: states.append(s.state)
    ) as servers:
        one = servers.server("tiny")
        with pytest.raises(McpError, match="has ended; stderr: goodbye, cruel world"):
            await one.call("die", {})
        assert (await one.call("echo", {"text": "again"})).structured == {"text": "again"}
        with pytest.raises(McpError, match="has ended"):
            await one.call("die", {})
        await servers.ready()
        assert (one.state, one.tools) == ("failed", ())
        with pytest.raises(McpError, match="has ended"):
            await one.call("echo", {})
    assert states == ["ready", "starting", "ready", "failed"]
    assert len(world.children) == 2


async def test_resources_and_prompts_are_read(fleet, tiny):
    async with fleet(tiny()) as servers:
        one = servers.server("tiny")
        assert [found.uri for found in await one.ask(lambda it: it.resources())] == ["tiny://one"]
        (template,) = await one.ask(lambda it: it.templates())
        assert template.uri_template == "tiny://{name}"
        read = await one.ask(lambda it: it.read("tiny://one"))
        assert read == ({"uri": "tiny://one", "text": "contents"},)
        (prompt,) = await one.ask(lambda it: it.prompts())
        assert (prompt.name, prompt.required) == ("greet", ("who",))
        said = await one.ask(lambda it: it.prompt("greet", {"who": "Ada"}))
        assert said[0]["content"] == {"type": "text", "text": "Hello Ada"}
