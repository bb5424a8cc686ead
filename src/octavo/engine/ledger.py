"""What a thread must not forget, kept by code: it outlives every summary byte for byte.

Pure. A summary is a model's memory and drifts; the ledger is ours. It is read off the history
before that is shortened (files, plan) and off the summary's own lists (rules, dead ends, the next
step); what is in it once stays as it is. It travels in the history as one JSON block, so a thread
from disk has it too.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    HistoryItem,
    Message,
    ToolOutputItem,
    output_text,
)

if TYPE_CHECKING:
    from octavo.protocol.ids import CallId

OPEN: Final = "<ledger>\n"
CLOSE: Final = "\n</ledger>"
MOST: Final = 200
"""Entries of one list; the oldest files go first, rules and dead ends never."""
READERS: Final = frozenset({"cat", "head", "tail", "nl", "less", "more", "sed", "wc", "bat"})
CHANGED: Final = re.compile(r"^[AMD] (.+)$", re.MULTILINE)
HEADING: Final = re.compile(r"^#{1,4} *(.+?) *:?$")
SECTIONS: Final = {"rules": "rules", "rejected": "rejected", "next step": "next_step"}

HashFile = Callable[[str], str | None]
"""The content of a file as a short hash; None when there is no such file (any more)."""


class Ledger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The promises of one thread."""

    goal: str = ""
    """What the user wanted in the first place, in their words."""
    rules: tuple[str, ...] = ()
    """What the user demanded of the work; in the words that were recorded first."""
    rejected: tuple[str, ...] = ()
    """What was tried or proposed and turned down."""
    plan: tuple[str, ...] = ()
    next_step: str = ""
    changed: tuple[str, ...] = ()
    """Files the thread has changed."""
    read: Mapping[str, str] = {}
    """Files it has read: path to hash at the last look."""
    stale: tuple[str, ...] = ()
    """Those of them that are different now: read them again before relying on them."""
    running: tuple[str, ...] = ()
    """Commands that still run, with their session ids."""


def rendered(ledger: Ledger) -> str:
    """The block as the model reads it."""
    text = msgspec.json.format(msgspec.json.encode(ledger), indent=1).decode()
    return f"{OPEN}{text}{CLOSE}"


def recovered(items: Iterable[HistoryItem]) -> Ledger:
    """The ledger in a history; an empty one where there is none, or a broken one."""
    for item in reversed(list(items)):
        if isinstance(item, Message) and item.role == "user" and OPEN in item.text:
            text = item.text.rpartition(OPEN)[2].partition(CLOSE)[0]
            try:
                return msgspec.json.decode(text, type=Ledger)
            except (msgspec.DecodeError, UnicodeError):
                return Ledger()
    return Ledger()


def updated(
    ledger: Ledger,
    items: Iterable[HistoryItem],
    summary: str,
    *,
    goal: str,
    running: Iterable[str] = (),
    hash_file: HashFile = lambda _path: None,
) -> Ledger:
    """The ledger after these items and this summary.

    Nothing that was recorded as a rule or a dead end is changed or dropped. The next step is the
    plan's, else the summary's, else the one before.
    """
    listed = list(items)
    said = sections(summary)
    plan = last_plan(listed) or ledger.plan
    read, stale = looked_at(ledger.read, [*read_files(listed)], hash_file)
    return replace(
        ledger,
        goal=ledger.goal or goal,
        rules=joined(ledger.rules, said["rules"]),
        rejected=joined(ledger.rejected, said["rejected"]),
        plan=plan,
        next_step=step_of(plan) or " ".join(said["next_step"]) or ledger.next_step,
        changed=joined(ledger.changed, changed_files(listed))[-MOST:],
        read=read,
        stale=stale,
        running=tuple(running),
    )


