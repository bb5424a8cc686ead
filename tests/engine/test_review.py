"""What a reviewer answers, understood as far as it can be; and how it is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.engine import review as r
from octavo.engine.review import BaseBranch, Commit, Custom, Uncommitted
from octavo.protocol.items import CodeLocation, Finding, LineRange, Review


def place(path="/w/a.py", start=3, end=5):
    return CodeLocation(absolute_file_path=path, line_range=LineRange(start=start, end=end))


WHOLE = Review(
    findings=(
        Finding(title="Nice", body="b", confidence_score=0.5, priority=3, code_location=place()),
        Finding(
            title="[P1] Off by one",
            body="The last row is lost.\n\n```\nrange(n - 1)\n```",
            confidence_score=0.9,
            priority=1,
            code_location=place("/w/src/b.py", 7, 7),
        ),
        Finding(title="Elsewhere", body="", code_location=place("/other/c.py")),
    ),
    overall_correctness="patch is incorrect",
    overall_explanation="Rows get lost.",
    overall_confidence_score=0.83,
)
TEXT = """\
Patch is incorrect (confidence 0.83).

Rows get lost.

3 findings:

- [P1] Off by one — src/b.py:7
  The last row is lost.

  ```
  range(n - 1)
  ```

- [P3] Nice — a.py:3-5
  b

- Elsewhere — /other/c.py:3-5"""


def as_json(review):
    import msgspec

    return msgspec.json.encode(review).decode()


def test_a_whole_answer_is_read_back():
    assert r.parsed(as_json(WHOLE)) == WHOLE


def test_words_and_a_fence_around_it_do_no_harm():
    assert r.parsed(f"Here you are:\n```json\n{as_json(WHOLE)}\n```\nBye.") == WHOLE


@pytest.mark.parametrize("text", ["Looks good.", "{", "} {", "{}", "[]", '{"a": {"b": 1}}', "42"])
def test_anything_else_is_the_explanation(text):
    assert r.parsed(f" {text}\n") == Review(overall_explanation=text)


def test_numbers_outside_their_range_are_brought_into_it():
    raw = json.loads(as_json(WHOLE))
    raw["overall_confidence_score"] = 85
    raw["overall_correctness"] = "Patch is incorrect."
    raw["findings"][0] |= {"priority": 9, "confidence_score": -1}
    raw["findings"][1]["code_location"]["line_range"] = {"start": 7, "end": 2}
    raw["findings"][2]["code_location"] = None
    raw["findings"] += ["nothing", {}, {"body": "only a body"}]
    found = r.parsed(json.dumps(raw))
    assert found.overall_confidence_score == 1
    assert found.overall_correctness == "patch is incorrect"
    first, second, third, last = found.findings
    assert (first.priority, first.confidence_score) == (None, 0)
    assert second.code_location.line_range == LineRange(start=7, end=7)
    assert third.code_location.absolute_file_path == "?"
    assert last.title == "only a body"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "findings", "title", "body", "priority", "code_location", "line_range", "start",
            "overall_explanation", "confidence_score", "absolute_file_path", "overall_correctness",
        ]),
        inner,
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON.map(json.dumps) | st.text(max_size=60))
def test_no_answer_is_too_odd_to_be_shown(text):
    assert r.rendered(r.parsed(text), cwd="/w")


def test_findings_are_shown_with_file_and_line_the_urgent_first():
    assert r.rendered(WHOLE, cwd="/w") == TEXT


def test_a_clean_change_is_said_to_be_one():
    review = Review(
        overall_correctness="patch is correct",
        overall_explanation="Good.",
        overall_confidence_score=0.7,
    )
    assert r.rendered(review, cwd="/w") == (
        "Patch is correct (confidence 0.70).\n\nGood.\n\nNo findings."
    )
    assert r.rendered(Review(overall_explanation="Hm."), cwd="/w") == "Hm."
    assert r.rendered(Review(), cwd="/w") == "No findings."


def test_each_target_is_asked_for_by_what_git_calls_it():
    assert "untracked" in r.prompt_for(Uncommitted())
    assert "git diff abc" in r.prompt_for(BaseBranch(branch="main", merge_base="abc"))
    assert "merge-base" in r.prompt_for(BaseBranch(branch="main"))
    assert '1234 ("Add it")' in r.prompt_for(Commit(sha="1234", title="Add it"))
    assert r.prompt_for(Custom(instructions=" only docs\n")) == "only docs"
    assert r.words_of(Custom(instructions="a" * 100)) == "a" * 79 + "…"
    assert r.words_of(Commit(sha="a" * 40, title="T")) == f"commit {'a' * 12}: T"


def test_the_schema_demands_every_field_of_every_object():
    def objects(schema):
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield schema
            for inner in schema.values():
                yield from objects(inner)

    found = list(objects(r.SCHEMA))
    assert len(found) == 4
    for one in found:
        assert one["required"] == list(one["properties"])
        assert one["additionalProperties"] is False


def test_later_turns_are_told_what_came_out():
    user, said = r.results(Uncommitted(), WHOLE, cwd="/w")
    assert (user.role, said.role) == ("user", "assistant")
    assert TEXT in user.text
    assert said.text == TEXT
    user, said = r.unfinished(Uncommitted())
    assert "did not come to its end" in user.text
    assert "stopped" in said.text
