"""What the provider is told about searching."""

import pytest

from octavo.tools.web_search import web_search


@pytest.mark.parametrize(("mode", "live"), [("cached", False), ("indexed", False), ("live", True)])
def test_only_live_leaves_the_index(mode, live):
    assert web_search(mode).raw == {"type": "web_search", "external_web_access": live}


def test_switched_off_there_is_none():
    assert web_search("disabled") is None


def test_filters_place_and_size():
    made = web_search(
        "live", context_size="low", allowed_domains=["a.org"], location={"country": "CH"}
    )
    assert made.raw == {
        "type": "web_search",
        "external_web_access": True,
        "filters": {"allowed_domains": ["a.org"]},
        "user_location": {"type": "approximate", "country": "CH"},
        "search_context_size": "low",
    }
