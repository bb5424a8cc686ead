"""What one headless run is asked to do, as the command line said it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from octavo.engine.review import Target

Colour = Literal["auto", "always", "never"]


class Options(Struct, frozen=True, kw_only=True):
    """One run of `octavo exec`."""

    prompt: str | None = None
    """None: on standard input; `-`: all of standard input, verbatim."""
    resume: str | None = None
    """Id or name of a thread to go on with."""
    last: bool = False
    """Go on with the thread last written in this folder (`everywhere`: in any)."""
    everywhere: bool = False
    fork: str | None = None
    """Id or name of a thread to begin from."""
    overlay: bool = False
    """Changes are kept apart until `octavo keep` or `octavo drop`."""
    plan: bool = False
    """Plan mode: nothing is changed, the last message is a plan."""
    review: "Target | None" = None
    """Review this instead of working on a prompt; `-` as words: what is on standard input."""
    review_as_json: bool = False
    """The review as one JSON object on stdout."""
    cwd: str | None = None
    add_dirs: tuple[str, ...] = ()
    """Writable folders besides those of the settings; absolute."""
    images: tuple[str, ...] = ()
    as_json: bool = False
    colour: Colour = "auto"
    schema_file: str | None = None
    last_message_file: str | None = None
    record_file: str | None = None
    """A new file for everything that happens, for `octavo replay`."""
    ephemeral: bool = False
    skip_git_check: bool = False
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    flags: Mapping[str, object] = {}
    """Settings that options of their own stand for, by dotted key."""
    strict: bool = False
    user_settings: bool = True
    local: bool = False
    """A local provider: the one named, else `oss_provider` of the settings, else ollama."""
    bypass_hook_trust: bool = False
    """Hooks run without anybody having reviewed them."""
    notes: tuple[str, ...] = ()
    """For people: options that were accepted and do nothing."""

    @property
    def resumed(self) -> bool:
        """Goes on with something that was there before."""
        return self.resume is not None or self.last or self.fork is not None
