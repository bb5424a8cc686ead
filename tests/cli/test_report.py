import errno

import pytest

from octavo.cli.report import guarded
from octavo.protocol.errors import ConfigError, SandboxUnavailable, UsageError


def raising(error):
    def work():
        raise error

    return work


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.delenv("OCTAVO_LOG", raising=False)


@pytest.mark.parametrize(("error", "code"), [
    (UsageError("x"), 2), (ConfigError("x"), 3), (SandboxUnavailable("x"), 5),
    (KeyboardInterrupt(), 130), (ZeroDivisionError("x"), 70),
    (ExceptionGroup("several", [ZeroDivisionError("x")]), 70),
])  # fmt: skip
def test_every_error_has_its_code(error, code, capfd):
    assert guarded(raising(error)) == code
    assert "Traceback" not in capfd.readouterr().err


def test_a_defect_is_named_even_inside_a_group(capfd):
    guarded(raising(ExceptionGroup("several", [ExceptionGroup("x", [OSError(errno.EIO, "no")])])))
    assert capfd.readouterr().err.startswith("octavo: a defect in Octavo: OSError: ")


def test_a_line_and_what_helps(capfd):
    guarded(raising(UsageError("one\ntwo", hint="three")))
    assert capfd.readouterr().err == "octavo: one\\ntwo\noctavo: what helps: three\n"


def test_who_wants_to_see_a_defect_sees_it(monkeypatch):
    monkeypatch.setenv("OCTAVO_LOG", "debug")
    with pytest.raises(ZeroDivisionError):
        guarded(raising(ZeroDivisionError()))
