"""What stands before the conversation: permissions, project instructions, the surroundings.

Pure. It is sent once, at the start of a thread; later only what changed is sent again, as new
items at the end, so that everything before stays as the server has cached it.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from octavo.protocol.content import InputText
from octavo.protocol.history import Message, Role

NETWORK_WORDS: Final = {
    "off": "Commands have no network beyond a loopback of their own.",
    "on": "Commands may use the network.",
    "limited": "Commands may reach only the hosts that the user listed.",
}
SANDBOX_WORDS: Final = {
    "read-only": "Commands run in a sandbox: they may read files, and write none.",
    "workspace-write": "Commands run in a sandbox: they may read files, and write only in the "
    "writable folders below. `.git`, `.codex`, `.agents` and `.octavo` there stay read-only.",
    "danger-full-access": "Commands run without a sandbox, with all rights of the user.",
}
ASK_WORDS: Final = {
    "never": "Nobody can be asked for more: do not set `sandbox_permissions`. When something is "
    "refused, find a way inside these limits or say what stands in the way.",
    "on-request": "When a command really needs more (the network, a folder outside), run it with "
    '`sandbox_permissions: "require_escalated"` and a short `justification` that the user can '
    "answer with yes or no. Do not ask for what works without.",
    "untrusted": "Every command that is not plainly a read is shown to the user first. Do not set "
    "`sandbox_permissions`: when the sandbox refuses something, the user is asked by itself.",
    "plan": "While planning, nothing runs outside the sandbox: do not set `sandbox_permissions`.",
    "granular": "The user answers some kinds of questions; others are refused by themselves. Do not "
    "set `sandbox_permissions`: when the sandbox refuses something, that is looked after.",
}
HOW_RULES_WORK: Final = (
    "A script is judged command by command; redirections, variables and substitutions make it one "
    "piece that no rule speaks of. With a `prefix_rule` propose the first words of commands to allow "
    "from now on, as narrow as they are useful (`git pull`, not `git`; no shells, interpreters, "
    "`sudo` or `rm`)."
)
MOST_APPROVED: Final = 100


NO_SKILLS: Final = "<skills_instructions>\nThere are no skills any more.\n</skills_instructions>"
NO_MEMORIES: Final = "There are none any more; what was said before no longer counts."
ESCAPED: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Entry(Struct, frozen=True, kw_only=True):
    """One file rule of the profile in force."""

    path: str
    access: str


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the model is told about where it works."""

    cwd: str
    shell: str
    date: str
    """ISO 8601, of the user's time zone."""
    timezone: str
    sandbox: str = "read-only"
    """A mode, or the name of a profile."""
    network: str = "off"
    approval: str = "never"
    roots: tuple[str, ...] = ()
    """Workspace roots."""
    writable: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    developer: str = ""
    """`developer_instructions` of the settings."""
    project: str = ""
    """The AGENTS.md files, merged."""
    project_folder: str = ""
    with_environment: bool = True
    skills: str = ""
    """The list of skills, as the model gets it."""
    approved: tuple[str, ...] = ()
    """First words of commands that rules allow, outside the sandbox."""
    mode: str = ""
    """`plan`, or nothing for the usual way of working together."""
    held_back: tuple[str, ...] = ()
    """Variables that commands do not get, because their names look like secrets."""
    memories: str = ""
    """What earlier threads taught, and where the rest of it lies."""


def opening(here: Surroundings) -> tuple[Message, ...]:
    """The messages a thread starts with, before the user's first words."""
    developer = [here.skills] if here.skills else []
    developer.append(permissions_text(here))
    if here.developer:
        developer.append(here.developer)
    if here.mode:
        developer.append(mode_text(here.mode))
    if here.memories:
        developer.append(tagged("memories", here.memories))
    user = []
    if here.project:
        user.append(project_text(here))
    if here.with_environment:
        user.append(environment_text(here))
    found = [message("developer", developer)]
    if user:
        found.append(message("user", user))
    return tuple(found)


