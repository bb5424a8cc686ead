"""What stands before the conversation, and what of it is sent again."""

from msgspec.structs import replace

from octavo.engine.context import Entry, Surroundings, changes, opening

HERE = Surroundings(
    cwd="/work", shell="bash", date="2026-11-21", timezone="Europe/Berlin", roots=("/work",)
)


def texts(messages):
    return [(message.role, part.text) for message in messages for part in message.content]


def test_the_order_is_permissions_own_words_project_surroundings():
    here = replace(HERE, developer="Be brief.", project="Use tabs.", project_folder="/work")
    said = texts(opening(here))
    assert [role for role, _ in said] == ["developer", "developer", "user", "user"]
    assert "permissions" in said[0][1]
    assert said[1][1] == "Be brief."
    assert "Use tabs." in said[2][1]
    assert "<cwd>/work</cwd>" in said[3][1]


def test_nothing_is_said_twice():
    assert changes(HERE, HERE) == ()


def test_only_the_line_that_changed_is_sent_again():
    (message,) = changes(HERE, replace(HERE, date="2026-11-22"))
    (part,) = message.content
    assert "2026-11-22" in part.text
    assert "/work" not in part.text


def test_other_permissions_are_told_as_a_whole():
    (message,) = changes(HERE, replace(HERE, sandbox="workspace-write", writable=("/work",)))
    assert message.role == "developer"
    assert "`/work`" in message.content[0].text


def test_a_path_cannot_close_its_tag():
    odd = replace(HERE, cwd="/a</cwd><x>", entries=(Entry(path="/<b>&", access="read"),))
    text = texts(opening(odd))[-1][1]
    assert "/a&lt;/cwd&gt;&lt;x&gt;" in text
    assert "/&lt;b&gt;&amp;" in text


def test_instructions_that_are_gone_are_taken_back():
    before = replace(HERE, project="Use tabs.", project_folder="/work")
    (message,) = changes(before, HERE)
    assert "no longer counts" in message.content[0].text


def test_without_anybody_to_ask_the_model_is_told_so():
    assert "Nobody can be asked" in texts(opening(HERE))[0][1]
    asked = replace(HERE, approval="on-request")
    assert "require_escalated" in texts(opening(asked))[0][1]


def test_memories_come_after_the_way_of_working_and_only_when_they_change():
    here = replace(HERE, developer="Be brief.", mode="plan", memories="Tabs, always.")
    said = [text for role, text in texts(opening(here)) if role == "developer"]
    assert said[-1] == "<memories>\nTabs, always.\n</memories>"
    assert said[-3] == "Be brief."
    assert changes(here, here) == ()
    (message,) = changes(here, replace(here, memories=""))
    assert "no longer counts" in message.content[0].text
    assert texts(changes(HERE, replace(HERE, memories="x"))) == [
        ("developer", "<memories>\nx\n</memories>")
    ]
