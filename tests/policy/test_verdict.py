"""Who may run what, and where: the table of the policies, and rules before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.rule_file import read_rules
from octavo.policy.rules import RuleSet
from octavo.policy.verdict import Allow, Ask, Forbid, Situation, decide, may_retry
from octavo.protocol.approvals import Granular

INSIDE, OUTSIDE = Allow, "outside"
BOTH = Granular(sandbox_approval=True, rules=True, mcp_elicitations=True)


def rules(text):
    return read_rules(text.encode(), "x.rules")


def shell(script):
    return ("/bin/bash", "-lc", script)


def kind(verdict):
    if isinstance(verdict, Allow) and verdict.outside:
        return OUTSIDE
    return type(verdict)


@pytest.mark.parametrize(("policy", "script", "more", "answer"), [
    ("never", "make", {}, INSIDE),
    ("never", "make", {"escalated": True}, Forbid),
    ("never", "make", {"escalated": True, "sandboxed": False}, INSIDE),
    ("never", "rm -rf x", {}, Forbid),
    ("on-request", "make", {}, INSIDE),
    ("on-request", "make > x", {}, INSIDE),
    ("on-request", "make", {"hides": True}, INSIDE),
    ("on-request", "make", {"escalated": True}, Ask),
    ("on-request", "ls", {"escalated": True}, Ask),
    ("on-request", "make", {"escalated": True, "hides": True}, Forbid),
    ("on-request", "make", {"sandboxed": False}, INSIDE),
    ("on-request", "rm -f x", {}, Ask),
    ("on-request", "rm -f x", {"sandboxed": False}, Ask),
    ("untrusted", "make", {}, Ask),
    ("untrusted", "make", {"sandboxed": False}, Ask),
    ("untrusted", "make", {"escalated": True}, Forbid),
    ("untrusted", "ls | head -3 && git status", {}, INSIDE),
    ("untrusted", "ls | head -3 && make", {}, Ask),
    ("untrusted", "ls > x", {}, Ask),
    ("untrusted", "ls $(make)", {}, Ask),
    ("untrusted", "cat <<'E'\nx\nE", {}, Ask),
    ("granular", "make", {"granular": BOTH}, INSIDE),
    ("granular", "make", {"granular": BOTH, "escalated": True}, Forbid),
    ("granular", "rm -f x", {"granular": BOTH}, Ask),
    ("granular", "rm -f x", {"granular": Granular(sandbox_approval=False, rules=True, mcp_elicitations=True)}, Forbid),
    ("granular", "rm -f x", {}, Forbid),
    ("something else", "make", {"escalated": True}, Forbid),
])  # fmt: skip
def test_without_rules_the_policy_and_the_tables_decide(policy, script, more, answer):
    assert kind(decide(shell(script), Situation(policy=policy, **more))) == answer


RULES = rules(
    'prefix_rule(pattern=["make"])\nprefix_rule(pattern=["ls"])\n'
    'prefix_rule(pattern=["rm"], decision="allow")\n'
    'prefix_rule(pattern=["git"], decision="prompt", justification="look first")\n'
    'prefix_rule(pattern=["git", "push"], decision="forbidden", justification="people push")\n'
)


@pytest.mark.parametrize(("policy", "script", "more", "answer"), [
    ("never", "make", {}, OUTSIDE),
    ("never", "make && ls", {"escalated": True}, OUTSIDE),
    ("never", "make", {"hides": True}, INSIDE),
    ("never", "make", {"hides": True, "escalated": True}, Forbid),
    ("never", "make", {"sandboxed": False}, INSIDE),
    ("never", "make | other", {}, INSIDE),
    ("never", "make > x", {}, INSIDE),
    ("never", "git log", {}, Forbid),
    ("never", "rm -rf x", {}, OUTSIDE),
    ("on-request", "git log", {}, Ask),
    ("on-request", "make; git push", {}, Forbid),
    ("on-request", "git push", {"sandboxed": False}, Forbid),
    ("on-request", "make && other", {"escalated": True}, Ask),
    ("untrusted", "make", {}, OUTSIDE),
    ("untrusted", "make && other", {}, Ask),
    ("untrusted", "make", {"escalated": True}, OUTSIDE),
    ("granular", "git log", {"granular": BOTH}, Ask),
    ("granular", "git log", {"granular": Granular(sandbox_approval=True, rules=False, mcp_elicitations=True)}, Forbid),
    ("never", "make <<'E'\nx\nE", {}, OUTSIDE),
])  # fmt: skip
def test_rules_come_first_and_the_strictest_part_decides(policy, script, more, answer):
    assert kind(decide(shell(script), Situation(policy=policy, **more), RULES)) == answer


def test_the_reason_names_the_rule_and_where_it_is():
    at = Situation(policy="on-request")
    assert decide(shell("git push"), at, RULES).reason == (
        "reject command — forbidden: people push — rule `git push` (x.rules:5)"
    )
    assert decide(shell("git log"), at, RULES).because == "look first — rule `git` (x.rules:4)"
    assert "x.rules:1" in decide(shell("make"), at, RULES).because


def test_rules_see_the_shell_where_a_script_is_opaque():
    found = rules('prefix_rule(pattern=["/bin/bash", "-lc"], decision="forbidden")')
    at = Situation(policy="on-request")
    assert kind(decide(shell("make $x"), at, found)) == Forbid
    assert kind(decide(shell("make"), at, found)) == Allow


@pytest.mark.parametrize(("policy", "answer"), [("on-request", Ask), ("never", Forbid)])
def test_while_a_file_is_broken_no_rule_allows_and_forbidden_stays_so(policy, answer):
    broken = RuleSet(prefixes=RULES.prefixes, broken=("y.rules:7: wrong",))
    at = Situation(policy=policy)
    verdict = decide(shell("make"), at, broken)
    assert kind(verdict) == answer
    assert "y.rules:7" in (verdict.because if answer is Ask else verdict.reason)
    assert kind(decide(shell("git push"), at, broken)) == Forbid
    assert kind(decide(shell("other"), at, broken)) == INSIDE
    asked = decide(shell("other"), Situation(policy="untrusted"), broken)
    assert asked.proposal is None


def test_a_shell_nobody_knows_makes_a_script_opaque():
    at = Situation(policy="on-request", shell="/opt/own/bash")
    for program, answer in (("/opt/own/bash", OUTSIDE), ("bash", OUTSIDE), ("/w/bash", INSIDE)):
        assert kind(decide((program, "-c", "make"), at, RULES)) == answer


ESCALATED = Situation(policy="on-request", escalated=True)


@pytest.mark.parametrize(("script", "wanted", "proposal"), [
    ("git pull --rebase", ("git", "pull"), ("git", "pull")),
    ("git pull --rebase", None, ("git", "pull", "--rebase")),
    ("git pull", ("git",), ("git", "pull")),
    ("git pull", ("hg", "pull"), ("git", "pull")),
    ("npm run x", ("npm", "run"), ("npm", "run", "x")),
    ("python3 -c x", ("python3", "-c"), ("python3", "-c", "x")),
    ("bash", None, None),
    ("a && b", ("a",), None),
    ("a && a b", ("a",), ("a",)),
    ("a > x", ("a",), None),
    ("a <<'E'\nx\nE", ("a",), None),
    ("rm -rf x", ("rm", "-rf", "x"), None),
])  # fmt: skip
def test_what_always_would_mean_is_enough_by_itself_and_not_too_much(script, wanted, proposal):
    assert decide(shell(script), ESCALATED, wanted=wanted).proposal == proposal


def test_in_the_sandbox_a_rule_for_the_part_that_was_asked_about_will_do():
    verdict = decide(shell("cd x && make test"), Situation(policy="untrusted"))
    assert verdict.proposal == ("make", "test")
    assert verdict.parts.commands == (("cd", "x"), ("make", "test"))


def test_where_a_rule_matched_the_models_own_is_not_taken():
    verdict = decide(shell("make && b c"), ESCALATED, RULES, wanted=("b",))
    assert verdict.proposal == ("b", "c")


@pytest.mark.parametrize(("more", "answer"), [
    ({"policy": "untrusted"}, True), ({"policy": "on-request"}, False), ({"policy": "never"}, False),
    ({"policy": "granular"}, False), ({"policy": "granular", "granular": BOTH}, True),
    ({"policy": "untrusted", "hides": True}, False),
    ({"policy": "untrusted", "sandboxed": False}, False),
])  # fmt: skip
def test_a_second_try_outside_is_possible_only_where_somebody_may_be_asked(more, answer):
    assert may_retry(Situation(**more)) == answer


WORDS = st.lists(st.sampled_from(["make", "ls", "git", "push", "rm", "-f", "x", "|", "&&", ";", ">", "$x", "sudo"]), min_size=1, max_size=6)  # fmt: skip
POLICIES = st.sampled_from(["never", "on-request", "untrusted", "granular", "odd"])


@given(WORDS, POLICIES, st.booleans(), st.booleans())
def test_nothing_leaves_the_sandbox_where_reading_is_limited(words, policy, escalated, broken):
    found = RuleSet(prefixes=RULES.prefixes, broken=("x",) if broken else ())
    at = Situation(policy=policy, escalated=escalated, hides=True, granular=BOTH)
    verdict = decide(shell(" ".join(words)), at, found)
    assert not (isinstance(verdict, Allow) and verdict.outside)
    if escalated:
        assert isinstance(verdict, Forbid)


@given(WORDS, POLICIES, st.booleans())
def test_a_proposal_kept_as_a_rule_spares_the_question(words, policy, escalated):
    at = Situation(policy=policy, escalated=escalated, granular=BOTH)
    argv = shell(" ".join(words))
    verdict = decide(argv, at)
    if isinstance(verdict, Ask) and verdict.proposal is not None:
        assert isinstance(decide(argv, at, RuleSet().with_prefix(verdict.proposal)), Allow)
