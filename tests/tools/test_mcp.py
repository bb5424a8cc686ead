"""Tools of MCP servers, with servers of the test's own."""

import pytest

from octavo.mcp.base import McpError, Reply
from octavo.mcp.names import named
from octavo.protocol.approvals import Decision, Granular, McpApproval
from octavo.protocol.events import ItemCompleted, ItemStarted, McpProgress
from octavo.protocol.mcp import McpServer, McpTool, StdioTransport
from octavo.tools.base import ToolCall
from octavo.tools.mcp import McpTools, Offer, asks, parameters
from octavo.tools.registry import Registry


class Fake:
    """Servers that answer at once."""

    def __init__(self, *tools, **settings):
        self.server = McpServer(name="s", transport=StdioTransport(command="x"), **settings)
        self.tools = list(tools)
        self.answer = Reply(content=({"type": "text", "text": "done"},))
        self.called = []

    def offers(self):
        names = named(("s", tool.name) for tool in self.tools)
        return [Offer(names["s", tool.name], self.server, tool) for tool in self.tools]

    def instructions(self, _server):
        return ""

    def names(self):
        return ["s"]

    async def call(self, server, tool, arguments, meta, hear):
        self.called.append((server, tool, arguments, sorted(meta)))
        if isinstance(self.answer, Exception):
            raise self.answer
        for step in range(3):
            hear(f"step {step}")
        return self.answer


READS = McpTool(name="look", read_only=True)
WRITES = McpTool(name="write")


def calling(tool, arguments="{}"):
    return ToolCall(call_id="c", name=tool, namespace="mcp__s", arguments=arguments)


def registry(servers):
    found = Registry()
    found.sources = (McpTools(servers),)
    return found


async def test_a_call_is_an_item_from_beginning_to_end(world):
    servers = Fake(READS)
    output = await registry(servers).run(calling("look", '{"a": 1}'), world.context())
    assert output.success
    assert output.text.endswith("done")
    assert servers.called == [("s", "look", {"a": 1}, ["call_id", "thread_id", "turn_id"])]
    kinds = [type(event) for event in world.events]
    assert kinds == [ItemStarted, McpProgress, ItemCompleted]  # the rest came too fast
    assert world.events[-1].item.arguments == {"a": 1}


async def test_an_error_of_the_server_ends_the_item(world):
    servers = Fake(READS)
    servers.answer = McpError("it is gone", hint="Start it.")
    output = await registry(servers).run(calling("look"), world.context())
    assert (output.success, output.text) == (False, "it is gone\nStart it.")
    item = world.events[-1].item
    assert (item.status, item.error) == ("failed", "it is gone\nStart it.")


async def test_a_tool_that_is_gone_is_unsupported(world):
    servers = Fake(READS)
    tools = registry(servers)
    servers.tools.clear()
    output = await tools.run(calling("look"), world.context())
    assert output.text == "unsupported call: mcp__s.look"


async def test_no_and_stop_end_differently(world):
    for decision, ends in ((Decision.deny("not now"), False), (Decision.abort(), True)):
        context = world.context(approver=answering(decision), approval_policy="on-request")
        output = await registry(Fake(WRITES)).run(calling("write"), context)
        assert output.ends_turn is ends
        assert output.text.startswith("user rejected MCP tool call")
        assert world.events[-1].item.status == "failed"


async def test_the_granular_policy_can_refuse_all_questions(world):
    for allowed in (True, False):
        granular = Granular(sandbox_approval=True, rules=True, mcp_elicitations=allowed)
        context = world.context(
            approver=answering(Decision.allow_once()),
            approval_policy="granular",
            granular=granular,
        )
        output = await registry(Fake(WRITES)).run(calling("write"), context)
        assert output.success is allowed


async def test_read_only_tools_run_side_by_side_and_in_plan_mode():
    tools = registry(Fake(READS, WRITES))
    assert [tools.parallel(calling(one)) for one in ("look", "write")] == [True, False]
    assert [tools.find(calling(one)).reads_only for one in ("look", "write")] == [True, False]
    everything = registry(Fake(WRITES, parallel=True))
    assert everything.parallel(calling("write"))


def answering(decision):
    async def approve(request):
        assert isinstance(request, McpApproval)
        assert request.keys == ("mcp\0s\0write",)
        return decision

    return approve


@pytest.mark.parametrize(
    ("tool", "auto", "writes", "prompt"),
    [
        (READS, False, False, True),
        (WRITES, True, True, True),
        (McpTool(name="t", destructive=False, open_world=False), False, True, True),
        (McpTool(name="t", destructive=False), True, True, True),
        (McpTool(name="t", destructive=True, read_only=True), False, False, True),
    ],
)
def test_what_is_asked_about(tool, auto, writes, prompt):
    found = [asks(mode, tool) for mode in ("auto", "writes", "prompt", "approve")]
    assert found == [auto, writes, prompt, False]


def test_schemas_are_what_model_apis_take():
    assert parameters({}) == {"type": "object", "properties": {}}
    given = {"$schema": "x", "type": "object", "properties": {"a": {}}, "required": ["a"]}
    assert parameters(given) == {"type": "object", "properties": {"a": {}}, "required": ["a"]}


def test_the_same_tools_are_always_told_in_the_same_words():
    tools = registry(Fake(WRITES, READS))
    assert tools.specs() == registry(Fake(WRITES, READS)).specs()
    assert [spec.name for spec in tools.specs()] == [
        "list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource", "mcp__s",
    ]  # fmt: skip
