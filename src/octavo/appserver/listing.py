"""Methods that list what a folder brings along: skills and hooks."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octavo.appserver import params
from octavo.appserver.errors import invalid
from octavo.protocol.errors import OctavoError

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server
    from octavo.config.hooks import FoundHook
    from octavo.config.skills import Skill

Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("skills/list", params.SkillsList, tier="extended")(skills)
    table.method("skills/config/write", params.SkillsWrite, tier="extended")(switch)
    table.method("hooks/list", params.HooksList, tier="extended")(hooks)


async def skills(server: "Server", connection: "Connection", asked: params.SkillsList) -> Json:
    """The skills of folders, and what is wrong with some of them."""
    folders = asked.cwds or (str(Path.cwd()),)
    found = [await asyncio.to_thread(skills_of, server, folder) for folder in folders]
    return {"data": found}


def skills_of(server: "Server", cwd: str) -> Json:
    """The skills of one folder."""
    from octavo.config.skills import load_skills  # noqa: PLC0415 - seldom asked for

    try:
        found = load_skills(server.engine.settings(cwd), os.environ)
    except OctavoError as error:
        return {"cwd": cwd, "skills": [], "errors": [{"path": cwd, "message": str(error)}]}
    return {
        "cwd": cwd,
        "skills": [skill_view(one) for one in found.found],
        "errors": [{"path": cwd, "message": text} for text in found.warnings],
    }


def skill_view(skill: "Skill") -> Json:
    """A skill as clients show it."""
    return {
        "name": skill.name,
        "description": skill.description,
        "shortDescription": skill.short,
        "path": skill.path,
        "scope": skill.scope,
        "enabled": skill.enabled,
        "interface": None,
        "dependencies": None,
        "pluginId": None,
    }


async def switch(server: "Server", connection: "Connection", asked: params.SkillsWrite) -> Json:
    """Switch a skill on or off, by its file or its name, in the user's settings."""
    from octavo.config.edit import Edit, apply_edits  # noqa: PLC0415 - seldom asked for

    named = {key: text for key, text in (("path", asked.path), ("name", asked.name)) if text}
    if len(named) != 1:
        raise invalid("Invalid request: `path` or `name` is needed, and only one of them")
    table = server.engine.settings().stack.merged.table.get("skills")
    before = table.get("config", ()) if isinstance(table, dict) else ()
    kept = [dict(one) for one in before if named.items() - dict(one).items()]
    edit = Edit(keys=("skills", "config"), value=[*kept, {**named, "enabled": asked.enabled}])
    await asyncio.to_thread(apply_edits, Path(server.home) / "config.toml", [edit])
    return {"effectiveEnabled": asked.enabled}


async def hooks(server: "Server", connection: "Connection", asked: params.HooksList) -> Json:
    """The hooks of folders, and which of them run."""
    folders = asked.cwds or (str(Path.cwd()),)
    return {"data": [await asyncio.to_thread(hooks_of, server, folder) for folder in folders]}


def hooks_of(server: "Server", cwd: str) -> Json:
    """The hooks of one folder."""
    from octavo.config.hooks import load_hooks  # noqa: PLC0415 - seldom asked for

    try:
        found = load_hooks(server.engine.settings(cwd))
    except OctavoError as error:
        problem = {"path": cwd, "message": str(error)}
        return {"cwd": cwd, "hooks": [], "warnings": [], "errors": [problem]}
    shown = [hook_view(one, number) for number, one in enumerate(found.found)]
    return {"cwd": cwd, "hooks": shown, "warnings": list(found.warnings), "errors": []}


def hook_view(found: "FoundHook", number: int) -> Json:
    """A hook as clients show it."""
    hook = found.hook
    return {
        "key": hook.key,
        "eventName": hook.event[0].lower() + hook.event[1:],
        "handlerType": "command",
        "command": hook.command,
        "async": hook.background,
        "matcher": hook.matcher,
        "timeoutSec": hook.timeout_s,
        "statusMessage": hook.status_message,
        "sourcePath": hook.source,
        "source": "unknown",
        "pluginId": None,
        "displayOrder": number,
        "enabled": found.standing != "disabled",
        "isManaged": found.standing == "managed",
        "currentHash": found.fingerprint,
        "trustStatus": found.standing if found.standing != "disabled" else "untrusted",
    }
