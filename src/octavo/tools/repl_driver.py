"""Runs inside the sandbox: Python that remembers, one JSON line in, one JSON line out.

Stands alone: it is handed to another interpreter as text. What the code prints, also through
programs it starts, is caught in a file without a name and sent back whole, or cut in the middle.
"""

import ast
import asyncio
import inspect
import json
import os
import sys
import tempfile
import traceback

MOST = 1 << 20
COMPILED = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def unnamed() -> int:
    """A file for output that takes no place in any folder."""
    create = getattr(os, "memfd_create", None)  # Linux's
    if create is not None:
        return int(create("output"))
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def piece(fd: int, length: int, at: int) -> bytes:
    """Some bytes of a file."""
    os.lseek(fd, at, os.SEEK_SET)
    return os.read(fd, length)


def output(fd: int) -> str:
    """What was printed; the middle left out when it is too long."""
    length = os.fstat(fd).st_size
    if length <= MOST:
        return piece(fd, length, 0).decode(errors="replace")
    half = MOST // 2
    head = piece(fd, half, 0).decode(errors="replace")
    tail = piece(fd, half, length - half).decode(errors="replace")
    return f"{head}\n[{length - MOST} bytes left out]\n{tail}"


def run(code: str, scope: dict[str, object], loop: asyncio.AbstractEventLoop) -> bool:
    """Run a piece of code; the value of a last expression is printed. False when it raised."""
    try:
        tree = ast.parse(code, "<python>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        if tree.body:
            evaluate(compile(tree, "<python>", "exec", COMPILED), scope, loop)
        if last is not None:
            assert isinstance(last, ast.Expr)
            compiled = compile(ast.Expression(last.value), "<python>", "eval", COMPILED)
            value = evaluate(compiled, scope, loop)
            if value is not None:
                scope["_"] = value
                sys.stdout.write(f"{value!r}\n")
    except SystemExit as ended:
        sys.stdout.write(f"SystemExit: {ended.code}\n")
        return False
    except BaseException:  # noqa: BLE001 - whatever the code raises is its answer
        kind, error, trace = sys.exc_info()
        while trace is not None and trace.tb_frame.f_code.co_filename != "<python>":
            trace = trace.tb_next
        traceback.print_exception(kind, error, trace)
        return False
    return True


def evaluate(code: object, scope: dict[str, object], loop: asyncio.AbstractEventLoop) -> object:
    value = eval(code, scope)  # type: ignore[arg-type]  # noqa: S307 - the reason to be here
    return loop.run_until_complete(value) if inspect.iscoroutine(value) else value


def main() -> None:
    """Until the other side closes."""
    answers = os.dup(1)
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    loop = asyncio.new_event_loop()
    scope: dict[str, object] = {"__name__": "__main__", "__builtins__": __builtins__}
    sys.path.insert(0, "")
    for line in questions:
        caught = unnamed()
        os.dup2(caught, 1)
        os.dup2(caught, 2)
        try:
            ok = run(json.loads(line)["code"], scope, loop)
        except KeyboardInterrupt:
            ok = False
        sys.stdout.flush()
        sys.stderr.flush()
        reply = json.dumps({"ok": ok, "output": output(caught)}).encode() + b"\n"
        os.close(caught)
        while reply:
            reply = reply[os.write(answers, reply) :]


if __name__ == "__main__":
    main()
