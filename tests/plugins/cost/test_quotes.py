import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Usage
from turnout.plugins.cost.prices import HourPrice, Price, TokenPrice
from turnout.plugins.cost.quotes import NOTHING, Quote, Quotes, Rates, Work
from turnout.plugins.inflight_load.keys import UncachedRequestTokens
from turnout.plugins.latency.keys import LatencyPrediction
from turnout.plugins.prefix_cache.keys import PrefixMatches

RATES = Rates(prefill=1000.0, decode=100.0)
WORK = Work(prompt=1000, output=100, most_output=400)
TOKENS = TokenPrice(input=2e6, output=4e6, cached_input=1e6)
TIME = HourPrice(3600.0)


@pytest.mark.parametrize(
    ("quote", "expected", "most"),
    [
        pytest.param(Quote(TOKENS, RATES, WORK, 1000), 2400.0, 3600.0, id="tokens"),
        pytest.param(Quote(TOKENS, RATES, WORK, 400), 1800.0, 3600.0, id="tokens, some cached"),
        pytest.param(Quote(TIME, RATES, WORK, 1000), 2.0, 5.0, id="time by tokens: 1 s and 1 s, at most 4 s"),
        pytest.param(Quote(TIME, RATES, WORK, 0), 1.0, 5.0, id="time, all cached"),
        pytest.param(Quote(TIME, RATES, WORK, 1000, 0.5), 0.5, 1.25, id="time as predicted, scaled by tokens"),
        pytest.param(Quote(TIME, RATES, Work(0, 0, 0), 0, 0.5), 0.5, 0.5, id="time predicted for no tokens"),
        pytest.param(Quote(HourPrice(0.0), RATES, WORK, 1000, 9.0), 0.0, 0.0, id="for nothing"),
    ],
)
def test_a_request_has_an_expected_cost_and_one_at_most(quote: Quote, expected: float, most: float) -> None:
    assert (quote.expected, quote.most) == pytest.approx((expected, most))


@pytest.mark.parametrize(
    ("quote", "usage", "seconds", "cost"),
    [
        pytest.param(Quote(TOKENS, RATES, WORK, 400), Usage(1000, 10, 0), 9.0, 2040.0, id="nothing was cached"),
        pytest.param(Quote(TOKENS, RATES, WORK, 400), Usage(1000, 10, 800), 9.0, 1240.0, id="more was cached"),
        pytest.param(Quote(TOKENS, RATES, WORK, 400), Usage(1000, 10), 9.0, 1440.0, id="cached as was believed"),
        pytest.param(Quote(TOKENS, RATES, WORK, 400), Usage(100, 10, 800), 9.0, 140.0, id="more cached than there is"),
        pytest.param(Quote(TOKENS, RATES, WORK, 400), None, 0.0, 1800.0, id="no word of it"),
        pytest.param(Quote(TIME, RATES, WORK, 1000, 0.5), Usage(1000, 300, 0), 9.0, 1.0, id="twice the work"),
        pytest.param(Quote(TIME, RATES, WORK, 1000, 0.5), Usage(1000, 300, 0), 0.25, 0.25, id="all of a short time"),
        pytest.param(Quote(TIME, RATES, WORK, 1000, 0.5), None, 9.0, 0.5, id="time, no word of it"),
        pytest.param(Quote(TIME, RATES, WORK, 1000, 0.5), None, -1.0, 0.0, id="no time passed"),
        pytest.param(Quote(TIME, RATES, WORK, 1000), Usage(10**400, 1, 0), 9.0, 9.0, id="a prompt beyond any number"),
        pytest.param(Quote(TOKENS, RATES, WORK, 0), Usage(0, 10**400), 9.0, 4e9, id="an answer beyond any number"),
        pytest.param(Quote(TOKENS, RATES, WORK, 0), Usage(-5, -5), 9.0, 0.0, id="less than nothing"),
    ],
)
def test_a_request_costs_what_it_used(quote: Quote, usage: Usage | None, seconds: float, cost: float) -> None:
    assert quote.settled(usage, seconds) == pytest.approx(cost)


prices: st.SearchStrategy[Price] = st.one_of(
    st.builds(HourPrice, st.floats(0.0, 1e9)), st.builds(TokenPrice, st.just(3.0), st.floats(0.0, 9.0), st.just(1.0))
)
works = st.builds(Work, st.integers(0, 10**6), st.integers(0, 1000), st.integers(1000, 10**5))


@given(prices, works, st.floats(0.0, 1.0), st.floats(0.0, 1e4), st.data())
def test_no_request_within_its_bounds_costs_more_than_at_most(
    price: Price, work: Work, cached: float, busy: float, data: st.DataObject
) -> None:
    quote = Quote(price, RATES, work, int(work.prompt * cached), busy)
    used = Usage(
        data.draw(st.integers(0, work.prompt)),
        data.draw(st.integers(0, work.most_output)),
        data.draw(st.none() | st.integers(0, work.prompt)),
    )
    most = quote.most * (1.0 + 1e-9)
    assert 0.0 <= quote.expected <= most
    assert 0.0 <= quote.settled(used, 1e9) <= most
    assert quote.settled(None, 1e9) <= most


def test_quotes_are_made_of_what_is_known_of_each_endpoint() -> None:
    matches = PrefixMatches({"a": 10}, 10, 64)
    uncached = UncachedRequestTokens(1000, matches)
    quotes = Quotes({"a": TOKENS, "b": TIME}, RATES, WORK, uncached, {"b": LatencyPrediction(1.0, 0.1, 0, 0, 0.25)})
    assert quotes.at("a") == Quote(TOKENS, RATES, WORK, 360)
    assert quotes.at("b") == Quote(TIME, RATES, WORK, 1000, 0.25)
    assert quotes.at("c") is None
    assert quotes.expected_costs() == pytest.approx({"a": 1760.0, "b": 0.25})


@pytest.mark.parametrize("busy", [0.0, -1.0, float("nan"), float("inf"), 1e7])
def test_a_prediction_that_is_none_is_passed_over(busy: float) -> None:
    predictions = {"b": LatencyPrediction(1.0, 0.1, 0, 0, busy)}
    assert Quotes({"b": TIME}, RATES, WORK, UncachedRequestTokens(1000), predictions).expected_costs() == {"b": 2.0}


def test_what_computes_nothing_costs_nothing_whatever_is_predicted() -> None:
    predictions = {"b": LatencyPrediction(1.0, 0.1, 0, 0, 5.0)}
    assert Quotes({"b": TIME}, RATES, NOTHING, UncachedRequestTokens(0), predictions).expected_costs() == {"b": 0.0}
