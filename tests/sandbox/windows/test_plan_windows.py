"""The Windows planner, judged by the model of access checks under both of its readings.

Expected answers come from `intended` below: slow, from the rules alone.
"""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.plan_windows import Facts, choose, plan_windows
from octavo.sandbox.windows import acl, sids
from octavo.sandbox.windows.acl import ALL, DOWN, EVERYONE, OWNER_RIGHTS, Ace
from octavo.sandbox.windows.model import READINGS, Token, Volume, access
from octavo.sandbox.windows.paths import contains, parent
from octavo.sandbox.windows.tokens import token_plan

USER = "S-1-5-21-1-1-1-1001"
OFFLINE = "S-1-5-21-1-1-1-1002"
ONLINE = "S-1-5-21-1-1-1-1003"
GROUP = "S-1-5-21-1-1-1-1004"
LOGON = "S-1-5-5-0-77"
STRANGER = "S-1-5-21-9-9-9-9"
TOP = "C:\\w"
PROFILE = "C:\\Users\\me"

FACTS = Facts(
    user=USER,
    logon=LOGON,
    home=PROFILE + "\\.octavo",
    profile=PROFILE,
    cwd=TOP,
    group=GROUP,
    offline=OFFLINE,
    online=ONLINE,
)
CHANGING = {
    "write": acl.WRITE_DATA,
    "append": acl.APPEND_DATA,
    "write_ea": acl.WRITE_EA,
    "write_attributes": acl.WRITE_ATTRIBUTES,
    "open for writing": acl.W,
    "open for reading and writing": acl.R | acl.W,
}


