import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.config import load_pipeline
from turnout.framework import CycleState, Endpoint, StateKey
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD, InFlightLoad
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction
from turnout.plugins.prefix_cache.affinity_filter import PrefixCacheAffinityFilter, TTFTSource
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]


def state_with(
    blocks: dict[str, int], tokens: dict[str, int] | None = None, ttfts: dict[str, float] | None = None, total: int = 10
) -> CycleState:
    """Matches by the endpoints' short names, tokens in flight, predicted TTFTs in seconds."""
    state = make_state()
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({f"default/{name}": n for name, n in blocks.items()}, total, 64))
    if tokens is not None:
        state.write(IN_FLIGHT_LOAD.of(""), InFlightLoad({}, {f"default/{name}": n for name, n in tokens.items()}))
    if ttfts is not None:
        predictions = {f"default/{name}": LatencyPrediction(ttft, 0.01) for name, ttft in ttfts.items()}
        state.write(LATENCY_PREDICTIONS.of(""), predictions)
    return state


def kept(plugin: PrefixCacheAffinityFilter, state: CycleState) -> str:
    return "".join(endpoint.name[-1] for endpoint in plugin.filter(make_request(), state, POOL))


DEFAULT = PrefixCacheAffinityFilter()
# 100 tokens per second and one second of patience: 100 tokens.
IMPATIENT = PrefixCacheAffinityFilter(max_ttft_penalty_ms=1000, peak_prefill_throughput=100)


@pytest.mark.parametrize(
    ("plugin", "state", "expected"),
    [
        pytest.param(DEFAULT, state_with({"a": 8, "b": 7}, {}), "a", id="at the threshold and below it"),
        pytest.param(DEFAULT, state_with({"a": 9, "c": 10}, {}), "ac", id="all that are sticky"),
        pytest.param(DEFAULT, state_with({"a": 7}, {}), "abc", id="nobody is sticky"),
        pytest.param(DEFAULT, state_with({}, {}), "abc", id="nobody matches"),
        pytest.param(DEFAULT, state_with({}, {}, total=0), "abc", id="no blocks"),
        pytest.param(DEFAULT, state_with({"a": 10, "b": 10, "c": 10}), "abc", id="everybody is sticky"),
        pytest.param(DEFAULT, make_state(), "abc", id="no matches were produced"),
        pytest.param(PrefixCacheAffinityFilter(0.0), state_with({"a": 10}, {}), "abc", id="threshold 0: disabled"),
        pytest.param(PrefixCacheAffinityFilter(-1.0), state_with({"a": 10}, {}), "abc", id="negative: disabled"),
        pytest.param(PrefixCacheAffinityFilter(0.1), state_with({"a": 1}, {}), "a", id="a low threshold"),
        pytest.param(IMPATIENT, state_with({"a": 10}, {"a": 100}), "a", id="just worth the wait"),
        pytest.param(IMPATIENT, state_with({"a": 10}, {"a": 101}), "abc", id="not worth the wait"),
        pytest.param(
            IMPATIENT, state_with({"a": 10}, {"a": 150, "b": 900, "c": 50}), "a", id="the best of the others counts"
        ),
        pytest.param(
            IMPATIENT, state_with({"a": 10, "b": 10}, {"a": 900, "b": 100}), "ab", id="the best of the sticky counts"
        ),
        pytest.param(DEFAULT, state_with({"a": 10}, {"a": 286_704}), "a", id="the default patience"),
        pytest.param(DEFAULT, state_with({"a": 10}, {"a": 286_705}), "abc", id="more than the default patience"),
        pytest.param(
            PrefixCacheAffinityFilter(max_ttft_penalty_ms=0),
            state_with({"a": 10}, {"a": 10**9}),
            "a",
            id="always stick",
        ),
        pytest.param(DEFAULT, state_with({"a": 10}), "abc", id="no load was produced"),
    ],
)
def test_endpoints_with_the_prompt_are_kept_while_waiting_is_cheaper(
    plugin: PrefixCacheAffinityFilter, state: CycleState, expected: str
) -> None:
    assert kept(plugin, state) == expected


def test_blocks_in_slower_memory_count_less() -> None:
    state = state_with({}, {})
    matches = {"default/a": 9, "default/b": 10, "default/c": 9}
    state.write(PREFIX_MATCHES.of(""), PrefixMatches(matches, 10, 64, {"default/a": 0.8, "default/b": 0.8}))
    assert kept(DEFAULT, state) == "bc"


@pytest.mark.parametrize(
    ("ttfts", "expected"),
    [
        pytest.param({"a": 1.2, "b": 0.2, "c": 3.0}, "a", id="within a second"),
        pytest.param({"a": 1.3, "b": 0.2, "c": 3.0}, "abc", id="more than a second"),
        pytest.param({"a": 1.3, "c": 3.0}, "a", id="an endpoint without a prediction does not count"),
        pytest.param({"a": 0.1}, "abc", id="none of the others has one"),
        pytest.param({"b": 0.1}, "abc", id="none of the sticky has one"),
        pytest.param(None, "abc", id="none were produced"),
    ],
)
def test_predicted_ttfts_can_be_compared_instead(ttfts: dict[str, float] | None, expected: str) -> None:
    plugin = PrefixCacheAffinityFilter(max_ttft_penalty_ms=1000, ttft_source="latencyPredictor")
    assert kept(plugin, state_with({"a": 10}, {"a": 10**9}, ttfts)) == expected


