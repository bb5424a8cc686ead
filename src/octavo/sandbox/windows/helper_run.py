"""What the set-up helper does for a payload, and the report it leaves when that fails.

Pure: the machine is handed in.
"""

from collections.abc import Callable
from contextlib import suppress

from octavo.protocol.errors import OctavoError
from octavo.sandbox.windows import setup, setup_run, uninstall_run
from octavo.sandbox.windows.setup import Payload, SetupError
from octavo.sandbox.windows.setup_run import Now, Places, System
from octavo.sandbox.windows.sids import Random


def carry_out(payload: Payload, system: System, *, random: Random, now: Now) -> None:
    """Do what the payload asks for. Raises SetupError with the code of what failed."""
    match payload.mode:
        case "read-acls-only":
            setup_run.read_only_worker(payload, system)
        case "uninstall":
            uninstall_run.uninstall(payload, system)
        case _ if payload.refresh_only:
            setup_run.open_log(payload, system)
            setup_run.refresh(payload, system)
        case _:
            with setup_run.only_one(system):
                setup_run.set_up(payload, system, random=random, now=now)


def reported(payload: Payload, system: System, work: Callable[[], None]) -> int:
    """Do the work; a failure is left in the report file. Returns the helper's exit code."""
    try:
        work()
    except SetupError as error:
        problem = error
    except Exception as error:  # noqa: BLE001 - the top of the helper: whoever waits reads the report
        # its text is not ours and may hold anything, so only its kind is told
        problem = SetupError("helper_unknown_error", f"a defect: {type(error).__name__}")
    else:
        return 0
    report = setup.encode_report(problem.code, problem.message)
    # where even that fails, the exit code still says that it failed
    with suppress(OctavoError, OSError):
        system.files.log(f"FAILURE: {problem}")
    with suppress(OctavoError, OSError):
        system.files.replace(Places(payload.octavo_home).report, report)
    return 1
