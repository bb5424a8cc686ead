"""Rules: which a command meets, and the line that writes one down."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.rule_file import read_rules
from octavo.policy.rules import PrefixRule, RuleSet, merged, strictest, written

WORD = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
FIRST = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=12
)


def rules(text):
    return read_rules(text.encode(), "x.rules")


def decision(found, *words, resolve=False):
    top = strictest(found.matches(words, resolve=resolve))
    return None if top is None else top.rule.decision


@given(st.tuples(FIRST), st.lists(WORD, max_size=5))
def test_a_line_written_down_is_read_as_the_same_rule(first, rest):
    words = (*first, *rest)
    line = written(words)
    assert len(line.splitlines()) == 1
    (rule,) = rules(line + "\n").prefixes
    assert rule.pattern == tuple((word,) for word in words)
    assert rule.decision == "allow"


def test_half_letters_and_nothing_cannot_be_written_down():
    for words in ((), ("\ud800",)):
        with pytest.raises(ValueError, match=r"at least one word|surrogates not allowed"):
            written(words)


@given(st.lists(WORD, min_size=1, max_size=4), st.lists(WORD, max_size=4))
def test_a_rule_matches_exactly_what_begins_with_it(pattern, words):
    rule = PrefixRule(pattern=tuple((word,) for word in pattern))
    matched = rule.prefix_of(words)
    assert (matched is not None) == (words[: len(pattern)] == pattern)
    assert rule.prefix_of([*pattern, *words]) == tuple(pattern)


DECISIONS = st.sampled_from(["allow", "prompt", "forbidden"])


@given(st.lists(DECISIONS, min_size=1, max_size=6), st.randoms())
def test_the_strictest_decides_whatever_the_order(found, random):
    made = [PrefixRule(pattern=(("a",),), decision=one) for one in found]
    random.shuffle(made)
    order = ["allow", "prompt", "forbidden"]
    assert decision(RuleSet(prefixes=tuple(made)), "a") == max(found, key=order.index)


def test_words_may_have_alternatives_the_first_too():
    found = rules('prefix_rule(pattern=[["git", "hg"], ["status", "log"], "-s"])')
    assert decision(found, "hg", "log", "-s", "more") == "allow"
    assert decision(found, "hg", "log") is None
    assert decision(found, "hg", "log", "-sx") is None


PATHS = (
    'prefix_rule(pattern=["git"])\nprefix_rule(pattern=["rm"], decision="forbidden")\n'
    'prefix_rule(pattern=["/opt/own"], decision="prompt")\nprefix_rule(pattern=["own"])\n'
    'host_executable(name="git", paths=["/usr/bin/git"])\n'
)


def test_a_path_stands_for_its_name_where_that_was_said():
    found = rules(PATHS)
    assert decision(found, "/usr/bin/git") is None
    assert decision(found, "/usr/bin/git", resolve=True) == "allow"
    assert decision(found, "/tmp/git", resolve=True) is None
    assert decision(found, "/any/rm", resolve=True) == "forbidden"
    assert decision(found, "/opt/own", resolve=True) == "prompt"
    assert decision(found, "./git", resolve=True) is None


def test_a_path_that_nobody_listed_is_never_trusted_and_always_forbidden():
    found = rules(PATHS)
    assert strictest(found.trusted(("/usr/bin/git",))).rule.decision == "allow"
    assert strictest(found.trusted(("/tmp/git",))) is None
    assert strictest(found.trusted(("/tmp/own",))) is None
    assert strictest(found.trusted(("/tmp/rm",))).rule.decision == "forbidden"


def test_a_broken_file_spoils_none_of_the_others():
    good = rules('prefix_rule(pattern=["a"])\nhost_executable(name="a", paths=["/x/a"])')
    other = rules('host_executable(name="a", paths=["/y/a"])')
    all_of_it = merged([good, RuleSet(broken=("b.rules:1: wrong",)), other])
    assert decision(all_of_it, "a") == "allow"
    assert all_of_it.programs == {"a": ("/x/a", "/y/a")}
    assert all_of_it.broken == ("b.rules:1: wrong",)


def test_what_is_allowed_can_be_read():
    found = rules(
        'prefix_rule(pattern=["git", ["pull", "fetch"]])\nprefix_rule(pattern=["ls"])\n'
        'prefix_rule(pattern=["rm"], decision="prompt")\nprefix_rule(pattern=["ls"])\n'
    )
    assert found.allowed_prefixes() == (("git", "pull|fetch"), ("ls",))
    assert ast.literal_eval(written(("a'b\"c",)).partition("[")[2].partition("]")[0]) == "a'b\"c"
