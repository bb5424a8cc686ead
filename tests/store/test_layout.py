from datetime import datetime
from pathlib import Path

import pytest

from octavo.protocol.ids import uuid7
from octavo.store.layout import (
    all_rollouts,
    archived_path,
    find_rollout,
    is_archived,
    rollout_path,
    thread_of,
    unarchived_path,
)

THREAD = uuid7(1_763_684_998_061, bytes(10))
STARTED = datetime(2025, 11, 21, 1, 29, 58)  # noqa: DTZ001 - names have local time


def test_a_file_is_named_by_time_and_thread():
    path = rollout_path("/h", THREAD, STARTED)
    assert path == f"/h/sessions/2025/11/21/rollout-2025-11-21T01-29-58-{THREAD}.jsonl"
    assert thread_of(path) == THREAD
    assert thread_of("/h/sessions/other.jsonl") is None


def test_archiving_there_and_back_is_the_same_place():
    path = rollout_path("/h", THREAD, STARTED)
    aside = archived_path("/h", path)
    assert is_archived("/h", aside)
    assert not is_archived("/h", path)
    assert unarchived_path("/h", aside) == path


@pytest.mark.parametrize("day", ["2025/11/21", "2025/11/22", "2025/11/20", "1999/01/01"])
def test_a_thread_is_found_whatever_the_time_zone(tmp_path, day):
    path = tmp_path / "sessions" / day / Path(rollout_path("", THREAD, STARTED)).name
    path.parent.mkdir(parents=True)
    path.touch()
    (path.parent / "notes.txt").touch()
    assert find_rollout(str(tmp_path), THREAD) == str(path)
    assert list(all_rollouts(str(tmp_path))) == [str(path)]


@pytest.mark.parametrize(
    "name", ["", "x", "../x", f"{THREAD}x", "0195d1a0-0000-4000-8000-000000000001"]
)
def test_what_is_no_thread_is_not_found(tmp_path, name):
    assert find_rollout(str(tmp_path), name) is None
