"""What everybody uses who starts a program without a sandbox: hooks, keys, git, servers."""

import asyncio
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import env, python

    from octavo.engine.hook_runner import shell
    from octavo.process.child import StartError
    from octavo.process.run import run, start
    from octavo.process.spec import Pipes, ProcessSpec
    from octavo.process.watching_windows import Reader, Writer
    from octavo.sandbox.confined import Confined
    from octavo.tools.python_repl import EndedError, Interpreter

S = 30.0


def spec(words, cwd, **more):
    return ProcessSpec(argv=tuple(words), env=env(), cwd=str(cwd), **more)


def finished(words, cwd, **more):
    async def once():
        return await run(await start(spec(words, cwd)), timeout_s=S, **more)

    return asyncio.run(once())


def test_a_program_is_found_by_its_name(tmp_path):
    done = finished(("cmd", "/c", "echo hello"), tmp_path)
    assert done.stdout.text() == "hello\r\n"
    assert done.status.ok


def test_a_missing_program_is_the_users_error(tmp_path):
    with pytest.raises(StartError, match="no-such-program") as caught:
        finished(("no-such-program",), tmp_path)
    assert caught.value.shell_code == 127


def test_the_line_of_a_hook_is_read_by_the_systems_shell(tmp_path):
    done = finished(shell('echo "a b"&& exit 2'), tmp_path)
    assert done.stdout.text().strip() == '"a b"'
    assert done.status.code == 2


ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.flush()"


def with_echo(tmp_path, work):
    async def once():
        child = await start(spec(python(ECHO), tmp_path, stdio=Pipes(stdin=True)))
        into, out = Writer(child.stdin_fd), Reader(child.stdout_fd)
        try:
            async with asyncio.timeout(S):
                return await work(child, into, out)
        finally:
            into.close()
            out.close()
            child.close()

    return asyncio.run(once())


def test_lines_go_there_and_come_back_however_long_they_are(tmp_path):
    lines = [b"x" * size + b"\n" for size in (0, 1, 70_000, 300_000)]

    async def talk(child, into, out):
        found = []
        for line in lines:
            said = asyncio.ensure_future(into.write(line))
            heard = b""
            while not heard.endswith(b"\n"):
                heard += await out.read(1 << 16)
            await said
            found.append(heard)
        into.close()
        child.close_stdin()
        return found, await out.read(10), await out.read(10)

    assert with_echo(tmp_path, talk) == (lines, b"", b"")


def test_a_wait_that_is_given_up_loses_nothing(tmp_path):
    async def talk(child, into, out):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(out.read(10), 0.1)
        await into.write(b"words\n")
        return await out.read(10)

    assert with_echo(tmp_path, talk) == b"words\n"


def test_writing_to_who_has_gone_is_an_error(tmp_path):
    async def talk(child, into, out):
        child.kill()
        await child.wait()
        with pytest.raises(OSError, match="Windows error"):
            await into.write(b"words\n" * 100_000)

    with_echo(tmp_path, talk)


DRIVER = (
    "import sys, json\n"
    "for line in sys.stdin:\n"
    "    code = json.loads(line)['code']\n"
    "    if code == 'end': break\n"
    "    print(json.dumps({'ok': True, 'output': code * 2}), flush=True)"
)


def test_an_interpreter_answers_and_its_end_is_told(tmp_path):
    async def talk():
        child = await start(spec(python(DRIVER), tmp_path, stdio=Pipes(stdin=True)))
        running = Interpreter(Confined(child, rung="none"))
        try:
            async with asyncio.timeout(S):
                answers = [(await running.ask(code)).output for code in ("a", "b" * 100_000)]
                with pytest.raises(EndedError):
                    await running.ask("end")
        finally:
            await running.end()
        return answers

    assert asyncio.run(talk()) == ["aa", "b" * 200_000]
