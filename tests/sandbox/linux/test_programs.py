"""The finished filters are what the compiler makes today."""

import importlib.util
from pathlib import Path

import pytest

from octavo.sandbox.linux import seccomp
from octavo.sandbox.linux.programs import PROGRAMS

ROOT = Path(__file__).resolve().parents[3]


def generator():
    path = ROOT / "tools" / "generate_programs.py"
    if not path.exists():
        pytest.skip("the generator is not part of this copy")
    spec = importlib.util.spec_from_file_location("generate_programs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_the_generator_writes():
    made = generator()
    assert made.TARGET.read_text() == made.text()


@pytest.mark.parametrize("key", PROGRAMS)
def test_a_finished_program_is_the_compiled_one(key):
    machine, network, part = key
    assert PROGRAMS[key] == seccomp.build(machine, network, part=part)


def test_every_machine_network_and_part_is_there():
    parts, networks = ("whole", "server", "command"), ("off", "none")
    assert set(PROGRAMS) == {
        (machine, network, part)
        for machine in seccomp.ARCHITECTURE
        for network in networks
        for part in parts
    }


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURE)
def test_the_host_network_needs_no_program_of_its_own(machine):
    for part in ("whole", "server", "command"):
        assert seccomp.build(machine, "on", part=part) == PROGRAMS[machine, "off", part]
