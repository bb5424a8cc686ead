"""Tools by name; what goes wrong becomes an answer."""

import pytest

from octavo.model.request import FunctionTool, HostedTool, NamespaceTool
from octavo.protocol.errors import UsageError
from octavo.tools.base import ToolOutput
from octavo.tools.registry import Registry


class Noted:
    def __init__(self, spec, *, parallel=True):
        self.spec = spec
        self.parallel = parallel

    async def run(self, call, context):
        if call.arguments == "bad":
            raise UsageError("cannot", hint="Try good.")
        return ToolOutput(output=call.name)


def function(name):
    return FunctionTool(name=name, description="", parameters={})


async def test_a_call_finds_its_tool(world):
    space = NamespaceTool(name="n", description="", tools=(function("b"),))
    search = HostedTool(raw={"type": "web_search"})
    tools = Registry([Noted(function("a")), Noted(space, parallel=False)], hosted=[search])
    assert [type(spec) for spec in tools.specs()] == [FunctionTool, NamespaceTool, HostedTool]
    inside = world.call("b", "", namespace="n")
    assert (await tools.run(inside, world.context())).output == "b"
    assert tools.parallel(world.call("a", ""))
    assert not tools.parallel(inside)


async def test_an_unknown_tool_is_told(world):
    tools = Registry([])
    for call, name in ((world.call("x", ""), "x"), (world.call("x", "", namespace="m"), "m.x")):
        answer = await tools.run(call, world.context())
        assert (answer.output, answer.success) == (f"unsupported call: {name}", False)


async def test_a_failing_tool_tells_why_and_what_helps(world):
    answer = await Registry([Noted(function("a"))]).run(world.call("a", "bad"), world.context())
    assert (answer.output, answer.success) == ("cannot\nTry good.", False)


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(UsageError, match="two tools are called 'a'"):
        Registry([Noted(function("a")), Noted(function("a"))])


def test_a_stopped_call_says_how_long_it_ran(world):
    tools = Registry([])
    assert tools.aborted(world.call("x", ""), 0.01) == "aborted by user after 0.1s"
    shell = tools.aborted(world.call("exec_command", ""), 2.5)
    assert shell == "Wall time: 2.5 seconds\naborted by user"
