from hypothesis import given
from hypothesis import strategies as st

from octavo.config.environment import held_back, shape_environment
from octavo.config.schema import ShellEnvironment

ENV = {"PATH": "/bin", "HOME": "/h", "API_KEY": "k", "my_token": "t", "FOO": "f", "AWS_X": "a"}


def shaped(**policy):
    return shape_environment(ENV, ShellEnvironment(**policy))


def test_by_default_everything_is_passed_on_but_what_looks_like_a_secret():
    assert shaped() == {"PATH": "/bin", "HOME": "/h", "FOO": "f", "AWS_X": "a"}
    assert shaped(ignore_default_excludes=True) == ENV


def test_a_secret_named_in_keep_is_passed_on():
    assert shaped(keep=("api_key",))["API_KEY"] == "k"


def test_what_is_held_back_can_be_named():
    assert held_back(ENV, ShellEnvironment()) == {"API_KEY": "k", "my_token": "t"}
    assert held_back(ENV, ShellEnvironment(keep=("*",))) == {}
    assert held_back(ENV, ShellEnvironment(ignore_default_excludes=True)) == {}


def test_a_core_or_nothing_may_be_inherited():
    assert shaped(inherit="core") == {"PATH": "/bin", "HOME": "/h"}
    assert shaped(inherit="none", set={"A": "1"}) == {"A": "1"}


def test_names_that_look_like_secrets_go_when_asked():
    assert set(shaped(ignore_default_excludes=False)) == {"PATH", "HOME", "FOO", "AWS_X"}


def test_the_steps_follow_each_other():
    found = shaped(
        exclude=("aws_*", "foo"), set={"FOO": "new", "X": "1"}, include_only=("f*", "PA?H")
    )
    assert found == {"PATH": "/bin", "FOO": "new"}


def test_filters_are_the_newer_form():
    filters = {"FOO": "exclude", "*": "include", "A*": "exclude"}
    assert set(shaped(filters=filters)) == {"PATH", "HOME"}


def test_the_thread_is_named_whatever_the_policy_says():
    policy = ShellEnvironment(inherit="none", include_only=("A",))
    assert shape_environment(ENV, policy, "t1") == {"CODEX_THREAD_ID": "t1"}


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_nothing_is_invented(env):
    found = shape_environment(env, ShellEnvironment(ignore_default_excludes=False))
    assert found.items() <= env.items()
    assert not any(mark in name.upper() for name in found for mark in ("KEY", "SECRET", "TOKEN"))
