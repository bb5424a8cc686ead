"""An MCP server in a few lines, without the package: quick to start, and able to misbehave.

Its one argument is JSON: `tools` (names of those below, or whole descriptions), `start` (how it
misbehaves at once), `log` (a file that gets every line it hears).
"""

import base64
import json
import os
import signal
import struct
import sys
import zlib


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png():
    """One black pixel."""
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0\0\0\0")), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


HOW = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
HINTS = {
    "echo": {"readOnlyHint": True},
    "write": {},
    "tame": {"destructiveHint": False, "openWorldHint": False},
}


def describe(tool):
    if isinstance(tool, dict):
        return tool
    hints = HINTS.get(tool, {"readOnlyHint": True})
    return {
        "name": tool,
        "description": f"Does {tool}.",
        "inputSchema": TEXT,
        "annotations": hints,
    }


tools = [describe(one) for one in HOW.get("tools", ["echo"])]
waiting = {}


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(words, **more):
    return {"content": [{"type": "text", "text": words}], **more}


def call(number, params):
    given = params.get("arguments") or {}
    match params["name"]:
        case "echo" | "write" | "tame":
            words = str(given.get("text", ""))
            return text(words, structuredContent={"text": words})
        case "plain":
            return text("just words")
        case "picture":
            data = base64.b64encode(png()).decode()
            image = {"type": "image", "data": data, "mimeType": "image/png"}
            return {"content": [{"type": "text", "text": "look:"}, image]}
        case "bad":
            return text("it went wrong", isError=True)
        case "long":
            return text("x" * int(given["text"]))
        case "environment":
            return text(json.dumps({"env": dict(os.environ), "cwd": os.getcwd()}))
        case "touch":
            with open(given["text"], "w") as file:
                file.write("here")
            return text("done")
        case "die":
            sys.stderr.write("goodbye, cruel world\n")
            sys.stderr.flush()
            os._exit(7)
        case "hang":
            return None
        case "progress":
            token = params["_meta"]["progressToken"]
            send(
                method="notifications/progress",
                params={"progressToken": token, "progress": 1, "total": 2, "message": "half way"},
            )
            return text("done")
        case "grow":
            tools.append(describe("grown"))
            send(method="notifications/tools/list_changed")
            return text("grown")
        case "ask":
            waiting["q1"] = number
            form = {"type": "object", "properties": {"name": {"type": "string"}}}
            send(
                id="q1",
                method="elicitation/create",
                params={"message": "Who are you?", "requestedSchema": form},
            )
            return None
        case other:
            return text(f"no tool {other}", isError=True)


def answer(message):
    method, number = message.get("method"), message.get("id")
    if method is None:
        if number in waiting:
            send(id=waiting.pop(number), result=text(json.dumps(message.get("result"))))
        return
    params = message.get("params") or {}
    match method:
        case "initialize":
            send(
                id=number,
                result={
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": {
                        "tools": {"listChanged": True},
                        "resources": {},
                        "prompts": {},
                    },
                    "serverInfo": {"name": "tiny", "version": "1"},
                    "instructions": "A tiny server.",
                },
            )
        case "tools/list":
            if HOW.get("pages") and not params.get("cursor"):
                send(id=number, result={"tools": tools[:1], "nextCursor": "2"})
            else:
                send(id=number, result={"tools": tools[1:] if HOW.get("pages") else tools})
        case "tools/call":
            result = call(number, params)
            if result is not None:
                send(id=number, result=result)
        case "resources/list":
            send(id=number, result={"resources": [{"uri": "tiny://one", "name": "one"}]})
        case "resources/templates/list":
            one = {"uriTemplate": "tiny://{name}", "name": "any"}
            send(id=number, result={"resourceTemplates": [one]})
        case "resources/read":
            send(id=number, result={"contents": [{"uri": params["uri"], "text": "contents"}]})
        case "prompts/list":
            arguments = [{"name": "who", "required": True}]
            send(id=number, result={"prompts": [{"name": "greet", "arguments": arguments}]})
        case "prompts/get":
            words = {"type": "text", "text": f"Hello {params['arguments']['who']}"}
            send(id=number, result={"messages": [{"role": "user", "content": words}]})
        case _ if number is not None:
            send(id=number, error={"code": -32601, "message": "unknown method"})


match HOW.get("start"):
    case "garbage":
        sys.stdout.write("hello, I am a program\n")
        sys.stdout.flush()
    case "silent":
        sys.stdin.read()
        sys.exit()
    case "crash":
        sys.stderr.write("cannot find my settings\n")
        sys.exit(3)
    case "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    case "endless":
        while True:
            sys.stdout.write("x" * 1_000_000)

log = open(HOW["log"], "a") if "log" in HOW else None  # noqa: SIM115 - ends with the program
for line in sys.stdin:
    if log is not None:
        log.write(line)
        log.flush()
    answer(json.loads(line))
if HOW.get("start") == "stubborn":
    while True:
        signal.pause()
