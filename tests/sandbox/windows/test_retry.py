import pytest

from octavo.sandbox.windows import retry
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


def attempts(*codes):
    """A start that fails so often, at the logon unless said otherwise; what it was given."""
    given, left = [], list(codes)

    def start(wanted, credentials):
        given.append((wanted, credentials))
        if left:
            where, code = left.pop(0)
            raise retry.AttemptError("no", retry.Failed(where=where, code=code))
        return "running"

    return start, given


@pytest.mark.parametrize("where", ["logon", "spawn_child"])
def test_stale_credentials_are_replaced_once_for_the_very_same_launch(where):
    start, given = attempts((where, 1312))
    asked = []

    def refresh(given_to):
        asked.append(given_to)
        return "new"

    wanted = launch()
    found = retry.with_retry(wanted, start=start, load=lambda: "old", refresh=refresh)
    assert found == "running"
    assert given == [(wanted, "old"), (wanted, "new")]
    assert all(each is wanted for each, _ in given)
    assert asked == [wanted]
    assert asked[0].proxy_enforced


def test_the_second_failure_comes_out_and_nothing_is_tried_a_third_time():
    start, given = attempts(("logon", 1312), ("logon", 1312))
    asked = []
    with pytest.raises(retry.AttemptError) as caught:
        retry.with_retry(launch(), start=start, load=lambda: "old", refresh=asked.append)
    assert caught.value.failed.code == 1312
    assert (len(given), len(asked)) == (2, 1)


def test_a_busy_account_is_tried_again_with_what_there_is():
    start, given = attempts(("logon", 1056))
    refresh = {}.__getitem__  # must not be asked
    assert retry.with_retry(launch(), start=start, load=lambda: "old", refresh=refresh)
    assert [credentials for _, credentials in given] == ["old", "old"]


@pytest.mark.parametrize("failed", [("logon", 1385), ("spawn_child", 2), ("run", None)])
def test_what_cannot_heal_is_not_tried_again(failed):
    start, given = attempts(failed)
    with pytest.raises(retry.AttemptError, match="did not run"):
        retry.with_retry(launch(), start=start, load=lambda: "old", refresh={}.__getitem__)
    assert len(given) == 1
