"""Methods that go on: a path that is watched, a search that follows what is typed.

Both belong to the client that began them and end with it. Paths are looked at a few times a
second: that works the same on every system and on every file system.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octavo.appserver import params
from octavo.appserver.errors import invalid
from octavo.appserver.files import absolute, found_in

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

LOOK_S: Final = 0.25
MOST_WATCHED: Final = 64
"""Paths one client may watch."""
MOST_ENTRIES: Final = 10_000
"""Of a folder that is watched; changes beyond them are not told."""
Json = dict[str, Any]
State = dict[str, tuple[int, int, int]]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("fs/watch", params.FsWatch, tier="extended")(watch)
    table.method("fs/unwatch", params.FsUnwatch, tier="extended")(unwatch)
    table.method("fuzzyFileSearch/sessionStart", params.SearchStart, tier="extended")(begin)
    table.method("fuzzyFileSearch/sessionUpdate", params.SearchUpdate, tier="extended")(update)
    table.method("fuzzyFileSearch/sessionStop", params.SearchSession, tier="extended")(stop)


# ---- paths ------------------------------------------------------------------------------------


async def watch(server: "Server", connection: "Connection", asked: params.FsWatch) -> Json:
    """Hear of changes of a file, or of the entries of a folder, until `fs/unwatch`."""
    path = absolute(asked.path)
    if asked.watch_id in connection.watches:
        raise invalid(f"there is a watch with the id {asked.watch_id!r} already")
    if len(connection.watches) >= MOST_WATCHED:
        raise invalid(f"at most {MOST_WATCHED} paths can be watched at once")
    before = await asyncio.to_thread(state_of, path)
    watching = server.group.create_task(follow(connection, asked.watch_id, path, before))
    connection.watches[asked.watch_id] = watching
    return {"path": str(path)}


async def unwatch(server: "Server", connection: "Connection", asked: params.FsUnwatch) -> Json:
    """Hear no more of a path."""
    watching = connection.watches.pop(asked.watch_id, None)
    if watching is not None:
        watching.cancel()
    return {}


async def follow(connection: "Connection", watch_id: str, path: Path, before: State) -> None:
    """Tell each change."""
    while True:
        await asyncio.sleep(LOOK_S)
        now = await asyncio.to_thread(state_of, path)
        changed = sorted(
            name for name in before.keys() | now.keys() if before.get(name) != now.get(name)
        )
        if changed:
            told = {"watchId": watch_id, "changedPaths": changed}
            connection.tell("fs/changed", told)
        before = now


def state_of(path: Path) -> State:
    """What can be seen of a path: the file itself, or the entries of a folder."""
    found: State = {}
    paths = [path]
    try:
        if path.is_dir():
            paths = [one for one, _ in zip(path.iterdir(), range(MOST_ENTRIES), strict=False)]
    except OSError:
        pass
    for one in paths:
        try:
            seen = one.lstat()
        except OSError:
            continue
        found[str(one)] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
    return found


# ---- search -----------------------------------------------------------------------------------


async def begin(server: "Server", connection: "Connection", asked: params.SearchStart) -> Json:
    """Begin a search whose words change while somebody types."""
    for root in asked.roots:
        absolute(root)
    connection.searches[asked.session_id] = asked.roots
    return {}


async def update(server: "Server", connection: "Connection", asked: params.SearchUpdate) -> Json:
    """Search for other words; the results come as a notice."""
    roots = connection.searches.get(asked.session_id)
    if roots is None:
        raise invalid(f"there is no search with the id {asked.session_id!r}")
    files = await asyncio.to_thread(found_in, asked.query, roots)
    told = {"sessionId": asked.session_id, "query": asked.query, "files": files}
    if asked.session_id in connection.searches:
        connection.tell("fuzzyFileSearch/sessionUpdated", told)
        connection.tell("fuzzyFileSearch/sessionCompleted", {"sessionId": asked.session_id})
    return {}


async def stop(server: "Server", connection: "Connection", asked: params.SearchSession) -> Json:
    """End a search."""
    connection.searches.pop(asked.session_id, None)
    return {}
