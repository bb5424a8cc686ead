"""Folders and victims for the attempts. Nothing under /tmp: that is writable inside."""

import itertools
import os
import sys
import tempfile

import pytest

if sys.platform != "linux":
    collect_ignore_glob = ["*"]
else:
    from escapes.doors import Box
    from escapes.targets import Farm, remove


@pytest.fixture(scope="session")
def place():
    """A folder outside every temporary one, removed at the end."""
    folder = tempfile.mkdtemp(prefix="octavo-escapes-", dir="/var/tmp")
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def farm():
    raised = Farm()
    yield raised
    raised.close()


COUNTER = itertools.count()


@pytest.fixture
def box(place):
    """Workspace, outside and home for one test."""
    folder = f"{place}/{next(COUNTER)}"
    os.mkdir(folder)
    return Box(folder)


@pytest.fixture(scope="session")
def boxes(place):
    """The same for fixtures that live longer than a test."""

    def make(name):
        folder = f"{place}/{name}"
        os.mkdir(folder)
        return Box(folder)

    return make
