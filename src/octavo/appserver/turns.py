"""Methods about turns: start, steer, interrupt, shorten, review."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from octavo.appserver import params, views
from octavo.appserver.errors import invalid
from octavo.appserver.inputs import external, known, mode_of, turn_flags, user_inputs
from octavo.engine.review import BaseBranch, Commit, Custom, Target, Uncommitted

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.host import Host
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("turn/start", params.TurnStart)(start)
    table.method("thread/settings/update", params.ThreadSettings, tier="extended")(settings)
    table.method("turn/steer", params.TurnSteer)(steer)
    table.method("turn/interrupt", params.TurnInterrupt)(interrupt)
    table.method("thread/compact/start", params.OfThread)(compact)
    table.method("review/start", params.ReviewStart, tier="extended")(review)


async def start(server: "Server", connection: "Connection", asked: params.TurnStart) -> Json:
    """Begin a turn; while one runs, the input joins it."""
    host = server.host(known(asked.thread_id))
    inputs = user_inputs(asked.input)
    flags = turn_flags(asked)
    if host.turn_id is None and (flags or asked.cwd is not None):
        await change(server, host, flags, asked.cwd)
    if asked.tool_output is not None:
        if asked.input:
            raise invalid("Invalid request: `toolOutput` stands in place of `input`")
        turn_id = await host.deliver(external(asked.tool_output))
    else:
        turn_id = await host.start(inputs, asked.output_schema, mode_of(asked.collaboration_mode))
    return {"turn": views.turn(turn_id, "inProgress")}


async def settings(
    server: "Server", connection: "Connection", asked: params.ThreadSettings
) -> Json:
    """Settings that hold from the next turn on."""
    host = server.host(known(asked.thread_id))
    if host.turn_id is not None:
        raise invalid("a turn is running in this thread")
    await change(server, host, turn_flags(asked), asked.cwd)
    return {}


async def change(server: "Server", host: "Host", flags: Json, cwd: str | None) -> None:
    """Settings that hold from this turn on. Raises MethodError where they cannot be changed."""
    assert host.thread is not None
    if cwd is not None and cwd != host.thread.facts["folder"]:
        flags = {**flags, "cwd": cwd}
    now = host.thread.facts
    known_ = {"model": now["model"], "sandbox_mode": now["sandbox"]}
    if not [key for key, value in flags.items() if known_.get(key) != value]:
        return
    await host.thread.reconfigure(
        {key: value for key, value in flags.items() if key != "cwd"}, cwd=flags.get("cwd")
    )


async def steer(server: "Server", connection: "Connection", asked: params.TurnSteer) -> Json:
    """More input for the turn that runs."""
    host = server.host(known(asked.thread_id))
    return {"turnId": await host.steer(asked.expected_turn_id, user_inputs(asked.input))}


async def interrupt(
    server: "Server", connection: "Connection", asked: params.TurnInterrupt
) -> Json:
    """Stop the turn; the reply comes when everything it ran has ended."""
    await server.host(known(asked.thread_id)).interrupt(asked.turn_id)
    return {}


async def review(server: "Server", connection: "Connection", asked: params.ReviewStart) -> Json:
    """Have changes reviewed, as a turn of the thread."""
    host = server.host(known(asked.thread_id))
    if host.turn_id is not None:
        raise invalid("a turn is running in this thread")
    turn_id = await host.review(target_of(asked.target))
    return {"turn": views.turn(turn_id, "inProgress"), "reviewThreadId": host.id}


def target_of(raw: Mapping[str, Any]) -> Target:
    """What is to be reviewed. Raises MethodError for a target nobody knows."""
    match dict(raw):
        case {"type": "uncommittedChanges"}:
            return Uncommitted()
        case {"type": "baseBranch", "branch": str(branch)}:
            return BaseBranch(branch=branch)
        case {"type": "commit", "sha": str(sha)}:
            return Commit(sha=sha)
        case {"type": "custom", "instructions": str(text)}:
            return Custom(instructions=text)
        case _:
            raise invalid("Invalid request: unknown or incomplete `target`")


async def compact(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """Shorten the history, as a turn of its own."""
    host = server.host(known(asked.thread_id))
    if host.turn_id is not None:
        raise invalid("a turn is running in this thread")
    await host.compact()
    return {}