def joined(before: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """Both, each once, the earlier ones first and as they were."""
    return tuple(dict.fromkeys((*before, *new)))


def looked_at(
    before: Mapping[str, str], new: list[str], hash_file: HashFile
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The files with their hashes now, and which of the old ones differ."""
    found: dict[str, str] = {}
    stale = []
    for path in dict.fromkeys((*before, *new)):
        now = hash_file(path)
        if path in before and path not in new and now != before[path]:
            stale.append(path)
        if now is not None:
            found[path] = now
    return dict(list(found.items())[-MOST:]), tuple(stale)


def sections(summary: str) -> dict[str, list[str]]:
    """The lists under the headings we asked for; text before and other headings are left alone."""
    found: dict[str, list[str]] = {name: [] for name in SECTIONS.values()}
    current: list[str] | None = None
    for line in summary.splitlines():
        heading = HEADING.match(line.strip())
        if heading is not None:
            name = SECTIONS.get(heading[1].lower())
            current = found[name] if name is not None else None
        elif current is not None:
            text = line.strip().removeprefix("- ").strip()
            if text and text.lower().rstrip(".") not in {"none", "nothing", "-"}:
                current.append(text)
    return found


def calls_of(items: Iterable[HistoryItem]) -> Iterator[tuple[str, str, str]]:
    """Name, arguments and output of every answered call."""
    open_calls: dict[CallId, tuple[str, str]] = {}
    for item in items:
        if isinstance(item, FunctionCall):
            open_calls[item.call_id] = (item.name, item.arguments)
        elif isinstance(item, CustomToolCall):
            open_calls[item.call_id] = (item.name, item.input)
        elif isinstance(item, ToolOutputItem) and item.call_id in open_calls:
            name, arguments = open_calls.pop(item.call_id)
            yield name, arguments, output_text(item.output)


def changed_files(items: Iterable[HistoryItem]) -> Iterator[str]:
    """Files that patches changed, as the patches named them."""
    for name, arguments, output in calls_of(items):
        if name == "apply_patch" or (name == "exec_command" and "apply_patch" in arguments):
            yield from CHANGED.findall(output)


def read_files(items: Iterable[HistoryItem]) -> Iterator[str]:
    """Words of reading commands that may be files; whoever hashes them knows."""
    for name, arguments, _ in calls_of(items):
        if name == "exec_command":
            given = arguments_of(arguments)
            command, folder = given.get("cmd"), given.get("workdir")
            if isinstance(command, str):
                base = f"{folder.rstrip('/')}/" if isinstance(folder, str) and folder else ""
                for path in words_read(command):
                    yield path if path.startswith("/") else base + path


def words_read(command: str) -> Iterator[str]:
    """The file-like words of plain reading commands in a script."""
    for part in re.split(r"&&|\|\||[;|\n]", command):
        try:
            words = shlex.split(part)
        except ValueError:
            continue
        if not words or words[0].rpartition("/")[2] not in READERS:
            continue
        names = [word for word in words[1:] if not word.startswith("-")]
        yield from names[1:] if words[0].endswith("sed") else names


def last_plan(items: Iterable[HistoryItem]) -> tuple[str, ...]:
    """The steps of the newest plan, each marked as done, doing or to do."""
    for name, arguments, _ in reversed(list(calls_of(items))):
        if name == "update_plan":
            steps = arguments_of(arguments).get("plan")
            if isinstance(steps, list):
                return tuple(marked(step) for step in steps if isinstance(step, dict))
    return ()


def marked(step: Mapping[str, Any]) -> str:
    mark = {"completed": "[x]", "in_progress": "[>]"}.get(str(step.get("status")), "[ ]")
    return f"{mark} {step.get('step', '')}"


def step_of(plan: Iterable[str]) -> str:
    """The step that is being done, else the first that is not."""
    listed = list(plan)
    doing = [step[4:] for step in listed if step.startswith("[>]")]
    todo = [step[4:] for step in listed if step.startswith("[ ]")]
    return next(iter((*doing, *todo)), "")


def arguments_of(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}
