import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.cost.priced import CHEAP, DEAR, NAMELESS, PRICES, request_of, state_of, token_pricing
from plugins.generated import decided, endpoint_lists, produce
from turnout.framework import CycleState, Endpoint, GaugeReading, PluginName
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.cost.keys import EXPECTED_COSTS
from turnout.plugins.cost.prices import PriceEntry
from turnout.plugins.cost.producer import ExpectedCostProducer
from turnout.plugins.cost.quotes import QUOTES
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.inflight_load.keys import UNCACHED_REQUEST_TOKENS, UncachedRequestTokens
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction
from turnout.plugins.prefix_cache.keys import PrefixMatches

POOL = (CHEAP, DEAR, NAMELESS)


def costs_of(
    producer: ExpectedCostProducer, state: CycleState | None = None, endpoints: tuple[Endpoint, ...] = POOL
) -> dict[str, float]:
    used = produce(producer, request_of(), state or state_of(80), endpoints)
    return dict(used.read(EXPECTED_COSTS.of("")).costs)


def test_tokens_cost_their_price_and_an_unknown_price_is_the_dearest() -> None:
    assert costs_of(token_pricing()) == {"default/cheap": 100.0, "default/dear": 500.0, "default/nameless": 500.0}


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [
        pytest.param("excluded", {"default/cheap": 100.0, "default/dear": 500.0}, id="none"),
        pytest.param(
            36000.0,
            {"default/cheap": 100.0, "default/dear": 500.0, "default/nameless": pytest.approx(0.13)},
            id="a price per hour: 10 a second, for 0.008 s and 0.005 s",
        ),
    ],
)
def test_an_unknown_price_is_what_the_parameter_says(treatment: float, expected: dict[str, float]) -> None:
    producer = ExpectedCostProducer(
        prices=PRICES,
        unknown_price=treatment,
        expected_output_tokens=10,
        prefill_tokens_per_second=10_000.0,
        decode_tokens_per_second=2000.0,
    )
    assert costs_of(producer) == expected


def test_endpoints_without_a_price_get_no_request_if_they_are_excluded() -> None:
    excluding = ExpectedCostProducer(prices=PRICES, unknown_price="excluded")
    assert excluding.screen(request_of(), state_of(1), POOL) == [CHEAP, DEAR]
    assert token_pricing().screen(request_of(), state_of(1), POOL) == POOL


def test_where_no_price_is_known_there_are_no_costs() -> None:
    assert costs_of(ExpectedCostProducer()) == {}


def test_what_is_cached_costs_less_and_a_shorter_answer_too() -> None:
    producer = ExpectedCostProducer(
        prices=[
            PriceEntry("small", input_per_million=1e6, output_per_million=2e6, cached_input_per_million=0.0),
        ],
        expected_output_tokens=10,
    )
    state = state_of(80)
    state.write(UNCACHED_REQUEST_TOKENS.of(""), UncachedRequestTokens(80, PrefixMatches({"default/cheap": 1}, 1, 64)))
    short = replace(request_of(), max_output_tokens=3)
    assert produce(producer, short, state, [CHEAP]).read(EXPECTED_COSTS.of("")).costs == {"default/cheap": 22.0}


def test_time_is_what_is_predicted_to_be_taken() -> None:
    producer = ExpectedCostProducer(prices=[PriceEntry("small", per_hour=3600.0), PriceEntry("large", per_hour=7200.0)])
    state = state_of(80)
    predicted = {"default/cheap": LatencyPrediction(1.0, 0.1, busy_seconds=0.5)}
    state.write(LATENCY_PREDICTIONS.of(""), predicted)
    costs = costs_of(producer, state, (CHEAP, DEAR))
    assert costs["default/cheap"] == 0.5
    assert costs["default/dear"] == pytest.approx(2 * (80 / 15928 + 256 / 2000))


def test_what_was_not_picked_is_forgotten_when_the_decision_stands() -> None:
    producer, request, state = token_pricing(), request_of(), state_of(80)
    state.write(LATENCY_PREDICTIONS.of(""), {each.name: LatencyPrediction(1.0, 0.1) for each in POOL})
    produce(producer, request, state, POOL)
    cost = state.read(EXPECTED_COSTS.of("")).costs["default/cheap"]
    producer.pre_request(request, state, decided(CHEAP))
    assert state.read(EXPECTED_COSTS.of("")).costs == {"default/cheap": cost}
    quotes = state.read(QUOTES.of(""))
    assert (list(quotes.prices), list(quotes.predictions)) == (["default/cheap"], ["default/cheap"])


def test_without_quotes_there_is_nothing_to_forget() -> None:
    state = state_of(80)
    token_pricing().pre_request(request_of(), state, decided(CHEAP))
    assert QUOTES.of("") not in state