def changes(before: Surroundings, now: Surroundings) -> tuple[Message, ...]:
    """Only what the model was told differently: nothing when nothing changed."""
    found = []
    developer = []
    if now.skills != before.skills:
        developer.append(now.skills or NO_SKILLS)
    if permissions_text(before) != permissions_text(now):
        developer.append(permissions_text(now))
    if now.developer and before.developer != now.developer:
        developer.append(now.developer)
    if now.mode != before.mode:
        developer.append(mode_text(now.mode))
    if now.memories != before.memories:
        developer.append(tagged("memories", now.memories or NO_MEMORIES))
    if developer:
        found.append(message("developer", developer))
    user = []
    if (now.project, now.project_folder) != (before.project, before.project_folder):
        user.append(project_text(now))
    if now.with_environment:
        text = "\n".join(changed_lines(before, now))
        if text:
            user.append(tagged("environment_context", text))
    if user:
        found.append(message("user", user))
    return tuple(found)


def mode_text(mode: str) -> str:
    """What the model is told when a way of working together begins."""
    from octavo.engine import modes  # noqa: PLC0415 - most threads know only the usual one

    return modes.mode_text(mode)


def escape(text: str) -> str:
    """Text that cannot close or open a tag."""
    return text.translate(ESCAPED)


def message(role: Role, texts: list[str]) -> Message:
    return Message(role=role, content=tuple(InputText(text=text) for text in texts))


def tagged(name: str, text: str) -> str:
    return f"<{name}>\n{text}\n</{name}>"


def permissions_text(here: Surroundings) -> str:
    """What the sandbox allows and whether somebody can be asked, for the model."""
    lines = [
        SANDBOX_WORDS.get(
            here.sandbox,
            f"Commands run in a sandbox with the user's own profile `{here.sandbox}`.",
        )
    ]
    if here.sandbox != "danger-full-access":
        lines.append(NETWORK_WORDS[here.network])
    if here.writable:
        lines.append("Writable: " + ", ".join(f"`{path}`" for path in here.writable) + ".")
    if here.held_back:
        names = ", ".join(f"`{name}`" for name in here.held_back)
        lines.append(f"Held back from the environment of commands: {names}.")
    lines.append(ASK_WORDS.get(here.approval, ASK_WORDS["on-request"]))
    if here.approval == "on-request":
        lines.append(HOW_RULES_WORK)
    if here.approved:
        shown = ", ".join(f"`{words}`" for words in here.approved[:MOST_APPROVED])
        more = len(here.approved) - MOST_APPROVED
        lines.append(
            "Commands that begin with these words run without asking, outside the sandbox: "
            f"{shown}{f' and {more} more' if more > 0 else ''}."
        )
    return tagged("permissions instructions", "\n".join(lines))


def project_text(here: Surroundings) -> str:
    """The project's own instructions, marked as such."""
    text = here.project or "There are none any more; what was said before no longer counts."
    return f"# AGENTS.md instructions for {here.project_folder}\n\n<INSTRUCTIONS>\n{text}\n</INSTRUCTIONS>"


def environment_text(here: Surroundings) -> str:
    return tagged("environment_context", "\n".join(environment_lines(here).values()))


def changed_lines(before: Surroundings, now: Surroundings) -> Iterator[str]:
    old = environment_lines(before)
    for name, line in environment_lines(now).items():
        if old.get(name) != line:
            yield line


def environment_lines(here: Surroundings) -> dict[str, str]:
    lines = {
        name: f"  <{name}>{escape(value)}</{name}>"
        for name, value in (
            ("cwd", here.cwd),
            ("shell", here.shell),
            ("current_date", here.date),
            ("timezone", here.timezone),
        )
        if value
    }
    if here.roots or here.entries:
        lines["filesystem"] = "\n".join(filesystem_lines(here))
    return lines


def filesystem_lines(here: Surroundings) -> Iterator[str]:
    yield "  <filesystem>"
    if here.roots:
        roots = "".join(f"<root>{escape(path)}</root>" for path in here.roots)
        yield f"    <workspace_roots>{roots}</workspace_roots>"
    for entry in here.entries:
        yield f'    <entry access="{entry.access}">{escape(entry.path)}</entry>'
    yield "  </filesystem>"
