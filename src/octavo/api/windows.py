"""What the settings say about the Windows sandbox, for whoever starts commands there."""

from collections.abc import Mapping, Sequence

from octavo.config.windows import windows_tables
from octavo.protocol.errors import ConfigError
from octavo.sandbox.session import WindowsChoice
from octavo.sandbox.windows.levels import level


def choice_of(
    home: str,
    environ: Mapping[str, str],
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    user_settings: bool = True,
) -> WindowsChoice:
    """The level and how it is carried out. `home`: Octavo's own folder; the rest is as for the
    settings (`octavo.config.settings.load`). Raises ConfigError.
    """
    main, own = windows_tables(
        home, profile=profile, overrides=overrides, flags=flags, user_settings=user_settings
    )
    return WindowsChoice(
        home=home,
        environ=dict(environ),
        level=level(main, own),
        private_desktop=_setting(main, own, "sandbox_private_desktop") is not False,
        manual=_acl_mode(_setting(main, own, "acl_mode")) == "manual",
    )


def _setting(
    main: Mapping[str, object], own: Mapping[str, object] | None, name: str
) -> object | None:
    """A key of the table `windows`, from the stronger one that has it."""
    for table in (own or {}, main):
        windows = table.get("windows")
        if isinstance(windows, Mapping) and name in windows:
            found: object = windows[name]
            return found
    return None


def _acl_mode(value: object) -> object:
    """A wrong word here would write to people's folders: it is refused."""
    if value in (None, "write", "manual"):
        return value
    raise ConfigError(
        f"windows.acl_mode is {value!r}", key="windows.acl_mode", hint='Use "write" or "manual".'
    )