def test_a_get_costs_nothing() -> None:
    state = produce(token_pricing(), make_request(headers={":method": "GET"}), make_state(), POOL)
    assert set(state.read(EXPECTED_COSTS.of("")).costs.values()) == {0.0}


@pytest.mark.parametrize(
    ("allowed", "most"),
    [
        pytest.param(None, 120.0, id="not said"),
        pytest.param(50, 180.0, id="what it allows"),
        pytest.param(-3, 80.0, id="less than nothing"),
    ],
)
def test_at_most_it_costs_the_longest_answer(allowed: int | None, most: float) -> None:
    request = replace(request_of(), max_output_tokens=allowed)
    quote = produce(token_pricing(), request, state_of(80), POOL).read(QUOTES.of("")).at("default/cheap")
    assert quote is not None
    assert quote.most == most


def test_each_of_several_answers_costs() -> None:
    three = replace(request_of(), max_output_tokens=50, answers=3)
    quote = produce(token_pricing(), three, state_of(80), POOL).read(QUOTES.of("")).at("default/cheap")
    assert quote is not None
    assert (quote.expected, quote.most) == (80 + 3 * 10 * 2, 80 + 3 * 50 * 2)


def test_a_prediction_of_one_answer_is_not_the_time_of_several() -> None:
    producer = ExpectedCostProducer(prices=[PriceEntry("small", per_hour=3600.0)])
    state = state_of(0)
    state.write(LATENCY_PREDICTIONS.of(""), {"default/cheap": LatencyPrediction(1.0, 0.1, busy_seconds=0.5)})
    two = replace(request_of(), answers=2)
    costs = produce(producer, two, state, [CHEAP]).read(EXPECTED_COSTS.of("")).costs
    assert costs == pytest.approx({"default/cheap": 2 * 256 / 2000})


def test_prices_are_told() -> None:
    producer = token_pricing()
    producer.endpoints_changed(POOL)
    diagnosis = producer.diagnose([*POOL, make_endpoint("h", labels={"turnout/price-per-hour": "4"})], 0.0)
    assert [finding.endpoint for finding in diagnosis.findings] == ["default/nameless"]
    assert diagnosis.findings[0].message.endswith("; it counts as dear as the dearest candidate")
    assert diagnosis.figures["default/cheap"]["input_per_million"] == 1e6
    assert diagnosis.figures["default/h"] == {"price_per_hour": 4.0}
    assert diagnosis.figures["default/nameless"] == {"price_per_hour": None}
    assert list(producer.readings()) == [
        GaugeReading("cost_unknown_prices", "Endpoints of the pool whose price is not known.", 1)
    ]


async def test_without_a_file_there_is_nothing_to_run() -> None:
    await token_pricing().run()


def test_the_age_of_a_file_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"prices": [{"value": "small", "perHour": 3600}]}')
    producer = ExpectedCostProducer(price_file=FeedSource(file=str(file)))
    names = [reading.name for reading in producer.readings()]
    assert names == ["cost_unknown_prices", "feed_written_timestamp_seconds", "feed_failures_total"]
    assert set(costs_of(producer, endpoints=(CHEAP,))) == {"default/cheap"}


def test_the_plugin_s_name_is_its_key() -> None:
    assert ExpectedCostProducer(name=PluginName("mine")).writes == (EXPECTED_COSTS.of("mine"), QUOTES.of("mine"))


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"currency": "Taler"}, "currency must be a code", id="no currency"),
        pytest.param({"unknown_price": -1.0}, "unknown_price must be from 0", id="a negative price of unknown ones"),
        pytest.param({"unknown_price": math.nan}, "unknown_price must be from 0", id="NaN for unknown ones"),
        pytest.param({"prefill_tokens_per_second": 0.0}, "prefill_tokens_per_second must be at least 1", id="no rate"),
        pytest.param({"decode_tokens_per_second": math.inf}, "decode_tokens_per_second must be", id="an endless rate"),
        pytest.param({"expected_output_tokens": -1}, "expected_output_tokens must be at least 0", id="no length"),
        pytest.param({"most_output_tokens": 100}, "at most most_output_tokens, got 256 and 100", id="longer than most"),
        pytest.param({"prices": PRICES, "price_label": ""}, "price_label must not be empty", id="no label"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ExpectedCostProducer(**parameters)  # type: ignore[arg-type]  # parameters by name


@given(endpoint_lists(), st.none() | st.text(max_size=100))
def test_the_producer_keeps_its_contract(endpoints: list[Endpoint], prompt: str | None) -> None:
    state = make_state(None if prompt is None else prompt)
    costs = check_producer(token_pricing(), make_request(), state, endpoints).read(EXPECTED_COSTS.of("")).costs
    assert all(0.0 <= cost < math.inf for cost in costs.values())
