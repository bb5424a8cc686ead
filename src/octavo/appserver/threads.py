"""Methods about threads: start, resume, fork, list, read, name, put aside."""

import uuid
from typing import TYPE_CHECKING, Any, Final

from octavo._version import __version__
from octavo.api.options import ThreadOptions
from octavo.api.workspace import real
from octavo.appserver import params, views
from octavo.appserver.dynamic import tools_of
from octavo.appserver.errors import MethodError, invalid
from octavo.appserver.goals import show_goal
from octavo.appserver.host import Host
from octavo.appserver.inputs import flags_of, known
from octavo.protocol.history import Unknown
from octavo.protocol.ids import ThreadId
from octavo.protocol.wire import item_from
from octavo.store.base import ThreadInfo
from octavo.store.disk import DiskStore
from octavo.store.display import item_from_wire, legacy_item
from octavo.store.errors import ThreadNotFound
from octavo.store.thread import LoadedThread, display_lines

if TYPE_CHECKING:
    from octavo.api.thread import Thread
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

PAGE: Final = 25
PREVIEW: Final = 200
POLICIES: Final = {
    "read-only": {"type": "readOnly", "networkAccess": False},
    "workspace-write": {
        "type": "workspaceWrite", "writableRoots": [], "networkAccess": False,
        "excludeTmpdirEnvVar": False, "excludeSlashTmp": False,
    },
    "danger-full-access": {"type": "dangerFullAccess"},
}  # fmt: skip
Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    method = table.method
    method("thread/start", params.ThreadStart)(start)
    method("thread/resume", params.ThreadResume)(resume)
    method("thread/fork", params.ThreadFork)(fork)
    method("thread/list", params.ThreadList)(list_)
    method("thread/search", params.ThreadSearch, tier="extended")(search)
    method("thread/read", params.ThreadRead)(read)
    method("thread/loaded/list")(loaded)
    method("thread/turns/list", params.Page)(turns)
    method("thread/items/list", params.ItemsPage)(items)
    method("thread/name/set", params.ThreadName)(name)
    method("thread/archive", params.OfThread)(archive)
    method("thread/unarchive", params.OfThread)(unarchive)
    method("thread/unsubscribe", params.OfThread)(unsubscribe)
    method("thread/delete", params.OfThread, tier="extended")(delete)
    method("thread/inject_items", params.InjectItems, tier="extended")(inject)


# ---- begin ------------------------------------------------------------------------------------


async def start(server: "Server", connection: "Connection", asked: params.ThreadStart) -> Json:
    """Begin a thread; the client hears of everything in it."""
    host = Host(server.group, server.now_ms)
    options = options_of(asked, host, cwd=real(asked.cwd), ephemeral=bool(asked.ephemeral))
    thread = await server.engine.open_thread(options)
    return _opened(server, connection, host, thread, asked, ephemeral=bool(asked.ephemeral))


async def resume(server: "Server", connection: "Connection", asked: params.ThreadResume) -> Json:
    """Load a thread from disk, or join one that is loaded."""
    thread_id = known(asked.thread_id)
    host = server.hosts.get(thread_id)
    if host is not None and host.facts is not None:
        host.subscribe(connection)
        result = {**host.settings, "thread": view(server, host)}
    else:
        host = Host(server.group, server.now_ms)
        options = options_of(asked, host, cwd=asked.cwd)
        thread = await _found(server.engine.reopen_thread(thread_id, options))
        result = _opened(server, connection, host, thread, asked, started=False)
    if not asked.exclude_turns:
        result["thread"]["turns"] = history(server, thread_id, "full")
    show_goal(server.hosts[thread_id], connection)
    return {
        **result,
        "initialTurnsPage": None,
        "turnsBackwardsCursor": None,
        "itemsBackwardsCursor": None,
        "collaborationMode": None,
    }


async def fork(server: "Server", connection: "Connection", asked: params.ThreadFork) -> Json:
    """Begin a thread with the history of another one."""
    source = known(asked.thread_id)
    host = Host(server.group, server.now_ms)
    options = options_of(asked, host, cwd=asked.cwd)
    thread = await _found(server.engine.open_thread(options, fork=source))
    named = _store(server).names().get(source)
    if named:
        _store(server).rename(ThreadId(thread.id), named)
    result = _opened(server, connection, host, thread, asked, forked_from=source, name=named)
    if not asked.exclude_turns:
        result["thread"]["turns"] = history(server, str(thread.id), "full")
    return result


