"""A server made with the protocol's own package: the same calls."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no programs as servers on Windows yet", allow_module_level=True)

from octavo.protocol.mcp import McpServer, StdioTransport

SERVER = """
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("real", instructions="A real server.")

class Name(BaseModel):
    name: str

@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

@server.tool()
async def greet(context: Context) -> str:
    await context.report_progress(1, 2, "asking")
    answer = await context.elicit("Who are you?", Name)
    return f"Hello {answer.data.name}" if answer.action == "accept" else answer.action

@server.resource("notes://one")
def note() -> str:
    return "remember the milk"

server.run()
"""


@pytest.mark.slow
async def test_it_works_with_the_package_of_the_protocol(fleet, tmp_path):
    from octavo.protocol.mcp import ElicitationAnswer

    script = tmp_path / "server.py"
    script.write_text(SERVER)
    transport = StdioTransport(command=sys.executable, args=(str(script),))

    async def elicit(_asked):
        return ElicitationAnswer(action="accept", content={"name": "Ada"})

    heard = []
    async with fleet(McpServer(name="real", transport=transport), elicit=elicit) as servers:
        one = servers.server("real")
        added = await one.call("add", {"a": 2, "b": 3})
        greeted = await one.call("greet", {}, progress=heard.append)
        read = await one.ask(lambda it: it.read("notes://one"))
        wrong = await one.call("add", {"a": "x"})
        assert one.instructions == "A real server."
        assert [(tool.name, tool.read_only) for tool in one.tools] == [
            ("add", True), ("greet", False),
        ]  # fmt: skip
    assert added.structured == {"result": 5}
    assert greeted.content[0]["text"] == "Hello Ada"
    assert heard == ["asking"]
    assert read[0]["text"] == "remember the milk"
    assert wrong.is_error
