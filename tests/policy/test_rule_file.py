"""Rule files as people write them, and as they should not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.rule_file import LARGEST, read_rules
from octavo.policy.rules import NetworkRule
from octavo.protocol.errors import ConfigError


def rules(text):
    return read_rules(text if isinstance(text, bytes) else text.encode(), "/etc/x.rules")


def problem(text):
    with pytest.raises(ConfigError) as caught:
        rules(text)
    assert caught.value.file == "/etc/x.rules"
    return str(caught.value).removeprefix("/etc/x.rules")


def test_a_file_with_everything_in_it():
    found = rules('''\
"""Our rules."""
tools = ["git", "hg"]   # names are given once
safe = ["status"] + ["log"]
kind = "reads"
prefix_rule(
    pattern = [tools, safe],
    justification = f"it only {kind}",
    match = ["git status -s", ["hg", "log"], "git log 'a b'"],
    not_match = ["git push"],
)
for target in ["test", "lint"]:
    prefix_rule(["make", target], "prompt")
prefix_rule(pattern=[[f"{name}x" for name in tools], "y"], decision="forbidden")
network_rule(host="API.Example.org:8443", protocol="https_connect", decision="forbidden", port=443)
network_rule("[2001:db8::1]:80", "socks5_tcp", "prompt")
host_executable(name="git", paths=["/usr/bin/git"])
host_executable(name="git", paths=["/opt/bin/git"])
''')
    assert [rule.pattern for rule in found.prefixes] == [
        (("git", "hg"), ("status", "log")),
        (("make",), ("test",)),
        (("make",), ("lint",)),
        (("gitx", "hgx"), ("y",)),
    ]
    assert [rule.decision for rule in found.prefixes] == ["allow", "prompt", "prompt", "forbidden"]
    assert (found.prefixes[0].justification, found.prefixes[0].line) == ("it only reads", 5)
    assert found.hosts == (
        NetworkRule(host="api.example.org", protocol="https", decision="deny", port=443,
                    file="/etc/x.rules", line=14),
        NetworkRule(host="2001:db8::1", protocol="socks5_tcp", decision="prompt",
                    file="/etc/x.rules", line=15),
    )  # fmt: skip
    assert found.programs == {"git": ("/usr/bin/git", "/opt/bin/git")}


def test_nothing_is_a_file_too():
    assert rules("").prefixes == ()
    assert rules(b"\xef\xbb\xbfprefix_rule(['a'])\r\n").prefixes[0].pattern == (("a",),)


@pytest.mark.parametrize(("text", "said"), [
    ("prefix_rule(pattern=[)", ":1: not valid: "),
    ("\n\nprefix_rule(\n", ":3: not valid: "),
    ("\nprefix_rule()", ":2: prefix_rule: `pattern` is missing"),
    ("prefix_rule(pattern=[])", ":1: prefix_rule: `pattern`: expected at least one word, found an empty list"),
    ("prefix_rule(pattern='ls')", ':1: prefix_rule: `pattern`: expected a list, found "ls"'),
    ("prefix_rule(pattern=['a', 3])", ":1: prefix_rule: `pattern`: expected words, found 3"),
    ("prefix_rule(pattern=['a', []])", ":1: prefix_rule: `pattern`: expected words, found an empty list"),
    ("prefix_rule(pattern=[''])", ":1: prefix_rule: `pattern`: a program needs a name, found an empty text"),
    ("prefix_rule(['a'], decision='alow')", ':1: prefix_rule: `decision`: expected allow, prompt or forbidden, found "alow" (did you mean "allow"?)'),
    ("prefix_rule(['a'], justification=' ')", ':1: prefix_rule: `justification`: expected a text, found " "'),
    ("prefix_rule(['a'], matches=[])", ':1: prefix_rule has no argument "matches" (did you mean "match"?)'),
    ("prefix_rule(['a'], pattern=['b'])", ":1: prefix_rule: `pattern` is given twice"),
    ("prefix_rule(['a'], **{})", ":1: prefix_rule has no argument `**`"),
    ("prefix_rule(*[['a']])", ":1: this is not a value a rule file can have"),
    ("prefix_rule(['a'],\n match=['b'])", ':1: prefix_rule: its example "b" is not matched by it'),
    ("prefix_rule(['a'], not_match=['a b'])", ':1: prefix_rule: "a b" should not match, and does'),
    ("prefix_rule(['a'], match=['a b'], not_match=[['a', 'b']])", ':1: prefix_rule: `match`: "a b" is an example for `not_match` as well'),
    ("prefix_rule(['a'], match=['a \"'])", ':1: prefix_rule: `match`: "a \\"" cannot be split'),
    ("prefix_rule(['a'], match=[''])", ":1: prefix_rule: `match`: expected a command, found an empty text"),
    ("prefx_rule(['a'])", ':1: only prefix_rule, network_rule or host_executable can be called here (did you mean "prefix_rule"?)'),
    ("x = 1\nx = 2", ':2: "x" has a value already'),
    ("prefix_rule = 1", ':1: "prefix_rule" has a value already'),
    ("prefix_rule([tols])", ':1: "tols" has no value here'),
    ("x = open('/etc/passwd')", ":1: a call is not a value a rule file can have"),
    ("import os", ":1: `import` cannot stand in a rule file"),
    ("def f():\n  pass", ":1: `def` cannot stand in a rule file"),
    ("if True:\n  pass", ":1: `if` cannot stand in a rule file"),
    ("while True:\n  pass", ":1: `while` cannot stand in a rule file"),
    ("x = [1][0]", ":1: an index is not a value a rule file can have"),
    ("x = ().__class__", ":1: an attribute is not a value a rule file can have"),
    ("x = 2 ** 999999999", ":1: this operator is not a value a rule file can have"),
    ("x = 'a' * 999999999", ":1: this operator is not a value a rule file can have"),
    ("x = 'a' + ['b']", ':1: `+` joins two texts or two lists, found "a" and a list'),
    ("x = f'{1 + 1}'", ":1: only names can stand in the braces of an f-string"),
    ("n = 'a'\nx = f'{n!r}'", ":2: only names can stand in the braces of an f-string"),
    ("n = 'a'\nx = f'{n:>9}'", ":2: only names can stand in the braces of an f-string"),
    ("n = [1]\nx = f'{n}'", ":2: only text fits into an f-string, found a list"),
    ("x = [y for y in 'abc']", ':1: `for y in` needs a list, found "abc"'),
    ("x = [y for y in [1] if y]", ":1: only plain `for NAME in LIST` is understood here"),
    ("x = 'a\\d'", ":1: not valid: "),
    ("network_rule('https://a.org', 'https', 'allow')", ":1: network_rule: `host`: expected a host name"),
    ("network_rule('*.a.org', 'https', 'allow')", ":1: network_rule: `host`: expected a host name"),
    ("network_rule('a.org:http', 'https', 'allow')", ":1: network_rule: `host`: expected a host name"),
    ("network_rule('a.org', 'ftp', 'allow')", ":1: network_rule: `protocol`: expected http, "),
    ("network_rule('a.org', 'http', 'allow', port=0)", ":1: network_rule: `port`: expected a number from 1 to 65535, found 0"),
    ("host_executable('bin/git', ['/bin/git'])", ":1: host_executable: `name`: expected a name without a folder"),
    ("host_executable('git', ['bin/git'])", ":1: host_executable: `paths`: expected absolute paths"),
    ("host_executable('git', ['/bin/hg'])", ':1: host_executable: `paths`: "/bin/hg" is not called "git"'),
    (b"# a\n\xff", ":2: is not UTF-8 text"),
    (b"a\nb = '\x00'", ":2: contains a NUL character"),
    (b"#" * (LARGEST + 1), ": is larger than 1 MiB"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text, said):
    assert problem(text).startswith(said)


@pytest.mark.parametrize("text", [
    "x = " + "(" * 400, "x = " + "[" * 40_000 + "]" * 40_000, "x = " + "-" * 100_000 + "1",
    "x = " + "+".join(["'a'"] * 50_000), "x = " + "not " * 20_000 + "1", "x = a" + ".b" * 100_000,
    "x = a" + "**a" * 50_000, "x = " + "lambda:" * 20_000 + "1", "x = a" + "()" * 50_000,
    "\n".join(" " * n + f"for x{n} in [1]:" for n in range(120)),
    "x = '" + "a" * 70_000 + "'",
    "a = ['x'] + ['y']\n" + "\n".join(f"a{n} = a{n - 1} + a{n - 1}" for n in range(1, 60)).replace("a0", "a"),
    "a = 'xy'\n" + "\n".join(f"a{n} = a{n - 1} + a{n - 1}" for n in range(1, 60)).replace("a0", "a"),
    "z = [" + "1," * 100 + "]\nx = [1 for a in z for b in z for c in z for d in z]",
    "z = [" + "1," * 1000 + "]\n" + "for a in z:\n  for b in z:\n    pass\n",
])  # fmt: skip
def test_a_file_cannot_cost_more_than_it_should(text):
    assert problem(text).startswith(":")


@given(st.binary(max_size=80))
def test_any_bytes_are_rules_or_one_clear_error(data):
    said = "/etc/x.rules"
    try:
        rules(data)
    except ConfigError as error:
        said = str(error)
    assert said.startswith("/etc/x.rules")
    assert "\n" not in said


TOKENS = st.sampled_from(
    ["prefix_rule(", "network_rule(", ")", "[", "]", "'a'", "pattern=", ",", "\n", "x = ", "f'{x}'", "for x in ",
     ":", "  ", "+", "x", "match=", "1", "None", "lambda", "*", "if", "="]
)  # fmt: skip


@given(st.lists(TOKENS, max_size=25))
def test_any_heap_of_words_is_rules_or_one_clear_error(words):
    test_any_bytes_are_rules_or_one_clear_error.hypothesis.inner_test("".join(words).encode())


def test_the_example_in_the_documentation_is_right():
    text = (Path(__file__).parents[2] / "docs/approvals.md").read_text()
    found = rules(text.partition("```starlark\n")[2].partition("```")[0])
    assert (len(found.prefixes), len(found.hosts), len(found.programs)) == (3, 1, 1)
