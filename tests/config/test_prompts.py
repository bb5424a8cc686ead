"""Prompts in files, and the words put into them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.config.prompts import Prompt, expand, expanded, load_prompts
from octavo.protocol.errors import ConfigError, OctavoError, UsageError


def prompt(body):
    return Prompt(name="p", path="/p.md", body=body)


@pytest.fixture
def home(tmp_path):
    (tmp_path / "prompts").mkdir()
    return tmp_path


def write(home, name, text):
    (home / "prompts" / name).write_text(text)


def test_words_by_number_all_of_them_and_by_name():
    assert expand(prompt("fix $1 in $2, $3."), "'two words' file") == "fix two words in file, ."
    assert expand(prompt("do: $ARGUMENTS"), "a 'b c' d") == "do: a b c d"
    body = "review $FILE for $WHO with $1"
    assert expand(prompt(body), 'x WHO=me FILE="a b.py"') == "review a b.py for me with x"


def test_a_dollar_and_what_only_looks_like_a_hole():
    body = "costs $$5 and $$1, $10, $lower, $"
    assert expand(prompt(body), "") == "costs $5 and $1, $10, $lower, $"


def test_missing_words_and_words_nobody_takes_are_said():
    with pytest.raises(UsageError, match="needs FILE, WHO"):
        expand(prompt("$FILE $WHO"), "")
    with pytest.raises(UsageError, match="takes no words"):
        expand(prompt("nothing here"), "extra")
    with pytest.raises(UsageError, match="not closed"):
        expand(prompt("$1"), "'open")


def test_what_is_put_in_is_not_read_again():
    assert expand(prompt("$1 $2"), "'$2' b") == "$2 b"


def test_a_call_becomes_the_prompt_and_other_words_stay(home):
    write(home, "review.md", "---\ndescription: Look\nargument-hint: FILE\n---\nreview $1 well\n")
    assert expanded("/prompts:review a.py", str(home)) == "review a.py well"
    assert expanded("/prompts:review\na.py", str(home)) == "review a.py well"
    assert expanded("/prompts:review a.py\n\nmore $1", str(home)) == "review a.py well\n\nmore $1"
    assert expanded("say /prompts:review", str(home)) == "say /prompts:review"


@pytest.mark.parametrize("name", ["", "nope", "../secret", ".hidden", "a/b", " x"])
def test_a_prompt_that_is_not_there_is_said(home, name):
    write(home, "review.md", "x")
    (home / "secret.md").write_text("secret")
    with pytest.raises(UsageError, match="there is no prompt"):
        expanded(f"/prompts:{name}", str(home))


def test_a_name_that_is_nearly_right_gets_a_hint(home):
    write(home, "review.md", "x")
    with pytest.raises(UsageError, match='did you mean "review"'):
        expanded("/prompts:reveiw", str(home))


def test_files_that_are_wrong_are_warnings_in_a_list_and_errors_in_use(home):
    write(home, "good.md", "---\ndescription: >\n  Two\n  lines\n---\nx")
    write(home, "open.md", "---\ndescription: x\n")
    (home / "prompts/bytes.md").write_bytes(b"\xff\xfe")
    (home / "prompts/folder.md").mkdir()
    found = load_prompts(str(home))
    assert [(one.name, one.description) for one in found.found] == [("good", "Two lines")]
    assert len(found.warnings) == 3
    with pytest.raises(ConfigError, match=r"open\.md"):
        expanded("/prompts:open", str(home))
    assert load_prompts(str(home / "nowhere")).found == ()


@given(st.text(), st.text())
def test_no_prompt_and_no_words_are_too_strange(body, words):
    with suppress(OctavoError):  # anything else is a defect
        assert isinstance(expand(prompt(body), words), str)
