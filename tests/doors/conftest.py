"""Two ways into the same engine, told in the same words: the library in process, `exec` as a program."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.protocol import events, items
from octavo.testing import ModelServer, Script, ScriptedModel

SETTINGS = (
    'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
    "stream_max_retries = 2\n"
)
PATIENCE_S = 60


@dataclass
class Told:
    """What somebody who watched one turn knows."""

    thread: str = ""
    ending: str = ""
    messages: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    commands: list[dict] = field(default_factory=list)
    changes: list[list[tuple[str, str]]] = field(default_factory=list)
    plan: list[tuple[str, bool]] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    problem: str = ""
    input_tokens: int = 0
    open: set[str] = field(default_factory=set)
    """Items that began and did not end."""


Written = Callable[[Script], object]


class Door:
    """One folder, one home, one script; `ask` runs one turn."""

    def __init__(self, home: Path, cwd: Path) -> None:
        self.home = home
        self.cwd = cwd

    def settings(self, text: str) -> None:
        """The settings file of this home."""
        (self.home / "config.toml").write_text(text)

    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OCTAVO_", "CODEX_"))}
        return {**kept, "OCTAVO_HOME": str(self.home), "HOME": str(self.home)}

    def relative(self, path: str) -> str:
        return os.path.relpath(path, self.cwd)


class LibraryDoor(Door):
    """The engine in this process."""

    def script(self, write: Written) -> None:
        self.model = ScriptedModel()
        write(self.model)

    @property
    def tool_outputs(self) -> list[list[str]]:
        return [request.tool_outputs for request in self.model.requests]

    def said(self, number: int) -> str:
        """All words of a request."""
        return str(self.model.requests[number].input)

    def schema(self, number: int) -> object:
        wanted = self.model.requests[number].output_schema
        return None if wanted is None else wanted.schema

    async def ask(self, prompt, *, resume=None, fork=None, schema=None, stop=False) -> Told:
        told = Told()
        options = {"cwd": self.cwd, "sandbox": Sandbox.workspace_write()}
        async with Engine.open(model=self.model, home=self.home, environ=self.environ()) as engine:
            if resume is not None:
                thread = await engine.resume_thread(resume, **options)
            elif fork is not None:
                thread = await engine.fork_thread(fork, **options)
            else:
                thread = await engine.start_thread(**options)
            told.thread = thread.id
            async with (
                asyncio.timeout(PATIENCE_S),
                thread.stream(prompt, output_schema=schema) as turn,
            ):
                async for event in turn:
                    self.hear(event, told)
                    if stop and isinstance(event, events.ItemStarted):
                        await until_running(self.cwd)
                        await turn.interrupt()
        return told

    def hear(self, event: events.Event, told: Told) -> None:
        match event:
            case events.ItemStarted(item=item) if not isinstance(item, items.AgentMessage):
                told.open.add(item.id)
            case events.ItemCompleted(item=item):
                told.open.discard(item.id)
                self.item(item, told)
            case events.PlanUpdated(steps=steps):
                told.plan = [(step.text, step.status == "completed") for step in steps]
            case events.Retrying(message=message):
                told.retries.append(message)
            case events.TurnCompleted(usage=usage):
                told.ending, told.input_tokens = "completed", usage.input
            case events.TurnFailed(message=message):
                told.ending, told.problem = "failed", message
            case events.TurnInterrupted():
                told.ending = "interrupted"

    def item(self, item: items.Item, told: Told) -> None:
        match item:
            case items.AgentMessage(text=text):
                told.messages.append(text)
            case items.Reasoning(summary=summary):
                told.reasoning.append("\n".join(summary))
            case items.CommandExecution():
                told.commands.append({
                    "script": item.command[-1], "output": item.aggregated_output,
                    "exit_code": item.exit_code, "status": item.status,
                    "denied": {self.relative(one.subject): one.rule for one in item.denials},
                })  # fmt: skip
            case items.FileChange(changes=changes, status="completed"):
                told.changes.append([(one.kind, self.relative(one.path)) for one in changes])


class ExecDoor(Door):
    """`octavo exec --json` as a process of its own."""

    def __init__(self, home: Path, cwd: Path, program: str) -> None:
        super().__init__(home, cwd)
        self.program = program
        self.server = ModelServer()
        self.more = ""

    def settings(self, text: str) -> None:
        self.more = text

    def script(self, write: Written) -> None:
        write(self.server)

    @property
    def tool_outputs(self) -> list[list[str]]:
        return [request.tool_outputs for request in self.server.requests]

    def said(self, number: int) -> str:
        return json.dumps(self.server.requests[number].json["input"])

    def schema(self, number: int) -> object:
        form = self.server.requests[number].json.get("text", {}).get("format", {})
        return form.get("schema")

    async def ask(self, prompt, *, resume=None, fork=None, schema=None, stop=False) -> Told:
        super().settings(SETTINGS.format(url=self.server.url) + self.more)
        words = ["exec", "--json", "-s", "workspace-write"]
        if schema is not None:
            (self.home / "schema.json").write_text(json.dumps(schema))
            words += ["--output-schema", str(self.home / "schema.json")]
        if resume or fork:
            words += ["resume", resume] if resume else ["fork", fork]
        told = Told()
        async with asyncio.timeout(PATIENCE_S):
            child = await asyncio.create_subprocess_exec(
                self.program, *words, prompt, cwd=self.cwd, env=self.environ(),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            try:
                async for line in child.stdout:
                    event = json.loads(line)
                    self.hear(event, told)
                    if stop and event["type"] == "item.started":
                        await until_running(self.cwd)
                        child.send_signal(signal.SIGINT)
                noise = (await child.stderr.read()).decode()
                code = await child.wait()
            finally:
                if child.returncode is None:
                    child.kill()
        expected = {"completed": 0, "failed": 1, "": 1}
        assert code == expected[told.ending], noise
        told.ending = told.ending or "interrupted"
        return told

    def hear(self, event: dict, told: Told) -> None:
        match event:
            case {"type": "thread.started", "thread_id": thread}:
                told.thread = thread
            case {"type": "item.started", "item": {"id": item_id}}:
                told.open.add(item_id)
            case {"type": "item.completed", "item": item}:
                told.open.discard(item["id"])
                self.item(item, told)
            case {"type": "error", "message": message} if message.startswith("Reconnecting"):
                told.retries.append(message)
            case {"type": "turn.completed", "usage": usage}:
                told.ending, told.input_tokens = "completed", usage["input_tokens"]
            case {"type": "turn.failed", "error": {"message": message}}:
                told.ending, told.problem = "failed", message

    def item(self, item: dict, told: Told) -> None:
        match item:
            case {"type": "agent_message", "text": text}:
                told.messages.append(text)
            case {"type": "reasoning", "text": text}:
                told.reasoning.append(text)
            case {"type": "command_execution"}:
                told.commands.append({
                    "script": shlex.split(item["command"])[-1],
                    "output": item["aggregated_output"], "exit_code": item["exit_code"],
                    "status": item["status"],
                    "denied": {
                        self.relative(one["subject"]): one["rule"]
                        for one in item.get("denials", ())
                    },
                })  # fmt: skip
            case {"type": "file_change", "status": "completed", "changes": changes}:
                told.changes.append([(one["kind"], self.relative(one["path"])) for one in changes])
            case {"type": "todo_list", "items": steps}:
                told.plan = [(step["text"], step["completed"]) for step in steps]


async def until_running(cwd: Path) -> None:
    """A command of a story says that it runs by making this file."""
    while not (cwd / "running").exists():  # noqa: ASYNC110 - across processes a file is all there is
        await asyncio.sleep(0.01)


@pytest.fixture(params=["library", "exec"])
def door(request, octavo_home, workspace):
    if sys.platform == "win32":
        pytest.skip("no sandbox on Windows yet")
    (workspace / ".git").mkdir()
    if request.param == "library":
        yield LibraryDoor(octavo_home, workspace)
        return
    found = ExecDoor(octavo_home, workspace, request.getfixturevalue("program"))
    with found.server:
        yield found