def options_of(
    asked: params.Overrides, host: Host, *, cwd: str | None, ephemeral: bool = False
) -> ThreadOptions:
    """What a client asked for, as the engine takes it."""
    return ThreadOptions(
        cwd=cwd,
        approver=host.approve,
        ephemeral=ephemeral,
        source="vscode",
        goals=True,
        questioner=host.put,
        elicitor=host.elicit,
        tools=tools_of(asked.dynamic_tools, host.ask),
        flags=flags_of(asked),
        base_instructions=asked.base_instructions,
    )


async def _found(opening: Any) -> "Thread":  # noqa: ANN401 - a coroutine
    try:
        thread: Thread = await opening
    except ThreadNotFound as error:
        raise invalid(str(error)) from error
    return thread


def _opened(
    server: "Server",
    connection: "Connection",
    host: Host,
    thread: "Thread",
    asked: params.Overrides,
    *,
    ephemeral: bool = False,
    started: bool = True,
    forked_from: str | None = None,
    name: str | None = None,
) -> Json:
    facts = facts_of(server, thread, ephemeral=ephemeral, forked_from=forked_from, name=name)
    host.attach(thread, facts)
    server.hosts[facts.id] = host
    host.subscribe(connection)
    host.settings = settings_of(thread)
    result = {**host.settings, "thread": view(server, host)}
    if started:
        connection.tell("thread/started", {"thread": result["thread"]})
    for warning in thread.warnings:
        connection.tell("warning", {"threadId": facts.id, "message": warning})
    return result


def settings_of(thread: "Thread") -> Json:
    """What a thread runs with, as replies to start, resume and fork have it."""
    facts = thread.facts
    approval = facts.get("policy") or facts["approval"]
    return {
        "model": facts["model"],
        "modelProvider": facts["provider"],
        "cwd": facts["folder"],
        "approvalPolicy": approval if approval != "granular" else "on-request",
        "approvalsReviewer": facts.get("reviewer", "user"),
        "sandbox": POLICIES.get(facts["sandbox"], POLICIES["read-only"]),
        "reasoningEffort": facts.get("effort"),
        "serviceTier": None,
        "instructionSources": [],
        "runtimeWorkspaceRoots": [facts["folder"]],
        "disabledPluginIds": [],
        "activePermissionProfile": None,
        "multiAgentMode": None,
    }


def facts_of(
    server: "Server",
    thread: "Thread",
    *,
    ephemeral: bool,
    forked_from: str | None,
    name: str | None,
) -> views.ThreadFacts:
    now_s = server.now_ms() // 1000
    created = uuid.UUID(str(thread.id)).int >> 80
    return views.ThreadFacts(
        id=str(thread.id),
        cwd=thread.facts["folder"],
        provider=thread.facts["provider"],
        model=thread.facts["model"],
        name=name or (None if ephemeral else _store(server).names().get(str(thread.id))),
        path=None if ephemeral else thread.path,
        ephemeral=ephemeral,
        created_s=created // 1000 or now_s,
        updated_s=now_s,
        forked_from=forked_from,
        version=__version__,
    )


def view(server: "Server", host: Host) -> Json:
    """A loaded thread, without its turns."""
    assert host.facts is not None
    return views.thread(host.facts, status=host.status)


# ---- look -------------------------------------------------------------------------------------


async def list_(server: "Server", connection: "Connection", asked: params.ThreadList) -> Json:
    """Threads on disk, newest first, in pages."""
    cwds = (asked.cwd,) if isinstance(asked.cwd, str) else asked.cwd or (None,)
    found: dict[str, ThreadInfo] = {}
    for cwd in cwds:
        for info in server.engine.store.list(
            cwd=cwd, archived=bool(asked.archived), search=asked.search_term
        ):
            found.setdefault(info.id, info)
    infos = [info for info in found.values() if info.parent is None]
    if asked.model_providers:
        infos = [info for info in infos if info.model_provider in asked.model_providers]
    key = (lambda i: i.created_ms) if asked.sort_key != "updated_at" else (lambda i: i.updated_ms)
    infos.sort(key=key, reverse=asked.sort_direction != "asc")
    start = offset(asked.cursor)
    most = min(asked.limit or PAGE, 100)
    data = [listed(server, info) for info in infos[start : start + most]]
    more = start + most < len(infos)
    return {
        "data": data,
        "readStates": {},
        "nextCursor": str(start + most) if more else None,
        "backwardsCursor": None,
    }


