"""What a launcher needs of its surroundings, read once by the caller. Plain, for the short way."""

RUNGS = ("native", "native-root", "bubblewrap", "landlock")


class WindowsChoice:
    """What the settings say about the Windows sandbox."""

    __slots__ = ("environ", "home", "level", "manual", "private_desktop")

    def __init__(
        self,
        *,
        home: str,
        environ: "dict[str, str]",
        level: str = "disabled",
        private_desktop: bool = True,
        manual: bool = False,
    ) -> None:
        self.home = home
        """Octavo's home folder."""
        self.environ = environ
        """Our own variables: commands get PATH and PATHEXT from them when they were given none."""
        self.level = level
        """"disabled", "unelevated" or "elevated"."""
        self.private_desktop = private_desktop
        self.manual = manual
        """Access entries are not written; missing ones are an error that lists them."""


class Session:
    """Where the journal lies, which folders are temporary, which mechanisms may be used."""

    __slots__ = ("journal", "rungs", "temporary", "windows")

    def __init__(
        self,
        *,
        journal: str,
        temporary: "tuple[str, ...]" = (),
        rungs: "tuple[str, ...]" = RUNGS,
        windows: "WindowsChoice | None" = None,
    ) -> None:
        self.journal = journal
        """Folder for the list of mount points made on the host."""
        self.temporary = temporary
        """Missing protected names are not created in these."""
        self.rungs = rungs
        """Strongest first; a shorter list leaves mechanisms out."""
        self.windows = windows
        """None: no sandbox was chosen there, and confined commands are refused."""
