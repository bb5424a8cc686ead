"""What a launcher needs of its surroundings, read once by the caller. Plain, for the short way."""

RUNGS = ("native", "native-root", "bubblewrap", "landlock")


class Session:
    """Where the journal lies, which folders are temporary, which mechanisms may be used."""

    __slots__ = ("journal", "rungs", "temporary")

    def __init__(
        self, *, journal: str, temporary: "tuple[str, ...]" = (), rungs: "tuple[str, ...]" = RUNGS
    ) -> None:
        self.journal = journal
        """Folder for the list of mount points made on the host."""
        self.temporary = temporary
        """Missing protected names are not created in these."""
        self.rungs = rungs
        """Strongest first; a shorter list leaves mechanisms out."""
