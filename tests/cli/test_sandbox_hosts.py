"""`octavo sandbox --allow HOST`."""

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)


def test_input_and_output_pass_through(octavo):
    data = "line\n" * 400_000
    done = octavo("sandbox", "--allow", "a.example", "--", "cat", input=data)
    assert (done.returncode, done.stdout == data) == (0, True)


def test_codes_are_the_commands_own(octavo):
    assert octavo("sandbox", "--allow", "a.example", "--", "sh", "-c", "exit 3").returncode == 3
    missing = octavo("sandbox", "--allow", "a.example", "--", "no-such-program")
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr


def test_it_does_not_wait_for_input_nobody_wants(octavo):
    done = octavo("sandbox", "--allow", "a.example", "--", "true", stdin=None, input=None)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--allow", "bad host"), 3, "bad host"),
        (("--allow", "a.example", "--network", "on"), 2, "give one of them"),
        (("--allow",), 2, "requires an argument"),
    ],
)
def test_wrong_words_are_said_plainly(octavo, words, code, said):
    done = octavo("sandbox", *words, "--", "true") if len(words) > 1 else octavo("sandbox", *words)
    assert done.returncode == code
    assert said in done.stderr


def test_a_refused_host_is_named_with_the_grant(octavo):
    code = (
        "import os, urllib.request\n"
        "print(os.environ['HTTP_PROXY'], flush=True)\n"
        "try:\n    urllib.request.urlopen('http://elsewhere.example/', timeout=5)\n"
        "except OSError as error:\n    print(error)\n"
    )
    done = octavo("sandbox", "--allow", "a.example", "--", sys.executable, "-c", code)
    if "cannot be held here" in done.stderr:
        pytest.skip("commands get no network of their own here (no user namespaces)")
    assert "127.0.0.1" in done.stdout
    assert "elsewhere.example:80" in done.stderr
    assert "--allow elsewhere.example:80" in done.stderr
