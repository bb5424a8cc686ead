"""Secrets in texts and in streams: taken out whole, wherever the pieces are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.redact import Redactor
from octavo.protocol.content import InputImage, InputText
from octavo.protocol.events import CommandOutputDelta, ItemCompleted
from octavo.protocol.ids import ItemId, TurnId
from octavo.protocol.items import CommandExecution

SECRET = 'sk-Ab12"9xyz'
REDACT = {"API_KEY": SECRET}
ITEM = ItemId("i")


def ended(text):
    item = CommandExecution(id=ITEM, command=("x",), cwd="/", aggregated_output=text)
    return ItemCompleted(turn_id=TurnId("t"), item=item)


def test_a_secret_is_replaced_by_its_name():
    redact = Redactor(REDACT)
    assert redact.text(f"key={SECRET}.") == "key=[redacted:API_KEY]."
    parts = (InputText(text=SECRET), InputImage(image_url="data:x"))
    assert redact.content(parts) == (InputText(text="[redacted:API_KEY]"), parts[1])


def test_what_is_no_secret_stays():
    for value in (
        "short",
        "production",
        "12345678901",
        "/usr/lib/secret",
        "https://host.example/x",
    ):
        assert not Redactor({"A_KEY": value}).any


def test_events_lose_it_wherever_it_stands():
    (event,) = Redactor(REDACT).events(ended(f"a {SECRET} b"))
    assert event.item.aggregated_output == "a [redacted:API_KEY] b"


def test_each_line_of_a_long_key_is_a_secret():
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA7\nq83vEjRWeJCrze8S"
    assert "MIIEow" not in Redactor({"A_KEY": key}).text("line: MIIEowIBAAKCAQEA7")


@given(
    st.lists(st.sampled_from([SECRET, "sk-", "sk-Ab12", "x", "\n", " ok "]), max_size=12), st.data()
)
def test_a_stream_never_shows_a_secret_and_loses_nothing_else(words, data):
    whole = "".join(words)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8)) if whole else []
    places = sorted({0, *cuts, len(whole)})
    redact = Redactor(REDACT)
    shown = ""
    for start, end in pairwise(places):
        for event in redact.events(CommandOutputDelta(item_id=ITEM, text=whole[start:end])):
            shown += event.text
    *rest, _ = redact.events(ended(whole))
    shown += "".join(event.text for event in rest)
    assert SECRET not in shown
    assert shown == redact.text(whole)
