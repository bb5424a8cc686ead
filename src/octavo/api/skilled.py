"""The skills of a thread, from its settings: loaded only where there are folders with some."""

from collections.abc import Mapping, Sequence

from octavo.config.settings import Loaded
from octavo.config.skills import body, load_skills
from octavo.engine.skills import budget, listing, mentioned, skill_message
from octavo.protocol.errors import OctavoError
from octavo.protocol.history import Message


class SkillBook:
    """The skills for work in a folder. Raises ConfigError for settings that are wrong."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str], window: int | None) -> None:
        found = load_skills(loaded, environ)
        listed = listing(found.found, budget(window))
        self._skills = found.found
        self.text = listed.text
        """The list for the model."""
        self.warnings = (*found.warnings, *(() if listed.warning is None else (listed.warning,)))

    def named(self, texts: Sequence[str]) -> tuple[Message, ...]:
        """The skills that these words name, each as a message; one that is gone says so."""
        messages: list[Message] = []
        for skill in mentioned(texts, self._skills):
            try:
                text = body(skill.path)
            except OctavoError as error:
                text = f"(This skill cannot be read: {error})"
            messages.append(skill_message(skill, text))
        return tuple(messages)