async def search(server: "Server", connection: "Connection", asked: params.ThreadSearch) -> Json:
    """Threads on disk that have these words in their name or their first prompt."""
    found = await list_(
        server,
        connection,
        params.ThreadList(
            search_term=asked.search_term,
            cursor=asked.cursor,
            limit=asked.limit,
            sort_key=asked.sort_key,
            sort_direction=asked.sort_direction,
            archived=asked.archived,
        ),
    )
    return {
        "data": [{"thread": one, "snippet": one["preview"]} for one in found["data"]],
        "nextCursor": found["nextCursor"],
        "backwardsCursor": None,
    }


def listed(server: "Server", info: ThreadInfo) -> Json:
    """A thread as a list shows it."""
    host = server.hosts.get(info.id)
    status = views.NOT_LOADED if host is None else host.status
    return views.thread(facts_from(info), status=status)


def facts_from(info: ThreadInfo) -> views.ThreadFacts:
    return views.ThreadFacts(
        id=info.id,
        cwd=info.cwd,
        provider=info.model_provider or "",
        preview=info.preview,
        name=info.name,
        path=info.path,
        created_s=info.created_ms // 1000,
        updated_s=info.updated_ms // 1000,
        source=info.source,
        forked_from=info.forked_from,
        parent=info.parent,
        branch=info.branch,
        version=__version__,
    )


async def read(server: "Server", connection: "Connection", asked: params.ThreadRead) -> Json:
    """One thread, from disk or from memory."""
    thread_id = known(asked.thread_id)
    host = server.hosts.get(thread_id)
    if host is not None and host.facts is not None and host.facts.ephemeral:
        if asked.include_turns:
            raise invalid("an ephemeral thread keeps no turns")
        return {"thread": view(server, host), "readState": None}
    facts = host.facts if host is not None else None
    if facts is None:
        facts = disk_facts(server, thread_id)
    status = views.NOT_LOADED if host is None else host.status
    turns_ = history(server, thread_id, "full") if asked.include_turns else []
    return {"thread": views.thread(facts, status=status, turns=turns_), "readState": None}


def disk_facts(server: "Server", thread_id: str) -> views.ThreadFacts:
    """What is known of a thread that is not loaded. Raises MethodError when it is not there."""
    for archived in (False, True):
        for info in server.engine.store.list(archived=archived):
            if info.id == thread_id:
                return facts_from(info)
    raise invalid(f"no rollout found for thread id {thread_id}")


async def loaded(server: "Server", connection: "Connection", asked: object) -> Json:
    """The threads that are loaded."""
    return {"data": list(server.hosts), "nextCursor": None}


async def turns(server: "Server", connection: "Connection", asked: params.Page) -> Json:
    """The turns of a thread, in pages."""
    view_ = asked.items_view or "full"
    found = history(server, known(asked.thread_id), view_)
    return paged(found, asked)


async def items(server: "Server", connection: "Connection", asked: params.ItemsPage) -> Json:
    """The items of a thread or of one turn, in pages."""
    found = [
        {"turnId": turn["id"], "item": item, "startedAtMs": None, "completedAtMs": None}
        for turn in history(server, known(asked.thread_id), "full")
        for item in turn["items"]
        if asked.turn_id in (None, turn["id"])
    ]
    return paged(found, asked)


def paged(found: list[Json], asked: params.Page) -> Json:
    ordered = views.ordered(found, descending=asked.sort_direction != "asc")
    start = offset(asked.cursor)
    most = min(asked.limit or PAGE, 1000)
    more = start + most < len(ordered)
    return {
        "data": ordered[start : start + most],
        "nextCursor": str(start + most) if more else None,
        "backwardsCursor": None,
    }


