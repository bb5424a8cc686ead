"""`octavo apply-patch`: argument or standard input; 0 done, 1 nothing changed, 2 wrong use."""

import pytest

PATCH = "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+uno\n*** Add File: n/b.txt\n+x\n*** End Patch\n"
DONE = "Success. Updated the following files:\nA n/b.txt\nM a.txt\n"


@pytest.fixture
def file(workspace):
    path = workspace / "a.txt"
    path.write_text("one\ntwo\n")
    return path


def test_a_patch_as_the_argument(octavo, file):
    done = octavo("apply-patch", PATCH)
    assert (done.returncode, done.stdout, done.stderr) == (0, DONE, "")
    assert file.read_text() == "uno\ntwo\n"


def test_a_patch_on_standard_input(octavo, file):
    done = octavo("apply-patch", input=PATCH)
    assert (done.returncode, done.stdout) == (0, DONE)
    assert file.read_text() == "uno\ntwo\n"


def test_a_patch_that_does_not_fit_changes_nothing_and_says_why(octavo, file, workspace):
    done = octavo("apply-patch", PATCH.replace("-one", "-ones"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("octavo: Failed to find expected lines in ")
    assert "line 1: the file has 'one', the patch expects 'ones'" in done.stderr
    assert file.read_text() == "one\ntwo\n"
    assert not (workspace / "n").exists()


def test_a_second_time_it_is_recognised(octavo, file):
    octavo("apply-patch", PATCH)
    done = octavo("apply-patch", PATCH)
    assert done.returncode == 1
    assert "already applied: the new lines stand at line 1" in done.stderr


def test_where_a_block_stands_twice_a_note_goes_to_standard_error(octavo, file):
    file.write_text("one\none\n")
    done = octavo("apply-patch", PATCH)
    assert (done.returncode, done.stdout) == (0, DONE)
    assert "also stands at line 2" in done.stderr


def test_a_disk_that_refuses_is_named(octavo, file, workspace):
    (workspace / "n").write_text("in the way")
    done = octavo("apply-patch", PATCH)
    assert done.returncode == 1
    assert "is not a folder" in done.stderr
    assert file.read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("args", "given"), [((PATCH, "more"), None), ((), ""), ((), " \n"), (("--no-such",), None)]
)
def test_wrong_use(octavo, args, given):
    done = octavo("apply-patch", *args, **({} if given is None else {"input": given}))
    assert (done.returncode, done.stdout) == (2, "")


def test_paths_that_are_no_letters_work(octavo, workspace):
    text = b"*** Begin Patch\n*** Add File: \xff\n+\xfe\n*** End Patch\n"
    done = octavo("apply-patch", input=text, text=False, errors=None)
    assert done.returncode == 0
    assert done.stdout.endswith(b"A \xff\n")