def test_some_requests_explore_and_a_seed_fixes_which() -> None:
    state = state_with({"a": 10}, {})
    explored = []
    for _ in range(2):
        plugin = PrefixCacheAffinityFilter(exploration_probability=0.25, seed=1)
        explored.append([kept(plugin, state) == "abc" for _ in range(2000)])
    assert explored[0] == explored[1]
    assert sum(explored[0]) / 2000 == pytest.approx(0.25, abs=0.03)
    assert kept(PrefixCacheAffinityFilter(exploration_probability=1.0), state) == "abc"


MATCHES, LOAD, PREDICTIONS = PREFIX_MATCHES.of(""), IN_FLIGHT_LOAD.of(""), LATENCY_PREDICTIONS.of("")


@pytest.mark.parametrize(
    ("plugin", "reads"),
    [
        pytest.param(PrefixCacheAffinityFilter(), (MATCHES, LOAD), id="by throughput"),
        pytest.param(
            PrefixCacheAffinityFilter(ttft_source="latencyPredictor"), (MATCHES, PREDICTIONS), id="by prediction"
        ),
        pytest.param(PrefixCacheAffinityFilter(affinity_threshold=0.0), (), id="disabled"),
        pytest.param(
            PrefixCacheAffinityFilter(prefix_match_info_producer_name="p", in_flight_load_producer_name="l"),
            (PREFIX_MATCHES.of("p"), IN_FLIGHT_LOAD.of("l")),
            id="by throughput, of named producers",
        ),
        pytest.param(
            PrefixCacheAffinityFilter(
                ttft_source="latencyPredictor",
                prefix_match_info_producer_name="p",
                latency_prediction_info_producer_name="t",
            ),
            (PREFIX_MATCHES.of("p"), LATENCY_PREDICTIONS.of("t")),
            id="by prediction, of named producers",
        ),
    ],
)
def test_only_what_is_used_is_read(plugin: PrefixCacheAffinityFilter, reads: tuple[StateKey[object], ...]) -> None:
    assert plugin.reads == reads


CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: prefix-cache-affinity-filter
  parameters: {affinityThreshold: 1, maxTTFTPenaltyMs: 5000, ttftSource: SOURCE}
- type: token-load-scorer
"""


def test_the_field_s_spelling_loads_and_brings_its_producers() -> None:
    pipeline = load_pipeline(CONFIG.replace("SOURCE", "prefillThroughput"))
    assert {"approx-prefix-cache-producer", "inflight-load-producer"} < set(pipeline.plugins)
    assert pipeline.warnings == ()


def test_a_configuration_that_asks_for_predictions_gets_a_plugin_that_makes_them() -> None:
    pipeline = load_pipeline(CONFIG.replace("SOURCE", "latencyPredictor"))
    producers = [named.name for stage in pipeline.producer_stages for named in stage]
    assert "predicted-latency-producer" in producers


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        pytest.param((1.1, 0, 0, 1), "affinity_threshold must be at most 1, got 1.1", id="threshold"),
        pytest.param((float("nan"), 0, 0, 1), "affinity_threshold must be at most 1, got nan", id="no number"),
        pytest.param((0.8, 1.5, 0, 1), r"exploration_probability must be within \[0, 1\], got 1.5", id="probability"),
        pytest.param((0.8, 0, -1, 1), "max_ttft_penalty_ms must be at least 0 and finite, got -1", id="penalty"),
        pytest.param((0.8, 0, 0, 0), "peak_prefill_throughput must be positive and finite, got 0", id="throughput"),
    ],
)
def test_parameters_out_of_range_are_refused(numbers: tuple[float, float, float, float], message: str) -> None:
    threshold, exploration, penalty, throughput = numbers
    with pytest.raises(ValueError, match=message):
        PrefixCacheAffinityFilter(threshold, exploration, penalty, peak_prefill_throughput=throughput)


@given(
    endpoints=endpoint_lists(),
    blocks=st.lists(st.integers(0, 12), min_size=8, max_size=8),
    tokens=st.lists(st.integers(0, 10**6), min_size=8, max_size=8),
    threshold=st.floats(-1.0, 1.0),
    exploration=st.sampled_from([0.0, 0.5]),
    source=st.sampled_from(["prefillThroughput", "latencyPredictor"]),
)
def test_the_filter_keeps_its_contract_and_never_empties_the_pool(
    endpoints: list[Endpoint],
    blocks: list[int],
    tokens: list[int],
    threshold: float,
    exploration: float,
    source: TTFTSource,
) -> None:
    names = [endpoint.name.removeprefix("default/") for endpoint in endpoints]
    load = dict(zip(names, tokens, strict=False))
    state = state_with(dict(zip(names, blocks, strict=False)), load, {name: n / 1000 for name, n in load.items()})
    plugin = PrefixCacheAffinityFilter(threshold, exploration, 1000.0, source, seed=1)
    assert check_filter(plugin, make_request(), state, endpoints)
