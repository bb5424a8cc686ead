"""The list of skills within its budget, and skills named in words."""

from hypothesis import given
from hypothesis import strategies as st

from octavo.config.skills import Skill
from octavo.engine.skills import BODY_BYTES, budget, cut, listing, mentioned, skill_message


def skill(name, description="Does it.", root="/home/x/skills", **more):
    return Skill(
        name=name, description=description, path=f"{root}/{name}/SKILL.md", root=root,
        scope="user", **more,
    )  # fmt: skip


def test_the_list_names_paths_through_a_table_of_folders():
    text = listing([skill("pdf"), skill("png"), skill("other", root="/repo/skills")], 8_000).text
    assert "- `r0` = `/home/x/skills`" in text
    assert "- pdf: Does it. (file: r0/pdf/SKILL.md)" in text
    assert "(file: r1/other/SKILL.md)" in text


def test_what_is_off_or_only_for_people_is_not_listed():
    assert listing([skill("a", enabled=False), skill("b", implicit=False)], 8_000).text == ""
    assert listing([], 8_000).text == ""


def test_descriptions_are_shortened_before_skills_are_left_out():
    many = [skill(f"s{number}", "long " * 100) for number in range(20)]
    short = listing(many, 4_000)
    assert len(short.text) <= 4_000
    assert short.text.count("(file:") == 20
    assert "shortened" in short.warning
    fewer = listing(many, 1_500)
    assert len(fewer.text) <= 1_500
    assert 0 < fewer.text.count("(file:") < 20
    assert "20 skills" in fewer.warning
    assert listing(many, 10).text == ""


@given(st.lists(st.text(min_size=1, max_size=300), max_size=20), st.integers(0, 5_000))
def test_the_budget_always_holds(descriptions, letters):
    many = [skill(f"s{number}", text) for number, text in enumerate(descriptions)]
    found = listing(many, letters)
    assert len(found.text) <= letters
    whole = listing(many, 10**9)
    assert (found.warning is None) == (found.text == whole.text)


def test_the_budget_is_two_percent_of_the_window():
    assert budget(100_000) == 8_000
    assert budget(None) == 8_000


def test_a_dollar_names_a_skill():
    known = [
        skill("pdf"),
        skill("deep-research"),
        skill("off", enabled=False),
        skill("pdf", root="/far"),
    ]

    def found(text):
        return [one.path for one in mentioned([text], known)]

    assert found("use $pdf, please") == ["/home/x/skills/pdf/SKILL.md"]
    assert found("$deep-research. Then $pdf!") == [
        "/home/x/skills/deep-research/SKILL.md", "/home/x/skills/pdf/SKILL.md",
    ]  # fmt: skip
    for text in ("$off", "$PATH", "a$pdf", "$$pdf", "\\$pdf", "pdf", "$pdfs"):
        assert found(text) == []


def test_a_long_skill_is_cut_and_says_where_the_rest_is():
    assert cut("short", "/s") == "short"
    text = cut("ä" * BODY_BYTES, "/s/SKILL.md")
    assert len(text.encode()) < BODY_BYTES + 100
    assert "read /s/SKILL.md" in text
    message = skill_message(skill("pdf"), "Do it.")
    assert message.role == "user"
    assert message.text.startswith(
        "<skill>\n<name>pdf</name>\n<path>/home/x/skills/pdf/SKILL.md</path>"
    )


@given(st.text())
def test_no_words_are_too_strange(text):
    mentioned([text], [skill("pdf")])
