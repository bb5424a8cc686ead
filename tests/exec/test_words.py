"""The command line as values: by hand and by the command line proper, with one meaning."""

import os

import click
import pytest

from octavo.cli.exec import command
from octavo.engine.review import BaseBranch, Commit, Custom, Uncommitted
from octavo.exec import words
from octavo.exec.words import by_hand
from octavo.protocol.errors import UsageError

ALIKE = [
    ["do it"],
    ["-"],
    [],
    ["-m", "gpt-5", "--json", "do it"],
    ["--model=gpt-5", "-s", "read-only", "--color=never", "x"],
    ["-i", "a.png,b.png", "--image", "c.png", "x"],
    ["-c", "a=1", "--config", "b=2", "--enable", "f", "--disable", "g", "x"],
    ["--add-dir", "/a", "--add-dir", "/b", "-C", "/c", "x"],
    ["-o", "out", "--output-schema", "s.json", "--ephemeral", "--skip-git-repo-check", "x"],
    ["--experimental-json", "resume", "ID", "x"],
    ["-m", "m", "resume", "--last", "x"],
    ["resume", "--last", "--all"],
    ["resume", "NAME"],
    ["fork", "ID", "x"],
    ["--plan", "x"],
    ["--overlay", "x"],
    ["--overlay", "resume", "ID", "x"],
    ["resume", "--last", "--plan", "x"],
    ["review"],
    ["review", "only the names"],
    ["review", "-"],
    ["review", "--uncommitted", "--json"],
    ["--base", "main", "review"],
    ["review", "--commit", "abc", "--title", "Add it", "-m", "judge"],
    ["--oss", "--local-provider", "lmstudio", "-p", "work", "x"],
    ["--dangerously-bypass-approvals-and-sandbox", "x"],
    ["--thread-source", "user", "--cyber-access-program", "p", "--approve-for-me", "x"],
    ["--ignore-user-config", "--ignore-rules", "--strict-config", "x"],
]


def by_click(args):
    """What the command itself makes of the same words."""
    context = command.make_context("exec", list(args))
    given = dict(context.params)
    return words.options_from(given.pop("words"), given)


@pytest.mark.parametrize("args", ALIKE, ids=" ".join)
def test_both_ways_of_reading_agree(args):
    found = by_hand(args)
    assert found is not None
    assert found == by_click(args)


@pytest.mark.parametrize("args", [
    ["--help"], ["-h"], ["--bogus"], ["-m"], ["-s", "bogus", "x"], ["--color", "red", "x"], ["-mgpt"],
])  # fmt: skip
def test_what_has_to_be_explained_is_left_to_the_command_line_proper(args):
    assert by_hand(args) is None


@pytest.mark.parametrize("args", [
    ["review", "a", "b"], ["review", "--base", "main", "x"], ["review", "--last"],
    ["review", "--uncommitted", "--commit", "1"], ["review", "--title", "t"], ["--base", "x", "y"],
    ["review", "--plan"], ["review", "-i", "a.png"],
    ["a", "b"], ["--last", "x"], ["fork"], ["resume", "a", "b", "c"], ["--all", "x"],
])  # fmt: skip
def test_words_that_contradict_each_other_are_refused_both_ways(args):
    with pytest.raises(UsageError) as one:
        by_hand(args)
    with pytest.raises(UsageError) as other:
        by_click(args)
    assert str(one.value) == str(other.value)


@pytest.mark.parametrize("word", ["resume", "review", "-x", "fork"])
def test_after_two_dashes_every_word_is_a_prompt(word):
    found = by_hand(["--json", "--", word])
    assert found is not None
    assert (found.prompt, found.resumed) == (word, False)


def test_two_dashes_separate_pictures_from_the_prompt():
    found = by_hand(["-i", "a.png", "b.png", "--json", "--", "look"])
    assert found is not None
    assert (found.images, found.prompt, found.as_json) == (("a.png", "b.png"), "look", True)
    found = by_hand(["resume", "ID", "--image", "a.png", "b.png", "c.png", "--", "look"])
    assert found is not None
    assert (found.images, found.resume, found.prompt) == (("a.png", "b.png", "c.png"), "ID", "look")


def test_without_them_a_picture_does_not_swallow_the_prompt():
    found = by_hand(["-i", "a.png", "look"])
    assert found is not None
    assert (found.images, found.prompt) == (("a.png",), "look")


def test_the_words_of_the_published_client_are_understood():
    found = by_hand([
        "--experimental-json", "--config", "a=1", "--config", 'openai_base_url="http://x"',
        "--model", "m", "--thread-source", "s", "--sandbox", "workspace-write", "--cd", "/w",
        "--add-dir", "d", "--skip-git-repo-check", "--output-schema", "f", "--config",
        'model_reasoning_effort="low"', "resume", "ID", "--image", "a.png", "--image", "b.png",
    ])  # fmt: skip
    assert found is not None
    assert (found.resume, found.prompt, found.images) == ("ID", None, ("a.png", "b.png"))
    assert found.add_dirs == (os.path.abspath("d"),)
    assert found.flags == {"model": "m", "sandbox_mode": "workspace-write"}


def test_a_reviewer_decides_where_somebody_asks_for_one():
    found = by_hand(["--approve-for-me", "x"])
    assert found is not None
    assert found.flags == {"approvals_reviewer": "auto_review", "approval_policy": "on-request"}


def test_every_option_of_the_command_is_known_by_hand():
    known = {*words.VALUES, *words.SWITCHES, *words.LISTS}
    listed = {
        name
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
    }
    assert known == listed


@pytest.mark.parametrize(("args", "target"), [
    (["review"], Uncommitted()),
    (["review", "--uncommitted"], Uncommitted()),
    (["review", "--base=main"], BaseBranch(branch="main")),
    (["review", "--commit", "abc", "--title", "T"], Commit(sha="abc", title="T")),
    (["review", "the docs"], Custom(instructions="the docs")),
])  # fmt: skip
def test_a_review_has_one_target(args, target):
    found = by_hand(args)
    assert found is not None
    assert (found.review, found.prompt, found.resumed) == (target, None, False)


def test_a_model_named_for_a_review_is_the_one_that_reviews():
    found = by_hand(["review", "-m", "judge"])
    assert found is not None
    assert found.flags == {"model": "judge", "review_model": "judge"}
