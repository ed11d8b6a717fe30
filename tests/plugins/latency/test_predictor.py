from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint
from turnout.plugins.latency.engine_timing import EngineTiming
from turnout.plugins.latency.keys import LatencyPrediction
from turnout.plugins.latency.predictor import MAX_VARIANTS, Predictor, PredictorSettings, RequestShape

SETTINGS = PredictorSettings(EngineTiming(), variant_labels=("gpu", "role"))


def shape(prompt: int = 1000, uncached: int | None = None, output: int = 100, adapter: str = "") -> RequestShape:
    return RequestShape(prompt, [prompt if uncached is None else uncached], output, adapter)


def predict(
    predictor: Predictor, wanted: RequestShape, endpoint: Endpoint, now: float = 0.0, load: float = 0.0
) -> LatencyPrediction:
    loading = {endpoint.name: load}
    return predictor.predict(wanted, [endpoint], loading, now).predictions[endpoint.name]


def test_the_first_prediction_is_that_of_the_engine_s_form() -> None:
    found = predict(Predictor(SETTINGS), shape(), make_endpoint())
    assert found.ttft_seconds == pytest.approx(0.005 + 0.0219, rel=0.01)
    assert found.tpot_seconds == pytest.approx(0.00636)
    # The prompt, and a hundred steps of a batch of one with a context of 1,050.
    assert found.busy_seconds == pytest.approx(0.0219 + 100 * (0.00636 + 0.0000127 + 0.0000435), rel=0.01)
    assert (found.ttft_spread, found.confidence) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("wanted", "metrics", "more_ttft", "more_tpot"),
    [
        pytest.param(shape(uncached=100), EndpointMetrics(), 0.00636 - 0.0219, 0.0, id="a cached prompt"),
        pytest.param(
            shape(),
            EndpointMetrics(
                running_requests=64, kv_cache_utilization=0.5, cache_block_size=16, cache_num_blocks=16_384
            ),
            0.0062,
            0.0062,
            id="a batch of 64 with 2,048 tokens each",
        ),
        pytest.param(
            shape(adapter="x"), EndpointMetrics(active_adapters=frozenset({"y"})), 1.0, 0.0, id="an adapter to load"
        ),
        pytest.param(
            shape(adapter="x"),
            EndpointMetrics(active_adapters=frozenset({"x"})),
            0.0,
            0.0,
            id="an adapter that is there",
        ),
    ],
)
def test_what_is_known_of_request_and_endpoint_changes_it(
    wanted: RequestShape, metrics: EndpointMetrics, more_ttft: float, more_tpot: float
) -> None:
    plain = predict(Predictor(SETTINGS), shape(), make_endpoint())
    found = predict(Predictor(SETTINGS), wanted, make_endpoint(metrics=metrics))
    assert found.ttft_seconds - plain.ttft_seconds == pytest.approx(more_ttft, rel=0.02, abs=1e-4)
    assert found.tpot_seconds - plain.tpot_seconds == pytest.approx(more_tpot, rel=0.02, abs=1e-5)


def test_prompts_on_their_way_are_ahead_and_slow_the_others_down() -> None:
    predictor, endpoint = Predictor(SETTINGS), make_endpoint()
    plain = predict(predictor, shape(), endpoint, 100.0)
    predictor.site(endpoint).work.send(1, 3.0, 10.0, 500.0, 100.0, shows_first_token=False)
    found = predict(predictor, shape(), endpoint, 101.0)
    assert found.ttft_seconds - plain.ttft_seconds == pytest.approx(2.0, rel=0.01)
    assert found.tpot_seconds > plain.tpot_seconds * 1.3


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(8, 5 * 100 * 0.0065 / 8, id="a full batch: until five of its eight have ended"),
        pytest.param(0, 5 * 100 * 0.0065 / 8, id="more than it was ever seen to run"),
        pytest.param(16, 0.0, id="there are places, and no prompt is known to be ahead"),
    ],
)
def test_requests_that_wait_for_a_place_are_ahead(limit: int, expected: float) -> None:
    predictor = Predictor(replace(SETTINGS, max_running_requests=limit))
    full = make_endpoint(metrics=EndpointMetrics(running_requests=8, waiting_queue_size=4))
    found = predict(predictor, shape(), full).ttft_seconds - predict(predictor, shape(), make_endpoint()).ttft_seconds
    assert found == pytest.approx(expected, rel=0.05, abs=0.001)


