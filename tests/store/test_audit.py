import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octavo.protocol import events, items
from octavo.protocol.approvals import CommandApproval, Decision, PatchApproval
from octavo.store.audit import AuditLog, entries, head_path, records, verify
from octavo.store.audit_facts import decision_row, rows_of
from octavo.store.errors import StoreError

THREAD = "0195d1a0-0000-7000-8000-000000000001"
NOW = 1_763_684_998_061


def log_in(folder, **more):
    return AuditLog(str(folder), THREAD, now_ms=lambda: NOW, **more)


@pytest.fixture
def log(tmp_path):
    found = log_in(tmp_path)
    for number in range(6):
        found.add("command", {"argv": ["echo", str(number)]}, turn="t")
    return found


def rows(log):
    return Path(log.path).read_bytes().splitlines(keepends=True)


def write(log, lines):
    Path(log.path).write_bytes(b"".join(lines))


def test_a_record_that_nobody_touched_is_whole(log):
    found = verify(log.path)
    assert found.whole
    assert found.lines == 6
    assert found.note is None
    assert [entry.facts["argv"][1] for entry in entries(log.path)] == list("012345")


def test_a_line_holds_who_when_what_and_the_hash_of_the_one_before(log):
    first, second = (json.loads(row) for row in rows(log)[:2])
    assert list(first) == ["n", "at", "thread", "turn", "kind", "facts", "prev", "hash"]
    assert first["prev"] == "0" * 64
    assert second["prev"] == first["hash"]
    assert second["at"] == "2025-11-21T00:29:58.061Z"


def test_the_first_edited_line_is_named(log):
    lines = rows(log)
    lines[2] = lines[2].replace(b'"2"', b'"7"')
    lines[4] = lines[4].replace(b'"4"', b'"7"')
    write(log, lines)
    found = verify(log.path)
    assert (found.broken_line, found.lines) == (3, 2)
    assert "edited" in found.problem


@pytest.mark.parametrize("which", range(5))
def test_a_removed_line_is_found_where_it_is_missing(log, which):
    lines = rows(log)
    del lines[which]
    write(log, lines)
    assert verify(log.path).broken_line == which + 1


@pytest.mark.parametrize("which", range(5))
def test_lines_that_changed_places_are_found(log, which):
    lines = rows(log)
    lines[which], lines[which + 1] = lines[which + 1], lines[which]
    write(log, lines)
    assert verify(log.path).broken_line == which + 1


@pytest.mark.parametrize("gone", range(1, 7))
def test_a_tail_that_was_cut_off_is_found(log, gone):
    write(log, rows(log)[:-gone])
    found = verify(log.path)
    assert found.broken_line == 7 - gone
    assert "missing at the end" in found.problem


def test_a_last_line_that_was_exchanged_is_found(log, tmp_path):
    other = log_in(tmp_path / "other")
    for number in range(5):
        other.add("command", {"argv": ["echo", str(number)]}, turn="t")
    other.add("command", {"argv": ["echo", "nothing"]}, turn="t")
    write(log, rows(other))
    found = verify(log.path)
    assert found.broken_line == 6
    assert "not the one" in found.problem


def test_without_the_second_place_a_cut_tail_cannot_be_found_and_the_check_says_so(log):
    Path(head_path(log.path)).unlink()
    write(log, rows(log)[:-1])
    found = verify(log.path)
    assert found.whole
    assert "nowhere else" in found.note


def test_the_next_line_after_a_cut_tail_says_how_much_is_lost(log, tmp_path):
    write(log, rows(log)[:-2])
    again = log_in(tmp_path)
    again.add("command", {"argv": ["later"]})
    found = verify(log.path)
    assert found.broken_line == 5
    assert "2 lines were lost" in found.problem


def test_a_line_that_was_torn_by_a_death_is_dropped_and_the_chain_goes_on(log, tmp_path):
    with Path(log.path).open("ab") as file:
        file.write(b'{"n":7,"at":"20')
    assert verify(log.path).note is not None
    log_in(tmp_path).add("command", {"argv": ["later"]})
    found = verify(log.path)
    assert found.whole
    assert found.lines == 7


def test_a_file_that_is_gone_is_still_listed(log, tmp_path):
    Path(log.path).unlink()
    assert records(str(tmp_path)) == (log.path,)


@given(where=st.integers(0), flip=st.integers(1, 255))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_no_single_byte_can_change_unseen(tmp_path_factory, where, flip):
    log = log_in(tmp_path_factory.mktemp("audit"))
    for number in range(3):
        log.add("command", {"argv": ["echo", str(number)]})
    data = bytearray(Path(log.path).read_bytes())
    data[where % len(data)] ^= flip
    Path(log.path).write_bytes(data)
    found = verify(log.path)
    assert not found.whole or found.lines < 3 or found.note is not None