def counter():
    """Randomness that can be predicted, and never repeats."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "little")


def volume():
    """A drive as Windows sets it up: its user owns the tree, all users read it."""
    made = Volume(
        "C:\\",
        acl.SYSTEM,
        [
            Ace(True, acl.SYSTEM, ALL, DOWN),
            Ace(True, acl.ADMINISTRATORS, ALL, DOWN),
            Ace(True, USER, ALL, DOWN),
            Ace(True, acl.USERS, acl.RX, DOWN),
        ],
    )
    for path in (TOP, "C:\\Users", PROFILE, PROFILE + "\\.octavo"):
        made.add(path, USER)
    return made


@dataclass
class World:
    """A machine through a series of policies."""

    elevated: bool
    disk: Volume = field(default_factory=volume)
    random: object = field(default_factory=counter)
    known: sids.Capabilities | None = None
    hidden: tuple = ()
    token: Token | None = None

    def __post_init__(self):
        self.known = self.known or sids.fresh(self.random)

    @property
    def me(self):
        return OFFLINE if self.elevated else USER

    def strays(self, folder):
        for path in self.disk.below(folder):
            node = self.disk[path]
            if node.explicit or node.protected:
                yield self.disk.present(path)

    def plan(self, rules, **more):
        return plan_windows(
            [("/", "read", "all"), *rules],
            facts=FACTS,
            capabilities=self.known,
            random=self.random,
            look=lambda path: self.disk.present(path) if path in self.disk else None,
            level="elevated" if self.elevated else "unelevated",
            strays=self.strays,
            open_folders=self.open_places(rules),
            hidden_before=self.hidden,
            **more,
        )

    def open_places(self, rules):
        """What an audit without limits would find."""
        for path in self.disk.paths():
            node = self.disk[path]
            who = (EVERYONE, LOGON, self.me if self.elevated else "")
            if node.no_list or acl.open_to(node.explicit, who):
                yield path

    def apply(self, rules, **more):
        plan = self.plan(rules, **more)
        self.known, self.hidden = plan.capabilities, plan.hidden
        for made in plan.creates:
            self.disk.add(made.path, USER, folder=made.text is None, explicit=made.dacl)
        for change in plan.changes:
            self.disk.write(change)
        self.token = self.token_of(plan)
        return plan

    def token_of(self, plan):
        restricting = token_plan(
            plan.active, LOGON, user=OFFLINE if self.elevated else None
        ).restricting
        groups = {EVERYONE: "on", LOGON: "on", acl.USERS: "on", acl.AUTHENTICATED_USERS: "on"}
        if self.elevated:
            groups[GROUP] = "on"
        return Token(self.me, groups, restricting)

    def may(self, path, right, reading):
        return self.disk.may(self.token, path, right, reading)


def intended(rules, path):
    """The deepest rule decides; on a tie none, then write, then read."""
    best = ("read", -1)
    for at, kind, _origin in rules:
        if contains(at, path):
            rank = (at.rstrip("\\").count("\\"), ["read", "write", "none"].index(kind))
            if best[1] == -1 or rank >= best[1]:
                best = (kind, rank)
    return best[0]


def pinned(rules, path):
    """A root, or a folder on the way from one to a closed path."""
    if intended(rules, parent(path)) != "write":
        return True
    return any(
        at != path and contains(path, at) and intended(rules, at) != "write"
        for at, _kind, _origin in rules
    )


def live(world, rules):
    """Without the rules for folders that are missing: those are left out."""
    gone = [at for at, kind, _origin in rules if kind == "write" and at not in world.disk]
    return [
        rule
        for rule in rules
        if rule[0] in world.disk or not any(contains(at, rule[0]) for at in gone)
    ]


# Random machines ---------------------------------------------------------------------------------

NAMES = ["a", "b", ".git"]
PLACES = [
    TOP + "\\" + "\\".join(parts)
    for depth in (1, 2, 3)
    for parts in itertools.product(NAMES, repeat=depth)
]
DEEP = [path + "\\a" for path in PLACES if path.count("\\") == 4][:20]
OWN_LISTS = {
    "none": ((), False),
    "private": (
        (
            Ace(True, acl.SYSTEM, ALL, DOWN),
            Ace(True, acl.ADMINISTRATORS, ALL, DOWN),
            Ace(True, OWNER_RIGHTS, ALL, DOWN),
        ),
        True,
    ),
    "world": ((Ace(True, EVERYONE, ALL, DOWN),), False),
    "world, protected": ((Ace(True, EVERYONE, ALL, DOWN), Ace(True, USER, ALL, DOWN)), True),
    "users": ((Ace(True, acl.USERS, acl.RX, DOWN),), False),
    "the account": ((Ace(True, OFFLINE, ALL, DOWN),), False),
}
LISTS = ["none"] * 6 + list(OWN_LISTS)

CHAIN = [TOP, TOP + "\\a", TOP + "\\a\\a", TOP + "\\a\\a\\a", TOP + "\\a\\b", TOP + "\\b"]
places = st.sampled_from([TOP, *PLACES]) | st.sampled_from(CHAIN)
"""Often the same few, one in the other."""

trees = st.dictionaries(
    st.sampled_from(PLACES + DEEP) | st.sampled_from(CHAIN[1:]),
    st.tuples(st.booleans(), st.sampled_from(LISTS), st.booleans()),
    max_size=12,
)
ACCESSES = {True: ["write", "write", "read", "none", "none"], False: ["write", "write", "read"]}


def policies(*, elevated):
    rule = st.tuples(places, st.sampled_from(ACCESSES[elevated]), st.just("test"))
    return st.lists(rule, max_size=6)


def grow(world, tree, rules, *, by_command):
    """Put objects on the disk: anywhere, or only where a command under `rules` could."""
    for path, (folder, kind, owned) in sorted(tree.items()):
        above = parent(path)
        if path in world.disk or above not in world.disk or not world.disk[above].folder:
            continue
        if by_command and intended(rules, path) != "write":
            continue
        explicit, protected = OWN_LISTS[kind]
        inside = by_command or intended(rules, path) == "write"
        if not inside and kind in ("world", "world, protected", "the account") and not folder:
            continue
        if by_command and protected and world.token is not None:
            # a command can put its own SIDs into what it makes
            explicit = (*explicit, *(Ace(True, s, ALL, DOWN) for s in world.token.restricting))
        ours = inside or inside_root(rules, path)
        owner = world.me if by_command or (owned and ours) else USER
        world.disk.add(path, owner, folder=folder, explicit=explicit, protected=protected)


def judge(world, rules, reading, readable_before):
    """Compare every path and operation with what the rules say."""
    disk, token = world.disk, world.token
    for at, _kind, _origin in rules:
        up = parent(at)
        if at not in disk and up in disk and disk[up].folder and intended(rules, at) != "write":
            can = disk.may_create(token, at, reading, folder=True)
            assert not can, ("make what is missing", at, rules)
    for path in list(disk.paths()):
        if not contains(TOP, path):
            continue
        node, kind = disk[path], intended(rules, path)
        where = (path, kind, reading, rules)
        for name, right in CHANGING.items():
            assert world.may(path, right, reading) == (kind == "write"), (name, *where)
        free = kind == "write" and not pinned(rules, path)
        assert disk.may_delete(token, path, reading) == free, ("delete", *where)
        assert disk.may_rename(token, path, reading) == free, ("rename", *where)
        if kind == "none":
            assert not world.may(path, acl.READ_DATA, reading), ("read", *where)
            assert not world.may(path, acl.EXECUTE, reading), ("run", *where)
        elif kind == "write" or path in readable_before:
            assert world.may(path, acl.R, reading), ("read", *where)
        if kind != "write" or pinned(rules, path):
            own = kind == "read" and node.owner == world.me and made_freely(world, path)
            for right in (acl.WRITE_DAC, acl.WRITE_OWNER):
                assert own or not world.may(path, right, reading), ("change list", *where)
        elif node.owner != world.me and not node.explicit and not node.protected:
            above_free = all(not disk[up].explicit or up == TOP for up in above(path))
            assert not above_free or not world.may(path, acl.WRITE_DAC, reading), ("list", *where)
        if node.folder:
            for folder in (True, False):
                made = path + "\\new"
                can = disk.may_create(token, made, reading, folder=folder)
                assert can == (kind == "write"), ("create", *where)


def above(path):
    while path != TOP:
        path = parent(path)
        yield path


def made_freely(world, path):
    """Was it made where no entry for owners could be inherited?"""
    return all(ace.sid != OWNER_RIGHTS for ace in world.disk[path].dacl or ())


def inside_root(rules, path):
    return any(intended(rules, up) == "write" for up in above(path))


def keeps(world, before):
    """The signed-in user loses nothing, and can undo everything."""
    me = Token(USER, {EVERYONE: "on", acl.USERS: "on", acl.AUTHENTICATED_USERS: "on"})
    for path in list(world.disk.paths()):
        node = world.disk[path]
        now = access(me, node.owner, node.dacl, ALL, "bit")
        assert before.get(path, 0) & ~now == 0, (path, hex(before[path]), hex(now))


def rights_of_user(world):
    me = Token(USER, {EVERYONE: "on", acl.USERS: "on", acl.AUTHENTICATED_USERS: "on"})
    return {
        path: access(me, world.disk[path].owner, world.disk[path].dacl, ALL, "bit")
        for path in world.disk.paths()
    }


def readable(world, token):
    return {p for p in world.disk.paths() if world.disk.may(token, p, acl.R, "bit")}


def run(world, rules, tree):
    """One policy on whatever is there: apply and judge, under both readings."""
    rules = live(world, rules)
    before = rights_of_user(world)
    world.token = world.token_of(world.plan(rules))
    could_read = readable(world, world.token)
    world.apply(rules)
    assert world.plan(rules).writes_nothing
    keeps(world, before)
    for reading in READINGS:
        judge(world, rules, reading, could_read)
    return could_read


many = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.slow
@pytest.mark.parametrize("elevated", [False, True])
def test_a_plan_gives_exactly_what_the_rules_say(elevated):
    @many
    @given(tree=trees, rules=policies(elevated=elevated))
    def holds(tree, rules):
        world = World(elevated)
        grow(world, tree, rules, by_command=False)
        run(world, rules, tree)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("elevated", [False, True])
def test_what_is_made_later_is_treated_like_what_was_there(elevated):
    @many
    @given(tree=trees, later=trees, rules=policies(elevated=elevated))
    def holds(tree, later, rules):
        world = World(elevated)
        grow(world, tree, rules, by_command=False)
        rules = live(world, rules)
        could_read = run(world, rules, tree)
        plain = {path: (folder, "none", owned) for path, (folder, _k, owned) in later.items()}
        grow(world, plain, rules, by_command=True)
        for reading in READINGS:
            judge(world, rules, reading, could_read)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("elevated", [False, True])
def test_earlier_policies_and_hostile_commands_change_nothing_for_a_later_policy(elevated):
    @many
    @given(
        history=st.lists(st.tuples(policies(elevated=elevated), trees), min_size=1, max_size=3),
        tree=trees,
        rules=policies(elevated=elevated),
    )
    def holds(history, tree, rules):
        world = World(elevated)
        grow(world, tree, rules, by_command=False)
        for wished, made in history:
            earlier = live(world, wished)
            world.apply(earlier)
            grow(world, made, earlier, by_command=True)
        run(world, rules, tree)

    holds()


# Holes that have names ---------------------------------------------------------------------------


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("elevated", [False, True])
def test_a_folder_above_a_closed_one_cannot_be_renamed_and_stays_writable(elevated, reading):
    world = World(elevated)
    for path in (TOP + "\\a", TOP + "\\a\\secret"):
        world.disk.add(path, USER)
    world.apply([(TOP, "write", "t"), (TOP + "\\a\\secret", "read", "t")])
    assert not world.disk.may_rename(world.token, TOP + "\\a", reading)
    assert world.disk.may_create(world.token, TOP + "\\a\\new", reading, folder=True)
    world.disk.add(TOP + "\\a\\new", world.me)
    assert world.disk.may_rename(world.token, TOP + "\\a\\new", reading)


@pytest.mark.parametrize("reading", READINGS)
def test_an_account_cannot_reopen_a_closed_folder_it_owns(reading):
    world = World(elevated=True)
    rules = [(TOP, "write", "t")]
    world.token = world.token_of(world.plan(rules))
    world.disk.add(TOP + "\\.git", OFFLINE)
    assert world.may(TOP + "\\.git", acl.WRITE_DAC, reading)
    world.apply([*rules, (TOP + "\\.git", "read", "t")])
    for right in (acl.WRITE_DAC, acl.WRITE_OWNER, acl.W, acl.DELETE):
        assert not world.may(TOP + "\\.git", right, reading)


@pytest.mark.parametrize("kind", ["private", "world, protected"])
@pytest.mark.parametrize("reading", READINGS)
def test_nor_one_that_it_made_with_a_list_of_its_own(reading, kind):
    world = World(elevated=True)
    explicit, protected = OWN_LISTS[kind]
    git = TOP + "\\.git"
    world.disk.add(git, OFFLINE, explicit=explicit, protected=protected)
    world.apply([(TOP, "write", "t"), (git, "read", "t")])
    for right in (acl.WRITE_DAC, acl.WRITE_OWNER, acl.W, acl.DELETE):
        assert not world.may(git, right, reading)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("folder", [True, False])
def test_what_an_account_made_private_it_still_reads_where_it_is_closed_later(reading, folder):
    world = World(elevated=True)
    path = TOP + "\\a"
    explicit, protected = OWN_LISTS["private"]
    world.disk.add(path, OFFLINE, folder=folder, explicit=explicit, protected=protected)
    world.apply([(TOP, "write", "t"), (path, "read", "t")])
    assert world.may(path, acl.RX, reading)
    for right in (acl.WRITE_DAC, acl.WRITE_OWNER, acl.W, acl.DELETE):
        assert not world.may(path, right, reading)
    world.apply([(TOP, "write", "t"), (path, "none", "t")])
    assert not world.may(path, acl.READ_DATA, reading)


@pytest.mark.parametrize("name", [".git", ".codex", ".agents", ".octavo"])
@pytest.mark.parametrize("elevated", [False, True])
def test_a_missing_protected_folder_is_made_closed_before_a_command_can_make_it(elevated, name):
    world = World(elevated)
    path = f"{TOP}\\{name}"
    plan = world.apply([(TOP, "write", "t"), (path, "read", "protected: the usual")])
    made = next(each for each in plan.creates if each.path == path)
    assert not made.kept
    assert any(not ace.allow for ace in made.dacl)
    for reading in READINGS:
        assert not world.disk.may_create(world.token, path + "\\hooks", reading, folder=True)
        assert not world.disk.may_delete(world.token, path, reading)


def test_a_file_stands_in_where_a_folder_will_not_do():
    world = World(elevated=False)
    path = TOP + "\\config"
    rules = [(TOP, "write", "t"), (path, "read", "protected: git")]
    plan = world.plan(rules, stand_ins={path.upper(): "x\n"})
    assert [(made.path, made.text) for made in plan.creates] == [(path, "x\n")]
    assert all(ace.flags == 0 for made in plan.creates for ace in made.dacl)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("elevated", [False, True])
def test_a_folder_reopened_inside_a_closed_one_is_writable_by_a_sid_of_its_own(elevated, reading):
    world = World(elevated)
    docs, tmp = TOP + "\\docs", TOP + "\\docs\\tmp"
    for path in (docs, tmp):
        world.disk.add(path, USER)
    plan = world.apply([(TOP, "write", "t"), (docs, "read", "t"), (tmp, "write", "t")])
    assert len(plan.active) == 2
    assert world.may(tmp, acl.W, reading)
    assert not world.may(docs, acl.W, reading)
    assert not world.disk.may_rename(world.token, tmp, reading)
    world.disk.add(tmp + "\\x", world.me, folder=False)
    assert world.disk.may_delete(world.token, tmp + "\\x", reading)


def test_with_delete_child_in_the_mask_a_closed_folder_could_be_deleted():
    world = World(elevated=False)
    git = TOP + "\\.git"
    world.disk.add(git, USER)
    world.apply([(TOP, "write", "t"), (git, "read", "t")])
    assert not world.disk.may_delete(world.token, git, "bit")
    wide = Ace(True, world.token.restricting[0], acl.ALLOW_WRITE | acl.DELETE_CHILD, DOWN)
    world.disk[TOP].explicit = (wide,)
    world.disk[TOP].explicit += (Ace(True, USER, ALL, DOWN),)
    assert world.disk.may_delete(world.token, git, "bit")


def test_denying_a_capability_to_read_hides_nothing():
    world = World(elevated=True)
    world.apply([(TOP, "write", "t")])
    world.disk.add(TOP + "\\s", USER, explicit=[Ace(False, world.token.restricting[0], acl.R)])
    assert all(world.may(TOP + "\\s", acl.R, reading) for reading in READINGS)


def test_what_a_command_moved_between_two_roots_keeps_its_entries_until_windows_renews_them():
    # known, and said in docs/windows-sandbox.md: Windows does not look at lists when it renames
    world = World(elevated=False)
    for path in (TOP + "\\a", TOP + "\\b", TOP + "\\a\\x"):
        world.disk.add(path, USER)
    world.apply([(TOP + "\\a", "write", "t"), (TOP + "\\b", "write", "t")])
    world.disk.move(TOP + "\\a\\x", TOP + "\\b\\x")
    world.apply([(TOP + "\\a", "write", "t")])
    assert world.may(TOP + "\\b\\x", acl.W, "bit")
    world.disk.propagate(TOP + "\\b")
    assert not world.may(TOP + "\\b\\x", acl.W, "bit")


def test_a_read_only_run_has_the_read_only_sid_and_touches_nothing():
    world = World(elevated=False)
    plan = world.apply([(TOP, "read", "t")])
    assert plan.active == (world.known.readonly,)
    assert plan.writes_nothing


def test_a_folder_everybody_may_write_is_closed_by_a_sid_of_its_own():
    world = World(elevated=False)
    world.disk.add("C:\\open", USER, explicit=[Ace(True, EVERYONE, ALL, DOWN)])
    plan = world.apply([(TOP, "write", "t")])
    assert len(plan.active) == 2
    assert not any(world.may("C:\\open", acl.W, reading) for reading in READINGS)
    assert len(world.apply([("C:\\open", "write", "t")]).active) == 1
    assert all(world.may("C:\\open", acl.W, reading) for reading in READINGS)


def test_what_is_no_longer_hidden_can_be_read_unless_another_command_still_needs_it_hidden():
    world = World(elevated=True)
    world.disk.add(TOP + "\\s", USER)
    world.apply([(TOP + "\\s", "none", "t")])
    assert not world.may(TOP + "\\s", acl.R, "bit")
    assert world.plan([], held=[TOP + "\\s"]).writes_nothing
    world.apply([])
    assert world.may(TOP + "\\s", acl.R, "bit")


def test_the_order_of_rules_and_the_case_of_their_letters_make_no_difference():
    world = World(elevated=False)
    world.disk.add(TOP + "\\a", USER)
    rules = [(TOP, "write", "t"), (TOP + "\\a", "read", "t")]
    one = world.apply(rules)
    other = world.plan([("c:/W/A", "read", "t"), ("c:\\w\\", "write", "t")])
    assert other.writes_nothing
    assert other.fingerprint == one.fingerprint


def test_closing_comes_before_opening():
    world = World(elevated=True)
    world.disk.add(TOP + "\\a", USER)
    plan = world.plan([(TOP, "write", "t"), (TOP + "\\a", "none", "t")])
    assert [change.path for change in plan.changes] == [TOP + "\\a", TOP]


@pytest.mark.parametrize("reading", READINGS)
def test_what_an_account_made_in_an_earlier_run_it_cannot_reopen_in_a_later_one(reading):
    world = World(elevated=True)
    world.disk.add(TOP + "\\own", USER, explicit=OWN_LISTS["private"][0], protected=True)
    world.apply([(TOP, "write", "t")])
    for path in (TOP + "\\x", TOP + "\\own\\x"):
        world.disk.add(path, OFFLINE, folder=False)
    world.apply([])
    for path in (TOP + "\\x", TOP + "\\own\\x"):
        for right in (acl.W, acl.WRITE_DAC, acl.DELETE):
            assert not world.may(path, right, reading)


# What is refused ---------------------------------------------------------------------------------

BAD_ROOTS = {
    "C:\\": "whole drive",
    PROFILE: "whole user profile",
    "C:\\Users": "whole user profile",
    "C:\\Windows\\Temp": "the system's C:\\Windows",
    "C:\\ProgramData": "the system's C:\\ProgramData",
    "\\\\server\\share\\x": "network share",
    "\\\\?\\UNC\\server\\share\\x": "network share",
}


@pytest.mark.parametrize("root", BAD_ROOTS)
@pytest.mark.parametrize("elevated", [False, True])
def test_a_root_that_would_open_too_much_is_refused_with_its_reason(root, elevated):
    world = World(elevated)
    present = acl.Present(root, True, USER, ())
    with pytest.raises(SandboxUnavailable) as caught:
        plan_windows(
            [("/", "read", "all"), (root, "write", "config.toml:3")],
            facts=FACTS,
            capabilities=world.known,
            random=world.random,
            look=lambda _path: present,
            level="elevated" if elevated else "unelevated",
        )
    assert BAD_ROOTS[root] in str(caught.value)
    assert "config.toml:3" in str(caught.value)
    assert "did not run" in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "more", "reason"),
    [
        ([(TOP, "none", "t")], {}, "without an account of its own"),
        ([("/", "write", "t")], {}, "no sandbox"),
        ([("/", "none", "t")], {}, "limited to some folders"),
        ([], {"network": "none"}, "cannot close it"),
        ([(TOP, "execute", "t")], {}, "not an access"),
    ],
)
def test_what_the_unelevated_backend_cannot_hold_is_refused(rules, more, reason):
    with pytest.raises(SandboxUnavailable, match=reason):
        World(elevated=False).plan(rules, **more)


def test_octavo_in_a_writable_folder_is_refused():
    world = World(elevated=False)
    facts = Facts(
        user=USER, logon=LOGON, home="C:\\h", profile=PROFILE, cwd=TOP, runtime=(TOP + "\\py",)
    )
    with pytest.raises(SandboxUnavailable, match="runs from"):
        plan_windows(
            [("/", "read", "all"), (TOP, "write", "t")],
            facts=facts,
            capabilities=world.known,
            random=world.random,
            look=world.disk.present,
        )


@pytest.mark.parametrize(
    ("level", "network", "enforced", "answer"),
    [
        ("unelevated", "on", False, ("unelevated", None)),
        ("unelevated", "off", False, ("unelevated", None)),
        ("unelevated", "off", True, ("elevated", "offline")),
        ("unelevated", "proxy", False, ("elevated", "offline")),
        ("disabled", "proxy", False, ("elevated", "offline")),
        ("elevated", "on", False, ("elevated", "online")),
        ("elevated", "on", True, ("elevated", "offline")),
        ("elevated", "off", False, ("elevated", "offline")),
    ],
)
def test_which_backend_and_account_run_a_command(level, network, enforced, answer):
    assert choose(level, network, proxy_enforced=enforced) == answer


def test_without_a_level_nothing_runs():
    with pytest.raises(SandboxUnavailable):
        choose("disabled", "off")
