"""What commands find in their environment."""

from octavo.tools.environment import command_environment


def environment(world, *, terminal=False, escalated=False, **more):
    return command_environment(
        world.call("exec_command", ""),
        world.context(**more),
        terminal=terminal,
        escalated=escalated,
    )


def test_names_are_there_under_both_prefixes(world):
    found = environment(world)
    for prefix in ("OCTAVO_", "CODEX_"):
        assert found[prefix + "CI"] == "1"
        assert found[prefix + "THREAD_ID"] == "thread"
        assert found[prefix + "TOOL_CALL_ID"] == "call_1"
        assert found[prefix + "SANDBOX_NETWORK_DISABLED"] == "1"
        assert found[prefix + "PERMISSION_PROFILE"] == ":workspace-write"
    assert (found["NO_COLOR"], found["TERM"], found["GIT_PAGER"]) == ("1", "dumb", "cat")
    assert found["HOME"] == str(world.folder)


def test_outside_the_sandbox_nothing_claims_to_be_inside(world):
    inherited = {"CODEX_SANDBOX_NETWORK_DISABLED": "1"}
    for found in (
        environment(world, escalated=True, environment=inherited),
        environment(world, sandboxed=False, environment=inherited),
    ):
        assert "CODEX_SANDBOX_NETWORK_DISABLED" not in found
        assert "OCTAVO_PERMISSION_PROFILE" not in found


def test_a_terminal_has_a_name_programs_know(world):
    assert environment(world, terminal=True)["TERM"] == "xterm"
    assert environment(world, terminal=True, environment={"TERM": "vt100"})["TERM"] == "vt100"