def test_two_processes_write_one_chain(tmp_path):
    script = (
        "import sys; from octavo.store.audit import AuditLog\n"
        "log = AuditLog(sys.argv[1], sys.argv[2], now_ms=lambda: 1)\n"
        "for n in range(50): log.add('command', {'n': n, 'by': sys.argv[3]})"
    )
    run = [sys.executable, "-c", script, str(tmp_path), THREAD]
    both = [subprocess.Popen([*run, name]) for name in "ab"]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    (path,) = records(str(tmp_path))
    found = verify(path)
    assert found.whole
    assert found.lines == 100
    by_a = [entry.facts["n"] for entry in entries(path) if entry.facts["by"] == "a"]
    assert by_a == list(range(50))


def test_secrets_are_taken_out_of_every_text(tmp_path):
    log = log_in(tmp_path, redact=lambda text: text.replace("canary", "***"))
    log.add("command", {"argv": ["a", "canary"], "in": {"deep": ["xcanaryx"], "canary": 1}})
    text = Path(log.path).read_text()
    assert "***" in text
    assert "canary" not in text.replace('"canary":1', "")


def test_bytes_that_are_no_text_and_long_texts_fit_into_a_line(tmp_path):
    log = log_in(tmp_path)
    log.add("command", {"argv": ["\udcff", "x" * 100_000, object]})
    assert verify(log.path).whole
    (entry,) = entries(log.path)
    assert entry.facts["argv"][0] == "\\udcff"
    assert len(entry.facts["argv"][1]) < 5000


def test_a_disk_that_refuses_is_one_line(tmp_path):
    (tmp_path / "audit").write_text("a file where the folder has to be")
    with pytest.raises(StoreError, match="cannot be written"):
        log_in(tmp_path).add("command", {})


# ---- what of an event is written ----------------------------------------------------------------


def test_a_command_keeps_its_words_its_end_and_what_was_refused():
    denial = items.DenialNote(operation="connect", subject="example.org:443", rule="network off")
    item = items.CommandExecution(
        id="c",
        command=("curl", "x"),
        cwd="/w",
        status="failed",
        exit_code=7,
        duration_ms=3,
        aggregated_output="not written down",
        denials=(denial,),
    )
    event = events.ItemCompleted(turn_id="t", item=item)
    command, host = rows_of(event, rule="sandbox: workspace-write")
    assert command == (
        "command",
        {
            "call": "c",
            "argv": ["curl", "x"],
            "cwd": "/w",
            "status": "failed",
            "exit_code": 7,
            "duration_ms": 3,
            "rule": "sandbox: workspace-write",
            "denials": [
                {"operation": "connect", "subject": "example.org:443", "rule": "network off"}
            ],
        },
    )
    assert host[0] == "host"
    assert host[1]["verdict"] == "denied"
    assert host[1]["rule"] == "network off"


def test_a_change_keeps_paths_and_kinds_but_no_contents():
    update = items.FileUpdate(path="/w/a", kind="update", diff="+secret", move_path="/w/b")
    item = items.FileChange(id="f", changes=(update,), status="completed")
    (row,) = rows_of(events.ItemCompleted(turn_id="t", item=item), rule="r")
    assert row == (
        "file_change",
        {
            "status": "completed",
            "files": [{"path": "/w/a", "change": "update", "moved_to": "/w/b"}],
            "rule": "r",
        },
    )


def test_words_of_the_model_are_no_deeds():
    item = items.AgentMessage(id="m", text="hello")
    assert rows_of(events.ItemCompleted(turn_id="t", item=item), rule="r") == []


def test_a_decision_says_about_what_by_whom_and_by_which_rule():
    request = CommandApproval(call_id="c", argv=("rm", "x"), cwd="/w", escalated=True)
    kind, facts = decision_row(request, Decision.deny("no"), by="asked", rule="on-request")
    assert kind == "decision"
    assert facts["outside_sandbox"] is True
    assert (facts["decision"], facts["reason"], facts["by"], facts["rule"]) == (
        "deny",
        "no",
        "asked",
        "on-request",
    )
    patch = PatchApproval(
        call_id="c", changes=(items.FileUpdate(path="/etc/x", kind="add"),), because="outside"
    )
    assert decision_row(patch, Decision.allow_once(), by="asked", rule="x")[1]["rule"] == "outside"


def test_a_record_can_be_forced_to_the_disk(tmp_path):
    log = log_in(tmp_path, fsync=True)
    log.add("command", {})
    assert os.path.getsize(log.path) > 0
