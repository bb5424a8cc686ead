import pytest

from octavo.policy.words import choices, dotted, found, nearest, quoted, suggestion


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("raed", "read"),
        ("READ", "read"),
        ("wirte", "write"),
        ("dney", "deny"),
        ("execute", None),
        ("x", None),
        ("", None),
    ],
)
def test_the_nearest_word_is_found_when_one_is_near(word, expected):
    assert nearest(word, ["read", "write", "deny"]) == expected


def test_words_read_like_a_person_wrote_them():
    assert choices(("a",)) == "a"
    assert choices(("a", "b", "c")) == "a, b or c"
    assert suggestion("raed", ["read"]) == ' (did you mean "read"?)'
    assert suggestion("zzz", ["read"]) == ""
    assert dotted(("permissions", "my dev", "a-b")) == 'permissions."my dev".a-b'
    assert quoted('a"\n' + "x" * 99) == '"a\\"\\n' + "x" * 54 + '…"'


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "true"), (1, "1"), ("a", '"a"'), ({}, "a table"), ([], "a list"), (None, "None")],
)
def test_values_are_shown_as_what_they_are(value, shown):
    assert found(value) == shown
