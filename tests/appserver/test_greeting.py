"""The first line is answered before the engine is loaded, and nothing of the rest is lost."""

import json
import os
import subprocess
import sys

import pytest

from octavo.appserver.greeting import answer, greet, words

HELLO = {"clientInfo": {"name": "lab", "version": "1"}}


def line(id_, method, params=None):
    return json.dumps({"id": id_, "method": method, "params": params}).encode() + b"\n"


def greeted(data):
    """What greeting makes of this input."""
    (here, there), (back, out) = os.pipe(), os.pipe()
    os.write(there, data)
    os.close(there)
    try:
        found = greet(here, out, "/home/me/.octavo")
    finally:
        os.close(out)
    with os.fdopen(back, "rb") as file:
        said = file.read()
    os.close(here)
    return found, said


def test_the_introduction_is_answered_and_the_rest_kept():
    found, said = greeted(line(1, "initialize", HELLO) + line(2, "thread/start"))
    assert json.loads(said)["result"]["codexHome"] == "/home/me/.octavo"
    assert found.asked.client_info.name == "lab"
    assert found.rest == line(2, "thread/start")


@pytest.mark.parametrize(
    "data", [b"no json\n", line(1, "thread/start"), line(1, "initialize", {}), b"x", b"\n\n"]
)
def test_anything_else_waits_for_the_server(data):
    found, said = greeted(data)
    assert said == b""
    if data.strip():
        assert (found.rest, found.asked) == (data, None)


def test_no_input_is_the_end():
    assert greeted(b"") == (None, b"")


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["app-server"], ()),
        (["app-server", "--listen", "stdio://"], ()),
        (["--config", "a=1", "app-server", "-c", "b=2", "--stdio"], ("a=1", "b=2")),
        (["app-server", "--help"], None),
        (["app-server", "generate-json-schema"], None),
        (["app-server", "--listen", "ws://127.0.0.1:1"], None),
        (["-c", "a=1"], None),
        (["-c", "app-server"], None),
        (["exec", "app-server"], None),
    ],
)
def test_plain_command_lines_are_read_by_hand(args, found):
    assert words(args) == found


def test_an_introduction_that_is_wrong_is_left_to_the_server():
    assert answer(line(1, "initialize", {"clientInfo": 5}).strip(), "/h") == (None, b"")


def test_the_first_answer_loads_no_engine(octavo):
    script = (
        "import sys, os, octavo.appserver.greeting as g\n"
        "g.greet(0, 1, '/h')\n"
        "print(' '.join(sorted(m for m in sys.modules if m.startswith('octavo') "
        "or m in ('asyncio', 'click', 'pathlib', 're', 'json'))), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        input=line(1, "initialize", HELLO),
        capture_output=True,
        timeout=60,
    )
    loaded = done.stderr.decode().split()
    assert json.loads(done.stdout)["id"] == 1
    assert not {"asyncio", "click", "pathlib", "json"} & set(loaded)
    assert not [name for name in loaded if name.startswith(("octavo.engine", "octavo.api"))]
