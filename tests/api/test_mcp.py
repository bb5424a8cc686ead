"""MCP servers in a whole session: tools, approvals, results, trouble, the end."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no programs as servers on Windows yet", allow_module_level=True)

import octavo.mcp.connection  # noqa: F401 - loaded in a worker thread otherwise
from octavo import Decision, Sandbox
from octavo.api.engine import Engine
from octavo.api.options import ThreadOptions
from octavo.api.recording import play_file
from octavo.appserver.mcp_status import shown
from octavo.exec.jsonl import mcp_call
from octavo.mcp.base import McpError
from octavo.protocol.approvals import McpApproval
from octavo.protocol.content import InputImage
from octavo.protocol.errors import ConfigError
from octavo.protocol.events import ItemCompleted, McpProgress, Warned
from octavo.protocol.items import McpToolCall
from octavo.protocol.mcp import ElicitationAnswer
from octavo.testing import ScriptedModel

TINY = Path(__file__).parents[1] / "mcp" / "tiny_server.py"
sys.path.insert(0, str(TINY.parent))
from mcp_room import until

NEVER = "MCP tool call requires approval, but approval policy is never"


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def described(room, more="", *, name="tiny", **how):
    """A server in the settings."""
    args = json.dumps(["-I", "-S", str(TINY), json.dumps(how)])
    path = room / "home" / "config.toml"
    before = path.read_text() if path.exists() else ""
    command = json.dumps(sys.executable)
    path.write_text(
        f"{before}[mcp_servers.{name}] # mine\ncommand = {command}\nargs = {args}\n{more}\n"
    )


class Session:
    """What came of one turn."""

    def __init__(self, model, events, thread):
        self.model, self.events, self.thread = model, events, thread

    @property
    def outputs(self):
        return self.model.requests[-1].tool_outputs

    @property
    def items(self):
        ended = (one.item for one in self.events if isinstance(one, ItemCompleted))
        return [one for one in ended if isinstance(one, McpToolCall)]

    @property
    def warnings(self):
        return [one.message for one in self.events if isinstance(one, Warned)]


async def turn(room, *calls, server="tiny", **options):
    """A turn in which the model makes these calls: (tool, arguments)."""
    model = ScriptedModel()
    for tool, given in calls:
        space = (
            None if tool.endswith(("_resources", "_templates", "_resource")) else f"mcp__{server}"
        )
        model.calls_raw(tool, json.dumps(given), namespace=space)
    model.says("Done.")
    options.setdefault("sandbox", Sandbox.read_only())
    events = []
    async with asyncio.timeout(30), Engine.open(model=model, home=room / "home") as engine:
        given = ThreadOptions(cwd=str(room / "work"), **options)
        thread = await engine.open_thread(given)
        async with thread.stream("go") as running:
            events += [event async for event in running]
    return Session(model, events, thread)


async def test_the_model_calls_a_tool(room):
    described(room)
    done = await turn(room, ("echo", {"text": "hi"}))
    (output,) = done.outputs
    assert output.startswith("Wall time: ")
    assert output.endswith(' seconds\nOutput:\n{"text":"hi"}')
    (item,) = done.items
    line = mcp_call(item)
    assert line | {"id": "x"} == {
        "id": "x",
        "type": "mcp_tool_call",
        "server": "tiny",
        "tool": "echo",
        "arguments": {"text": "hi"},
        "result": {
            "content": [{"type": "text", "text": "hi"}],
            "structured_content": {"text": "hi"},
        },
        "error": None,
        "status": "completed",
    }


async def test_the_first_request_has_the_tools_of_every_server(room):
    described(room, tools=["echo", "write"])
    described(room, name="other", tools=["echo"])
    done = await turn(room)
    spaces = {spec.name: [tool.name for tool in spec.tools]
              for spec in done.model.requests[0].tools if hasattr(spec, "tools")
              and spec.name.startswith("mcp__")}  # fmt: skip
    assert spaces == {"mcp__other": ["echo"], "mcp__tiny": ["echo", "write"]}
    assert "read_mcp_resource" in [spec.name for spec in done.model.requests[0].tools]


async def test_without_servers_there_is_nothing_of_it(room):
    done = await turn(room)
    assert not [spec for spec in done.model.requests[0].tools if "mcp" in spec.name]
    assert done.thread.mcp is None


async def test_what_is_not_read_only_fails_where_nobody_is_asked(room):
    described(room, tools=["write"])
    done = await turn(room, ("write", {"text": "x"}))
    assert done.outputs == [NEVER]
    (item,) = done.items
    assert (item.status, item.error, item.result) == ("failed", NEVER, None)


async def test_without_any_borders_nobody_has_to_be_asked(room):
    described(room, tools=["write"])
    done = await turn(room, ("write", {"text": "x"}), sandbox=Sandbox.danger_full_access())
    assert done.items[0].status == "completed"


@pytest.mark.parametrize(
    ("more", "tool", "asked"),
    [
        ("", "echo", 0),
        ("", "tame", 0),
        ("", "write", 1),
        ('default_tools_approval_mode = "writes"', "tame", 1),
        ('default_tools_approval_mode = "prompt"', "echo", 1),
        ('default_tools_approval_mode = "approve"', "write", 0),
        ('[mcp_servers.tiny.tools.write]\napproval_mode = "approve"', "write", 0),
    ],
)
async def test_the_settings_say_what_is_asked_about(room, more, tool, asked):
    described(room, more, tools=["echo", "write", "tame"])
    questions = []

    async def approve(request):
        questions.append(request)
        return Decision.allow_once()

    done = await turn(room, (tool, {"text": "x"}), approver=approve)
    assert len(questions) == asked
    assert done.items[0].status == "completed"
    for request in questions:
        assert isinstance(request, McpApproval)
        assert (request.server, request.tool, request.arguments) == ("tiny", tool, {"text": "x"})


async def test_a_yes_for_the_session_covers_the_tool_and_no_other(room):
    described(room, tools=["write", "die"], more='default_tools_approval_mode = "prompt"')
    asked = []

    async def approve(request):
        asked.append(request.tool)
        return Decision.allow_for_session() if request.tool == "write" else Decision.deny("no")

    done = await turn(
        room, ("write", {"text": "1"}), ("write", {"text": "2"}), ("die", {}), approver=approve
    )
    assert asked == ["write", "die"]
    assert done.outputs[-1] == "user rejected MCP tool call: no"


async def test_always_is_written_into_the_settings_and_comments_stay(room):
    described(room, tools=["write"])

    async def approve(_request):
        return Decision.allow_always(())

    await turn(room, ("write", {"text": "1"}), approver=approve)
    text = (room / "home" / "config.toml").read_text()
    assert "# mine" in text
    again = await turn(room, ("write", {"text": "2"}))  # nobody to ask, and it works
    assert again.items[0].status == "completed"


async def test_pictures_are_seen_by_the_model(room):
    described(room, tools=["picture"])
    done = await turn(room, ("picture", {}))
    parts = done.model.requests[-1].input[-1].output
    assert [type(part) for part in parts][-1] is InputImage
    assert parts[-1].image_url.startswith("data:image/png;base64,")


async def test_a_tool_that_fails_is_told_with_its_words(room):
    described(room, tools=["bad"])
    done = await turn(room, ("bad", {}))
    assert done.outputs[0].endswith("Output:\nit went wrong")
    (item,) = done.items
    assert (item.status, item.error) == ("failed", None)
    assert item.result.content == ({"type": "text", "text": "it went wrong"},)


async def test_long_results_are_cut_for_the_model(room):
    described(room, tools=["long"])
    done = await turn(room, ("long", {"text": "3000000"}))
    assert len(done.outputs[0]) < 100_000
    assert "tokens truncated" in done.outputs[0]
    assert len(done.items[0].result.content[0]["text"]) < 1_100_000


async def test_arguments_that_are_no_object_are_told_to_the_model(room):
    described(room)
    done = await turn(room, ("echo", [1]))
    assert "failed to parse function arguments" in done.outputs[0]
    assert done.items == []


async def test_progress_is_an_event(room):
    described(room, tools=["progress"])
    done = await turn(room, ("progress", {}))
    assert [one.text for one in done.events if isinstance(one, McpProgress)] == ["half way"]


async def test_a_new_tool_is_in_the_next_request(room):
    described(room, tools=["grow"])
    done = await turn(room, ("grow", {}), ("grow", {}))
    last = [spec for spec in done.model.requests[-1].tools if spec.name == "mcp__tiny"]
    assert "grown" in [tool.name for tool in last[0].tools]


async def test_a_broken_server_is_one_warning_and_the_turn_goes_on(room):
    described(room, start="crash")
    described(room, name="good")
    done = await turn(room, ("echo", {"text": "hi"}), server="good")
    assert done.warnings.count(
        "MCP server 'tiny' has ended; stderr: cannot find my settings"
    ) == 1  # fmt: skip
    assert done.items[0].status == "completed"


async def test_a_late_server_delays_no_longer_than_its_deadline(room):
    described(room, "startup_timeout_ms = 200", start="silent")
    done = await turn(room)
    assert "MCP server 'tiny' was not ready after 0.2 s" in done.warnings


async def test_a_required_server_that_fails_is_an_error(room):
    described(room, "required = true", start="crash")
    with pytest.raises(McpError, match="a required server is missing: MCP server 'tiny' has ended"):
        await turn(room)


async def test_settings_that_are_wrong_name_the_key(room):
    described(room, 'url = "http://localhost"')
    with pytest.raises(ConfigError, match=r"config\.toml:\d+: mcp_servers\.tiny\.url: "):
        await turn(room)


async def test_the_user_answers_what_a_server_asks(room):
    described(room, tools=["ask"])

    async def elicit(asked):
        assert asked.server == "tiny"
        return ElicitationAnswer(action="accept", content={"name": "Ada"})

    done = await turn(room, ("ask", {}), elicitor=elicit)
    assert '"name": "Ada"' in done.items[0].result.content[0]["text"]


async def test_interrupting_a_turn_cancels_the_call(room):
    log = room / "log"
    described(room, tools=["hang"], log=str(log))
    model = ScriptedModel().calls_raw("hang", "{}", namespace="mcp__tiny").says("Done.")
    async with asyncio.timeout(30), Engine.open(model=model, home=room / "home") as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        async with thread.stream("go") as running:
            seen = []
            async for event in running:
                seen.append(event)
                if type(event).__name__ == "ItemStarted" and isinstance(event.item, McpToolCall):
                    await until(lambda: '"hang"' in log.read_text())
                    await running.interrupt()
        await thread.mcp.resources("tiny")  # answered after whatever came before
    ended = [one.item for one in seen if isinstance(one, ItemCompleted)]
    (item,) = [one for one in ended if isinstance(one, McpToolCall)]
    assert (item.status, item.error) == ("failed", "MCP tool call was cancelled")
    assert "notifications/cancelled" in log.read_text()


async def test_resources_are_listed_and_read(room):
    described(room)
    done = await turn(
        room,
        ("list_mcp_resources", {}),
        ("list_mcp_resources", {"server": "tiny"}),
        ("list_mcp_resource_templates", {}),
        ("read_mcp_resource", {"server": "tiny", "uri": "tiny://one"}),
        ("read_mcp_resource", {"server": "nobody", "uri": "tiny://one"}),
    )
    everything, one, templates, read, nobody = done.outputs
    assert json.loads(everything) == {
        "resources": [{"server": "tiny", "uri": "tiny://one", "name": "one"}]
    }
    assert json.loads(one) == {
        "server": "tiny", "resources": [{"uri": "tiny://one", "name": "one"}],
    }  # fmt: skip
    assert json.loads(templates)["resourceTemplates"][0]["uriTemplate"] == "tiny://{name}"
    assert json.loads(read)["contents"] == [{"uri": "tiny://one", "text": "contents"}]
    assert nobody == "there is no MCP server 'nobody'\nThere are: tiny."


async def test_the_state_of_servers_can_be_seen(room):
    described(room)
    described(room, name="broken", start="crash")
    async with Engine.open(model=ScriptedModel(), home=room / "home") as engine:
        thread = await engine.start_thread(cwd=room / "work", sandbox=Sandbox.read_only())
        broken, tiny = await thread.mcp.statuses()
        (prompt,) = await thread.mcp.prompts("tiny")
    assert (broken.name, broken.state, tiny.state) == ("broken", "failed", "ready")
    assert (list(tiny.tools), tiny.resources[0].uri, tiny.auth) == (
        ["echo"], "tiny://one", "unsupported",
    )  # fmt: skip
    assert prompt.name == "greet"


async def test_a_session_without_servers_loads_nothing_of_it(room):
    script = (
        "import asyncio, sys\n"
        "from octavo.api.engine import Engine\n"
        "from octavo.testing import ScriptedModel\n"
        "async def main():\n"
        f"    async with Engine.open(model=ScriptedModel().says('x'), home={str(room / 'home')!r}) as e:\n"
        f"        await (await e.start_thread(cwd={str(room / 'work')!r})).run('go')\n"
        "asyncio.run(main())\n"
        "print(*sorted(n for n in sys.modules if n.split('.')[0] in ('mcp', 'pydantic', 'anyio')"
        " or n.startswith(('octavo.mcp', 'octavo.tools.mcp', 'octavo.config.mcp'))))"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    assert (child.returncode, said.decode().strip()) == (0, "")


async def test_unknown_keys_are_a_warning(room):
    described(room, "tool_timeout = 3")
    done = await turn(room)
    (warning,) = [text for text in done.thread.warnings if "tool_timeout" in text]
    assert "mcp_servers.tiny.tool_timeout: unknown key" in warning


async def test_servers_are_seen_without_a_thread(room):
    described(room)
    described(room, "sandbox = true", name="inside")
    async with Engine.open(model=ScriptedModel(), home=room / "home") as engine:
        inside, tiny = [shown(one) for one in await engine.mcp_servers(room / "work")]
    assert (inside["name"], inside["tools"]) == ("inside", {})
    assert tiny == {
        "name": "tiny",
        "tools": {
            "echo": {
                "name": "echo",
                "description": "Does echo.",
                "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
                "annotations": {"readOnlyHint": True},
            }
        },
        "resources": [{"uri": "tiny://one", "name": "one"}],
        "resourceTemplates": [{"uriTemplate": "tiny://{name}", "name": "any"}],
        "authStatus": "unsupported",
    }


async def test_a_recording_plays_without_the_server(room):
    described(room, tools=["echo", "write"])
    model = ScriptedModel()
    for tool in ("echo", "write"):
        model.calls_raw(tool, '{"text": "hi"}', namespace="mcp__tiny")
    model.says("Done.")
    async with Engine.open(model=model, home=room / "home") as engine:
        thread = await engine.start_thread(
            cwd=room / "work", sandbox=Sandbox.read_only(), record=room / "tape"
        )
        await thread.run("go")
        await thread.close()
    (room / "home" / "config.toml").unlink()
    _, played = play_file(str(room / "tape"))
    ended = [event.item for event in played if isinstance(event, ItemCompleted)]
    calls = [one for one in ended if isinstance(one, McpToolCall)]
    assert [(one.tool, one.status) for one in calls] == [("echo", "completed"), ("write", "failed")]


@pytest.mark.linux
async def test_in_the_sandbox_a_server_cannot_write(room):
    outside = room / "outside"
    described(room, "sandbox = true", tools=["touch", "echo"])
    done = await turn(room, ("echo", {}), ("touch", {"text": str(outside)}))
    assert not outside.exists()
    assert [item.status for item in done.items] == ["completed", "failed"]
    assert "Read-only file system" in done.items[1].error
    free = room / "free"
    described(room, name="free", tools=["touch"])
    await turn(room, ("touch", {"text": str(free)}), server="free")
    assert free.exists()
