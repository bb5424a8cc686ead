"""The three modes as plain rule tuples, for the short way.

`octavo.policy.profile` makes the same rules from the full settings; a test holds the two together.
"""

PROTECTED = (".git", ".codex", ".agents", ".octavo")
HIDDEN = 'protected: credentials, denied by deny_secrets = "home"'
MODES = ("read-only", "workspace-write", "danger-full-access")


def read_only(hidden: "tuple[str, ...]" = ()) -> "list[tuple[str, str, str]]":
    """Reads everything but what is `hidden`, writes nothing."""
    return [("/", "read", ":read-only"), *((path, "none", HIDDEN) for path in hidden)]


def workspace_write(
    cwd: str,
    *,
    tmpdir: "str | None" = None,
    slash_tmp: bool = True,
    roots: "tuple[str, ...]" = (),
    own: "tuple[str, ...]" = (),
    hidden: "tuple[str, ...]" = (),
) -> "list[tuple[str, str, str]]":
    """Reads everything, writes the workspace, temporary folders and further roots.

    `own` are Octavo's home and program folders: both are obeyed later, outside the sandbox.
    `hidden` are credentials.
    """
    rules = read_only(hidden)
    writable = dict.fromkeys((cwd, *roots), "workspace root")
    if slash_tmp:
        writable.setdefault("/tmp", ":slash_tmp")  # noqa: S108 - the policy names it
    if tmpdir:
        writable.setdefault(tmpdir.rstrip("/") or "/", ":tmpdir")
    for path, origin in writable.items():
        rules.append((path, "write", origin))
        rules += [
            (f"{path.rstrip('/')}/{name}", "read", f"protected: {name}") for name in PROTECTED
        ]
    for folder in own:
        if any(folder.startswith(path.rstrip("/") + "/") for path in writable):
            rules.append((folder, "read", "protected: Octavo's own folder"))
    return rules
