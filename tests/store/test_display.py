import json

from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol import items as shown
from octavo.protocol.content import ImageInput, TextInput
from octavo.store.display import head_and_tail, item_from_wire, item_to_wire

ITEMS = [
    shown.UserMessage(id="1", content=(TextInput(text="hi"), ImageInput(path="/p"), ImageInput(url="data:x"))),
    shown.AgentMessage(id="2", text="ho", phase="commentary"),
    shown.Reasoning(id="3", summary=("a",), raw=("b", "c")),
    shown.CommandExecution(
        id="4", command=("ls", "-l"), cwd="/a b/\N{LATIN SMALL LETTER E WITH ACUTE}", status="failed",
        aggregated_output="x", exit_code=2, duration_ms=12_345, process_id=7,
    ),
    shown.FileChange(
        id="5", status="completed", message="ok",
        changes=(
            shown.FileUpdate(path="/n", kind="add", diff="new"),
            shown.FileUpdate(path="/u", kind="update", diff="@@", move_path="/v"),
            shown.FileUpdate(path="/d", kind="delete", diff="old"),
        ),
    ),
    shown.McpToolCall(
        id="6", server="s", tool="t", arguments={"a": 1}, status="completed", duration_ms=1,
        result=shown.McpResult(content=({"type": "text"},), structured_content=[1]),
    ),
    shown.ToolUse(id="7", tool="t", arguments="{}", output="o", status="completed"),
    shown.WebSearch(id="8", query="q", action={"type": "search"}),
    shown.ImageView(id="9", path="/i.png"),
    shown.Compaction(id="10", summary="s"),
    shown.ProposedPlan(id="12", text="# Do it"),
    shown.ReviewMode(id="13", state="entered", target="x"),
    shown.ReviewMode(
        id="14", state="exited", target="x",
        review=shown.Review(
            overall_explanation="e",
            findings=(
                shown.Finding(
                    title="t", body="b", priority=1,
                    code_location=shown.CodeLocation(
                        absolute_file_path="/a", line_range=shown.LineRange(start=1, end=2)
                    ),
                ),
            ),
        ),
    ),
]  # fmt: skip


def test_every_item_comes_back_as_it_was():
    assert [item_from_wire(json.loads(json.dumps(item_to_wire(item)))) for item in ITEMS] == ITEMS
    assert item_to_wire(shown.Problem(id="11", message="m")) is None


def test_the_wire_form_is_the_published_one():
    wire = item_to_wire(ITEMS[3])
    assert wire["type"] == "CommandExecution"
    assert wire["cwd"] == "file:///a%20b/%C3%A9"
    assert wire["duration"] == {"secs": 12, "nanos": 345_000_000}
    assert item_to_wire(ITEMS[4])["changes"]["/u"] == {
        "type": "update", "unified_diff": "@@", "move_path": "/v",
    }  # fmt: skip


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from([*(item_to_wire(item) for item in ITEMS)]),
    st.data(),
)
def test_strange_items_are_none_never_a_crash(value, wire, data):
    key = data.draw(st.sampled_from(sorted(wire)))
    item_from_wire({**wire, key: value})


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_a_long_output_keeps_its_ends(text, at_most):
    found = head_and_tail(text, at_most)
    if len(text.encode()) <= at_most:
        assert found == text
    else:
        assert "bytes left out" in found
