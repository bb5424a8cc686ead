"""`python`: an interpreter that remembers, inside the sandbox of the thread's commands.

It starts with the first call and lives until the thread ends, is told to begin anew, or takes too
long: then it is interrupted, and ended when that does not help. The model is told what is lost.
"""

import asyncio
import signal
import sys
from importlib import resources
from typing import Final

import msgspec
from msgspec import Struct

from octavo.model.request import FunctionTool
from octavo.policy.paths import printable
from octavo.process.child import end
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol.errors import OctavoError
from octavo.protocol.events import ItemCompleted, ItemStarted
from octavo.protocol.items import ToolUse
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.sandbox.confined import Confined
from octavo.tools.arguments import parsed, schema, whole
from octavo.tools.base import ToolCall, ToolContext, ToolOutput
from octavo.tools.environment import command_environment
from octavo.tools.truncate import shorten_text

if sys.platform == "win32":
    from octavo.process.watching_windows import Reader, Writer
else:
    from octavo.process.watching import Reader, Writer

TIMEOUT_MS: Final = 30_000
LONGEST_MS: Final = 600_000
KIND_S: Final = 1.0
"""After a KeyboardInterrupt the code gets so long to end."""
CHUNK: Final = 1 << 16
MOST_DENIALS: Final = 10
MOST_LINE: Final = 8 << 20
ANEW: Final = "A new interpreter: nothing is defined."
LOST: Final = "The interpreter has ended; what was defined is lost."

SPEC: Final = FunctionTool(
    name="python",
    description="Run Python in an interpreter that remembers what earlier calls defined. The value "
    "of a last expression is printed; `await` works. It runs in the same sandbox as commands.",
    parameters=schema(
        {
            "code": {"type": "string"},
            "timeout_ms": {"type": "number", "description": f"Usually {TIMEOUT_MS}."},
            "reset": {"type": "boolean", "description": "Begin with a new interpreter."},
        },
        required=("code",),
    ),
)


class Arguments(Struct):
    """Of `python`."""

    code: str
    timeout_ms: float | None = None
    reset: bool = False


class Reply(Struct):
    """What the interpreter answers."""

    ok: bool
    output: str


class EndedError(OctavoError):
    """The interpreter is gone."""


class Interpreter:
    """A running interpreter: questions in, answers out."""

    def __init__(self, confined: Confined) -> None:
        self.confined = confined
        self._child = confined.child
        into, out = self._child.stdin_fd, self._child.stdout_fd
        assert into is not None
        assert out is not None
        self._input, self._output = Writer(into), Reader(out)
        self._received = bytearray()
        self._told = 0

    async def ask(self, code: str) -> Reply:
        """Run code. Raises EndedError when the interpreter ends instead of answering."""
        await self._write(msgspec.json.encode({"code": code}) + b"\n")
        return await self.answer()

    async def answer(self) -> Reply:
        """The answer to what was asked. Raises EndedError."""
        while (at := self._received.find(b"\n")) < 0:
            await self._read()
        line = bytes(self._received[:at])
        del self._received[: at + 1]
        try:
            return msgspec.json.decode(line, type=Reply)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise EndedError("the interpreter answered nonsense") from error

    def interrupt(self) -> None:
        """KeyboardInterrupt."""
        self._child.send_signal(signal.SIGINT)

    def refused(self) -> list[str]:
        """What the sandbox refused since the last look, one line each."""
        found = self.confined.denials()
        new, self._told = found[self._told :], len(found)
        return [
            f"Sandbox denied: {one.operation} {printable(one.subject)} — {one.rule}"
            for one in new[:MOST_DENIALS]
        ]

    async def end(self) -> None:
        """It and all it has started."""
        try:
            await end(self._child, grace_s=0)
        finally:
            self._input.close()
            self._output.close()
            self._child.close()

    async def _write(self, data: bytes) -> None:
        try:
            await self._input.write(data)
        except OSError as error:
            raise EndedError(LOST) from error

    async def _read(self) -> None:
        try:
            data = await self._output.read(CHUNK)
        except OSError:
            data = b""
        if not data or len(self._received) > MOST_LINE:
            raise EndedError(LOST)
        self._received += data


class PythonRepl:
    """The tool. Whoever makes it closes it."""

    spec = SPEC
    parallel = False

    def __init__(self, *, python: str = sys.executable) -> None:
        self._python = python
        self._running: Interpreter | None = None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Run the code. Raises UsageError, SandboxUnavailable."""
        asked = parsed(call, Arguments)
        item = ToolUse(id=call.item_id, tool="python", arguments=asked.code)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))
        ended = msgspec.structs.replace(item, status="failed")
        try:
            text, ok = await self._run(asked, call, context)
            text = shorten_text(text, context.output_tokens * BYTES_PER_TOKEN)
            status = "completed" if ok else "failed"
            ended = msgspec.structs.replace(item, output=text, status=status)
        finally:
            context.emit(ItemCompleted(turn_id=context.turn_id, item=ended))
        return ToolOutput(output=text, success=ok)

    async def close(self) -> None:
        """End the interpreter, if there is one."""
        running, self._running = self._running, None
        if running is not None:
            await running.end()

    async def _run(
        self, asked: Arguments, call: ToolCall, context: ToolContext
    ) -> tuple[str, bool]:
        if asked.reset:
            await self.close()
        notes = [""]
        if self._running is None:
            self._running = await self._started(call, context)
            notes = [ANEW]
        limit_s = min(whole(asked.timeout_ms) or TIMEOUT_MS, LONGEST_MS) / 1000
        done = False
        try:
            reply = await self._answer(self._running, asked.code, limit_s)
            done = True
        except EndedError as error:
            reply = Reply(ok=False, output=str(error))
        finally:
            notes += self._running.refused()
            if not done:
                await self.close()
        text = "\n".join([*notes[:1], reply.output.rstrip("\n"), *notes[1:]])
        return text.strip("\n"), reply.ok

    @staticmethod
    async def _answer(running: Interpreter, code: str, limit_s: float) -> Reply:
        """The reply; after the limit a KeyboardInterrupt, then the end. Raises EndedError."""
        try:
            async with asyncio.timeout(limit_s):
                return await running.ask(code)
        except TimeoutError:
            running.interrupt()
        try:
            async with asyncio.timeout(KIND_S):
                late = await running.answer()
        except TimeoutError:
            raise EndedError(f"timed out after {limit_s:g} s. {LOST}") from None
        return Reply(ok=False, output=f"{late.output}\n[interrupted after {limit_s:g} s]")

    async def _started(self, call: ToolCall, context: ToolContext) -> Interpreter:
        source = resources.files("octavo.tools").joinpath("repl_driver.py").read_text("utf-8")
        env = command_environment(call, context, terminal=False, escalated=False)
        spec = ProcessSpec(
            argv=(self._python, "-I", "-u", "-c", source),
            env=env,
            cwd=context.cwd,
            stdio=Pipes(stdin=True, merge_stderr=True),
        )
        return Interpreter(await context.launcher.start(spec))
