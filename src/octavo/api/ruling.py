"""The rules of one thread: those of its folder, and those an answer adds."""

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from octavo.config.rules import allow_prefix, load_rules, rule_files
from octavo.policy.rules import RuleSet
from octavo.protocol.approvals import Granular
from octavo.protocol.errors import OctavoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from octavo.config.schema import Settings
    from octavo.config.settings import Loaded
    from octavo.engine.session import Workspace

UNTIL_MENDED: Final = "until that is mended, no rule allows anything"
WRITE_S: Final = 10.0


class Ruling:
    """The rules in force; call it for them."""

    def __init__(self, loaded: "Loaded") -> None:
        files = rule_files(loaded)
        self._home = loaded.home
        self._rules = load_rules(files) if files else RuleSet()
        self.place: Workspace | None = None
        """Where the model learns what is allowed."""
        self.warn: Callable[[str], None] = lambda _text: None

    def __call__(self) -> RuleSet:
        return self._rules

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with rule files, one line each."""
        return tuple(f"{words}; {UNTIL_MENDED}" for words in self._rules.broken)

    @property
    def approved(self) -> tuple[str, ...]:
        """The first words that are allowed, for the model."""
        if self._rules.broken:
            return ()
        return tuple(" ".join(words) for words in self._rules.allowed_prefixes())

    async def remember(self, words: tuple[str, ...]) -> None:
        """Allow commands with these first words: here at once, elsewhere from the next start."""
        self._rules = self._rules.with_prefix(words)
        if self.place is not None:
            known = self.place.surroundings
            self.place.surroundings = replace(known, approved=self.approved)
        try:
            async with asyncio.timeout(WRITE_S):
                await asyncio.to_thread(allow_prefix, self._home, words)
        except TimeoutError:
            self.warn("the rule was not written down in time: it holds for this thread only")
        except OctavoError as error:
            self.warn(f"{error}; the rule holds for this thread only")


def granular_of(settings: "Settings") -> Granular | None:
    """Which kinds of question are put, where the settings say it one by one."""
    policy = settings.approval_policy
    if isinstance(policy, str):
        return None
    given = policy.granular
    return Granular(
        sandbox_approval=given.sandbox_approval,
        rules=given.rules,
        mcp_elicitations=given.mcp_elicitations,
        skill_approval=given.skill_approval,
        request_permissions=given.request_permissions,
    )
