import pytest

from octavo.sandbox.windows.frames import SpawnRequest
from octavo.sandbox.windows.retry import Failed, Launch, next_step


def launch(program="C:\\bin\\git.exe", *, enforced=True):
    request = SpawnRequest(
        command=(program,), cwd="C:\\", env={}, permission_profile={}, workspace_roots=(),
        octavo_home="", real_octavo_home="", cap_sids=("S-1-5-21-1-2-3-4",), tty=False,
        private_desktop_name="d",
    )  # fmt: skip
    return Launch(request=request, identity="offline", proxy_enforced=enforced)


@pytest.mark.parametrize(
    ("where", "code", "answer"),
    [
        ("logon", 1326, "new credentials"),
        ("logon", 1312, "new credentials"),
        ("logon", 1331, "new credentials"),
        ("logon", 1056, "same credentials"),
        ("logon", 5, "give up"),
        ("spawn_child", 1326, "new credentials"),
        ("spawn_child", 1312, "new credentials"),
        ("spawn_child", 1331, "give up"),
        ("spawn_child", 2, "give up"),
        ("spawn_child", None, "give up"),
        ("read_spawn_request", 1312, "give up"),
        ("run", 1326, "give up"),
    ],
)
def test_credentials_are_made_anew_for_these_errors_only(where, code, answer):
    assert next_step(launch(), Failed(where=where, code=code), attempt=1) == answer


@pytest.mark.parametrize("code", [1326, 1312, 1331, 1056])
def test_there_is_no_third_attempt(code):
    assert next_step(launch(), Failed(where="logon", code=code), attempt=2) == "give up"


def test_a_packaged_program_cannot_start_in_another_account_whatever_its_password():
    packaged = launch("C:\\Users\\me\\AppData\\Local\\Microsoft\\WindowsApps\\python.exe")
    for where in ("logon", "spawn_child"):
        assert next_step(packaged, Failed(where=where, code=1312), attempt=1) == "give up"
        assert next_step(packaged, Failed(where=where, code=1326), attempt=1) == "new credentials"


def test_two_failures_in_a_row_are_two_starts_of_one_value_and_one_refresh():
    starts, refreshed = [], []

    def start(value):
        starts.append(value)
        return Failed(where="spawn_child", code=1312)

    wanted = launch()
    attempt = 1
    while True:
        failed = start(wanted)
        step = next_step(wanted, failed, attempt=attempt)
        if step == "give up":
            break
        if step == "new credentials":
            refreshed.append(wanted.proxy_enforced)
        attempt += 1
    assert starts == [wanted, wanted]
    assert refreshed == [True]


def test_the_value_cannot_be_changed_between_attempts():
    with pytest.raises(AttributeError):
        launch().proxy_enforced = False
