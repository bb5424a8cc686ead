import pytest

from octavo.model.catalog import MODELS, cost, lookup
from octavo.protocol.usage import TokenUsage


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("gpt-5", "gpt-5"),
        ("openai/gpt-5-2025-08-07", "gpt-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("gpt-oss:20b", "gpt-oss:20b"),
    ],
)
def test_a_model_is_found_under_its_longer_names(asked: str, name: str):
    found = lookup(asked)
    assert found.known
    assert found.name == asked
    assert found.context_window == MODELS[name].context_window


def test_an_unknown_model_works_with_careful_assumptions():
    found = lookup("my-own:7b")
    assert not found.known
    assert found.price is None
    assert found.output_limit_bytes == 10_000
    assert found.parallel_tool_calls


def test_every_line_of_the_table_is_sane():
    for info in MODELS.values():
        assert 0 < (info.max_output_tokens or 1) <= info.context_window
        if info.price is not None:
            assert 0 < info.price.cached_input <= info.price.input < info.price.output


def test_what_it_cost():
    usage = TokenUsage(input=1_000_000, cached_input=400_000, output=100_000, total=1_100_000)
    assert cost(lookup("gpt-5"), usage) == pytest.approx(0.75 + 0.05 + 1.0)
    assert cost(lookup("unheard-of"), usage) is None
