"""Budgets: what is spent, when it ends, and what cannot be counted."""

import pytest

from octavo.engine.budget import Budget, Meter
from octavo.model.catalog import ModelInfo, Price
from octavo.protocol.errors import LimitReached
from octavo.protocol.usage import TokenUsage

PRICE = Price(input=2.0, cached_input=0.5, output=10.0, cache_write=3.0)
INFO = ModelInfo(name="m", price=PRICE)
USED = TokenUsage(input=1000, cached_input=400, cache_write_input=100, output=50, total=1050)


@pytest.mark.parametrize(
    ("budget", "word"),
    [(Budget(tokens=1050), "budget.tokens"), (Budget(usd=0.001), "budget.usd")],
)
def test_a_request_is_refused_when_the_budget_is_spent(budget, word):
    meter = Meter(budget)
    meter.check(0.0)
    meter.spent(USED, INFO)
    with pytest.raises(LimitReached) as caught:
        meter.check(0.0)
    assert word in (caught.value.hint or "")
    assert caught.value.exit_code == 7


def test_time_runs_from_the_first_request():
    meter = Meter(Budget(seconds=5))
    meter.check(100.0)
    assert meter.seconds_left(103.0) == 2.0
    with pytest.raises(LimitReached, match="5 s"):
        meter.check(105.0)


def test_turns_are_counted_before_they_begin():
    meter = Meter(Budget(turns=2))
    meter.begin_turn()
    meter.begin_turn()
    with pytest.raises(LimitReached, match="2 of 2"):
        meter.begin_turn()


def test_money_is_not_promised_where_no_price_is_known():
    with pytest.raises(LimitReached, match="price of the model x is not known"):
        Meter(Budget(usd=1)).priced(ModelInfo(name="x"))
    Meter(Budget(tokens=1)).priced(ModelInfo(name="x"))
