"""The profile of plan mode and reviews: every read stays, every write goes, the network stays."""

from hypothesis import given
from hypothesis import strategies as st

from octavo.api.planning import read_only
from octavo.policy.profile import Places, effective, from_mapping, preset
from octavo.protocol.permissions import Access
from policy.disk import Disk

PLACES = Places(cwd="/home/me/ws", home="/home/me", tmpdir="/tmp", own_homes=("/home/me/.octavo",))
DISK = Disk("/home/me/ws/.git", "/home/me/.octavo", "/tmp", "/data", "/usr")
NAMES = ["/", "/home", "/home/me", "/home/me/ws", "/home/me/ws/.git", "/home/me/ws/src", "/data",
    "/data/secret", "/tmp", "/usr/bin", "/home/me/.octavo", "/home/me/ws/src/key.pem"]  # fmt: skip
RULES = st.dictionaries(
    st.sampled_from([":cwd", "./src", "/data", "/data/secret", "./src/key.pem", ":tmpdir"]),
    st.sampled_from(["none", "read", "write"]),
)


def profiles():
    yield effective(preset("read-only"), PLACES, look=DISK)
    yield effective(preset("workspace-write", network=True), PLACES, look=DISK)
    yield effective(preset("workspace-write", writable_roots=["/data"]), PLACES, look=DISK)
    yield effective(preset("danger-full-access"), PLACES, look=DISK)


def same_reads(before):
    after = read_only(before)
    for path in NAMES:
        reads = before.access(path) is not Access.NONE
        assert after.access(path) is (Access.READ if reads else Access.NONE), path
    assert after.deny_globs == before.deny_globs
    assert after.network == before.network
    assert not after.unrestricted
    assert read_only(after) == after
    return after


def test_each_mode_becomes_the_mode_that_reads():
    for before in profiles():
        after = same_reads(before)
        assert (after.name, after.mode) == ("read-only", "read-only")


@given(RULES, st.sampled_from(["read", "none"]))
def test_a_profile_of_ones_own_keeps_its_name_and_what_it_hides(rules, root):
    files = {":root": root, **rules}
    before = effective(from_mapping({"filesystem": files}), PLACES, look=DISK)
    assert same_reads(before).name == before.name