def test_a_place_is_free_when_the_first_of_the_picker_s_own_requests_ends() -> None:
    predictor = Predictor(replace(SETTINGS, max_running_requests=2))
    full = make_endpoint(metrics=EndpointMetrics(running_requests=2, waiting_queue_size=1))
    for number, duration in enumerate((9.0, 4.0, 12.0)):
        predictor.site(full).work.send(number, 0.0, duration, 10.0, 0.0, shows_first_token=False)
    assert predict(predictor, shape(), full, 1.0).ttft_seconds == pytest.approx(9.0 - 1.0 + 0.027, rel=0.01)


def test_a_model_that_is_to_be_loaded_comes_before_all_and_is_no_fault_of_the_prediction() -> None:
    predictor, endpoint = Predictor(SETTINGS), make_endpoint()
    table = predictor.predict(shape(), [endpoint], {endpoint.name: 30.0}, 0.0)
    row = table.row(endpoint.name)
    assert row is not None
    assert row.prediction.ttft_seconds == pytest.approx(30.0269, rel=0.001)
    predictor.saw_ttft(predictor.site(endpoint), row, 30.0269)
    assert predictor.site(endpoint).variant.ttft.accuracy.mape < 0.01
    assert table.row("default/somebody-else") is None


def test_an_engine_whose_arithmetic_is_slow_beside_its_memory_is_learnt_for_short_and_long_prompts() -> None:
    predictor, endpoint = Predictor(SETTINGS), make_endpoint()

    def took(tokens: int) -> float:
        return 0.012 + 1e-4 * max(0, tokens - 250)

    for number in range(200):
        tokens = (20, 150, 400, 800, 1600)[number % 5]
        row = predictor.predict(shape(tokens), [endpoint], {}, float(number)).row(endpoint.name)
        assert row is not None
        predictor.saw_ttft(predictor.site(endpoint), row, took(tokens))
    found = [predict(predictor, shape(tokens), endpoint, 300.0).ttft_seconds for tokens in (20, 400, 1600)]
    assert found == pytest.approx([took(tokens) for tokens in (20, 400, 1600)], rel=0.2)


def test_variants_are_told_apart_by_their_labels_up_to_a_bound() -> None:
    predictor = Predictor(SETTINGS)
    endpoints = [make_endpoint(f"e{number}", labels={"gpu": f"g{number}"}) for number in range(2 * MAX_VARIANTS)]
    names = [predictor.site(endpoint).variant.name for endpoint in endpoints]
    assert names[:2] == ["g0/", "g1/"]
    assert names[-1] == "other"
    assert len(predictor.variants) == MAX_VARIANTS + 1


def test_endpoints_that_left_are_forgotten_when_nothing_runs_there() -> None:
    predictor, busy, idle = Predictor(SETTINGS), make_endpoint("busy"), make_endpoint("idle")
    predictor.site(busy).work.send(1, 1.0, 2.0, 1.0, 0.0, shows_first_token=False)
    predictor.site(idle)
    predictor.keep_only(frozenset())
    assert set(predictor.sites) == {busy.name}


@given(
    endpoints=endpoint_lists(),
    prompt=st.integers(0, 1_000_000),
    cached=st.floats(0.0, 1.0),
    output=st.integers(0, 100_000),
)
def test_predictions_are_finite_and_not_negative(
    endpoints: list[Endpoint], prompt: int, cached: float, output: int
) -> None:
    wanted = RequestShape(prompt, [int(prompt * cached)] * len(endpoints), output, "a")
    table = Predictor(SETTINGS).predict(wanted, endpoints, {}, 5.0)
    assert set(table.predictions) == {endpoint.name for endpoint in endpoints}
    for found in table.predictions.values():
        assert all(0.0 <= each < 1e9 for each in found)
        assert found.tpot_seconds > 0.0
