"""How anything ends: one line on stderr for an error, one with what helps, and an exit code.

Without click, for the commands that cannot afford it.
"""

import os
import sys
from collections.abc import Callable
from typing import Final

from octavo.cli.words import one_line
from octavo.protocol.errors import InternalError, OctavoError

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 128 + 13


def guarded(work: Callable[[], int]) -> int:
    """Do it; whatever goes wrong becomes a line and a code. No traceback reaches a person."""
    try:
        return work()
    except OctavoError as problem:
        # a command that cannot be started has the code a shell gives; its class would load asyncio
        code = getattr(problem, "shell_code", problem.exit_code)
        return complain(str(problem), problem.hint, code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as problem:
        if os.environ.get("OCTAVO_LOG") == "debug":
            raise
        first = innermost(problem)
        text = f"a defect in Octavo: {type(first).__name__}: {first}"
        return complain(
            text, "OCTAVO_LOG=debug shows where; please report it", InternalError.exit_code
        )


def innermost(problem: BaseException) -> BaseException:
    """The first error itself, where several tasks ended together."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def complain(text: str, hint: str | None, code: int) -> int:
    """One line on stderr, and one with what helps."""
    lines = [f"octavo: {one_line(text)}\n"]
    if hint:
        lines.append(f"octavo: what helps: {one_line(hint)}\n")
    sys.stderr.buffer.write("".join(lines).encode(errors="backslashreplace"))
    sys.stderr.flush()
    return code