def history(server: "Server", thread_id: str, view_: str) -> list[Json]:
    """The turns of a thread as its file tells them, oldest first."""
    try:
        loaded_ = server.engine.store.read(ThreadId(thread_id))
    except ThreadNotFound:
        if thread_id in server.hosts:
            return []  # nothing was written yet
        raise invalid(f"no rollout found for thread id {thread_id}") from None
    shown: dict[str, list[Json]] = {}
    if view_ != "notLoaded":
        store = _store(server)
        last = ""
        for number, (turn_id, raw) in enumerate(display_lines(loaded_.path, home=store.home)):
            last = str(turn_id or last)
            item = item_from_wire(raw) if turn_id else legacy_item(raw, number)
            shape = None if item is None else views.item(item)
            if shape is not None:
                shown.setdefault(last, []).append(shape)
    return [turn_of(one, shown, view_) for one in loaded_.turns]


def turn_of(turn: Any, shown: dict[str, list[Json]], view_: str) -> Json:  # noqa: ANN401 - a Turn of the store
    """A turn from disk."""
    status = {"open": "interrupted"}.get(turn.status, turn.status)
    started = turn.started_at
    ended = None
    if started is not None and turn.duration_ms is not None:
        ended = started + turn.duration_ms // 1000
    return views.turn(
        turn.id,
        status,
        items_=shown.get(turn.id, []),
        view=view_,
        started_s=started,
        completed_s=ended,
        duration_ms=turn.duration_ms,
    )


# ---- change -----------------------------------------------------------------------------------


async def name(server: "Server", connection: "Connection", asked: params.ThreadName) -> Json:
    """Name a thread."""
    thread_id = known(asked.thread_id)
    _store(server).rename(ThreadId(thread_id), asked.name)
    host = server.hosts.get(thread_id)
    notice = {"threadId": thread_id, "threadName": asked.name}
    if host is None:
        connection.tell("thread/name/updated", notice)
    else:
        assert host.facts is not None
        host.facts = views.ThreadFacts(**{**fields(host.facts), "name": asked.name})
        host.tell("thread/name/updated", notice)
    return {}


def fields(facts: views.ThreadFacts) -> Json:
    return {key: getattr(facts, key) for key in facts.__struct_fields__}


async def archive(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """Put a thread aside."""
    thread_id = known(asked.thread_id)
    host = server.hosts.pop(thread_id, None)
    if host is not None:
        await host.close()
    _store(server).archive(ThreadId(thread_id))
    for method, more in (
        ("thread/status/changed", {"status": views.NOT_LOADED}),
        ("thread/archived", {}),
    ):
        connection.tell(method, {"threadId": thread_id, **more})
    return {}


async def unarchive(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """Bring a thread back."""
    thread_id = known(asked.thread_id)
    _store(server).unarchive(ThreadId(thread_id))
    connection.tell("thread/unarchived", {"threadId": thread_id})
    facts = disk_facts(server, thread_id)
    return {"thread": views.thread(facts, status=views.NOT_LOADED)}


async def unsubscribe(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """Hear no more of a thread."""
    host = server.hosts.get(asked.thread_id)
    was = host is not None and host.unsubscribe(connection)
    return {"status": "unsubscribed" if was else "notSubscribed"}


async def delete(server: "Server", connection: "Connection", asked: params.OfThread) -> Json:
    """Remove a thread for good."""
    thread_id = known(asked.thread_id)
    host = server.hosts.pop(thread_id, None)
    if host is not None:
        await host.close()
    server.engine.store.delete(ThreadId(thread_id))
    return {}


async def inject(server: "Server", connection: "Connection", asked: params.InjectItems) -> Json:
    """Put items into a thread's history, as the model would see them."""
    host = server.host(known(asked.thread_id))
    items_ = [item_from(dict(raw)) for raw in asked.items]
    plain = [item for item in items_ if not isinstance(item, Unknown)]
    if len(plain) != len(items_):
        raise invalid("Invalid request: `items` holds something that is no item")
    assert host.thread is not None
    host.thread.tell(plain)  # type: ignore[arg-type]  # any known item may be recorded
    return {}


# ---- helpers ----------------------------------------------------------------------------------


def offset(cursor: str | None) -> int:
    """Where a page begins. Raises MethodError for a cursor that is none of ours."""
    if cursor is None:
        return 0
    if not cursor.isdigit():
        raise invalid(f"invalid cursor: {cursor}")
    return int(cursor)


def _store(server: "Server") -> DiskStore:
    store = server.engine.store
    if not isinstance(store, DiskStore):
        raise MethodError(-32603, "this server keeps no threads")
    return store


__all__ = ["LoadedThread", "declare"]
