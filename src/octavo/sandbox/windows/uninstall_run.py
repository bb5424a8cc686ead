"""Taking set-up back, step by step, against whatever system is handed in.

Pure. Walls stand until no process of an account is left and none can begin. Again is harmless.
"""

from collections.abc import Callable, Sequence
from functools import partial

from octavo.protocol.errors import OctavoError
from octavo.sandbox.windows import firewall, setup
from octavo.sandbox.windows.setup import Payload, SetupError
from octavo.sandbox.windows.setup_run import Places, System, only_one, open_log


def uninstall(payload: Payload, system: System) -> None:
    """Remove accounts, walls and our own folders; the user's folders are `undo`'s.

    Everything that is safe is tried. Raises SetupError naming what is left.
    """
    with only_one(system):
        open_log(payload, system)
        left = _Work(payload, system).run()
    if left:
        raise SetupError("helper_unknown_error", "this is left: " + "; ".join(left))


class _Work:
    def __init__(self, payload: Payload, system: System) -> None:
        self.system = system
        self.places = Places(payload.octavo_home)
        self.names = (payload.offline_username, payload.online_username)
        self.left: list[str] = []
        self.sids: dict[str, str] = {}

    def run(self) -> Sequence[str]:
        """What could not be removed, one line each."""
        files, accounts, walls = self.system.files, self.system.accounts, self.system.walls
        # without a marker nothing starts in these accounts any more
        self.tried("the marker", lambda: files.remove(self.places.marker))
        self.tried("the credentials", lambda: files.remove(self.places.users))
        self.silence()
        self.tried(self.places.programs, lambda: files.remove_tree(self.places.programs))
        self.tried(self.places.secrets, lambda: files.remove_tree(self.places.secrets))
        if self.left:
            return (*self.left, "firewall rules, filters and accounts, which are kept until then")
        self.tried("platform filters", lambda: walls.remove_filters(firewall.wfp_removal()))
        if self.tried("COM", walls.open):
            for step in firewall.removal():
                self.tried(f"the rule {step.name}", partial(walls.remove, step.name))
        for name in self.names:
            self.tried(f"{name} in the logon screen's list", partial(accounts.unhide, name))
        if self.left:
            return self.left
        for name, sid in self.sids.items():
            self.tried(f"the profile of {name}", partial(accounts.remove_profile, sid))
            self.tried(f"the account {name}", partial(accounts.remove, name))
        self.tried(f"the group {setup.GROUP}", lambda: accounts.remove_group(setup.GROUP))
        if not self.left:
            self.tried(self.places.state, lambda: files.remove_tree(self.places.state))
        return self.left

    def silence(self) -> None:
        """No process of an account is left, and none can begin."""
        accounts = self.system.accounts
        for name in self.names:
            try:
                if accounts.state(name) in (None, "foreign"):
                    continue
                accounts.disable(name)
                self.sids[name] = accounts.sid_of(name)
                accounts.stop_processes(self.sids[name])
            except (OctavoError, OSError) as error:
                self.left.append(f"the account {name}: {error}")

    def tried(self, what: str, step: Callable[[], object]) -> bool:
        """Do it; a failure is noted, and false."""
        try:
            step()
        except (OctavoError, OSError) as error:
            self.left.append(f"{what}: {error}")
            return False
        return True
