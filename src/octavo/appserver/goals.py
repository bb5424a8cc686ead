"""Methods about the goal of a thread: what it works for by itself."""

from typing import TYPE_CHECKING, Any

from octavo.appserver import params, views
from octavo.appserver.errors import invalid
from octavo.appserver.inputs import known

if TYPE_CHECKING:
    from octavo.api.thread import Thread
    from octavo.appserver.connection import Connection
    from octavo.appserver.host import Host
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server
    from octavo.protocol.events import Goal

Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("thread/goal/set", params.GoalSet, tier="extended")(set_)
    table.method("thread/goal/get", params.OfThread, tier="extended")(get)
    table.method("thread/goal/clear", params.OfThread, tier="extended")(clear)


async def set_(server: "Server", connection: "Connection", asked: params.GoalSet) -> Json:
    """Give a thread a goal, or change the budget or the state of the one it has; an active goal is
    worked for at once."""
    host = server.host(known(asked.thread_id))
    goal = changed(loaded(host), asked)
    if goal.status == "active":
        await host.pursue()
    return {"goal": views.goal(goal, host.id)}


def changed(thread: "Thread", asked: params.GoalSet) -> "Goal":
    """The goal as the client wants it. Raises MethodError, UsageError."""
    if asked.status not in (None, "active", "paused"):
        raise invalid(f"a client cannot set the status `{asked.status}`: `active` or `paused`")
    if asked.objective is not None:
        goal = thread.set_goal(asked.objective, token_budget=asked.token_budget)
        return thread.pause_goal() if asked.status == "paused" else goal
    if asked.status == "paused":
        return thread.pause_goal()
    if asked.status is None and asked.token_budget is None:
        raise invalid("Invalid request: an objective, a status or a token budget is needed")
    return thread.resume_goal(token_budget=asked.token_budget)


async def get(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """The goal of a thread; null when there is none."""
    host = server.host(known(asked.thread_id))
    goal = loaded(host).goal
    return {"goal": None if goal is None else views.goal(goal, host.id)}


async def clear(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """Take the goal away."""
    return {"cleared": loaded(server.host(known(asked.thread_id))).clear_goal()}


def loaded(host: "Host") -> "Thread":
    """The thread of a host."""
    assert host.thread is not None
    return host.thread


def show_goal(host: "Host", connection: "Connection") -> None:
    """Tell a client that has just come what the thread works for."""
    goal = loaded(host).goal
    if goal is None:
        connection.tell("thread/goal/cleared", {"threadId": host.id})
        return
    shown = {"threadId": host.id, "turnId": host.turn_id, "goal": views.goal(goal, host.id)}
    connection.tell("thread/goal/updated", shown)
