import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.topology.known import KnownTopology
from turnout.config import load_pipeline
from turnout.framework import PROMPT, CounterReading, CycleState, Endpoint, Prompt, Quantity
from turnout.framework.testing import check_producer, make_endpoint, make_request
from turnout.plugins.disagg.keys import DISAGG_DECISION, KV_TRANSFER_SECONDS, ReasonedDecision
from turnout.plugins.disagg.predicted_time import PredictedTimePdDecider
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.topology.keys import TOPOLOGY, Reach, Route

NEAR = Route(Reach.NVLINK, bytes_per_second=1_000.0, latency_seconds=0.0)
FAR = Route(Reach.ZONE, bytes_per_second=100.0, latency_seconds=0.5)


def roles(**role_by_name: str) -> list[Endpoint]:
    return [make_endpoint(name, labels={"llm-d.ai/role": role}) for name, role in role_by_name.items()]


POOL = roles(d="decode", p="prefill", q="prefill")
# Of 100 tokens of 10 bytes: 1,000 bytes take 1 s over the near way and 10.5 s over the far one.
WAYS = {("default/p", "default/d"): NEAR, ("default/q", "default/d"): FAR}


def prediction(ttft: float, tpot: float = 0.0) -> LatencyPrediction:
    return LatencyPrediction(ttft, tpot)


def decision(
    plugin: PredictedTimePdDecider,
    predictions: Mapping[str, LatencyPrediction] | None,
    *,
    ways: Mapping[tuple[str, str], Route] | None = WAYS,
    cached_blocks: int = 0,
    endpoints: Sequence[Endpoint] = POOL,
    model: str = "m",
) -> ReasonedDecision:
    """What it decides about a prompt of 100 tokens, of which d has so many blocks of 10 cached."""
    state = CycleState()
    state.write(PROMPT, Prompt(b"", 100))
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({"default/d": cached_blocks}, 10, 10))
    if predictions is not None:
        named = {f"default/{name}": each for name, each in predictions.items()}
        state.write(LATENCY_PREDICTIONS.of(""), named)
    if ways is not None:
        state.write(TOPOLOGY.of(""), KnownTopology(ways=ways))
    check_producer(plugin, make_request(model=model), state, endpoints)
    found = state.read(DISAGG_DECISION.of("predicted-time-pd-decider"))
    assert isinstance(found, ReasonedDecision)
    return found


def decider(min_gain: float = 0.0, assumed_bandwidth: int = 1_000) -> PredictedTimePdDecider:
    return PredictedTimePdDecider(
        timedelta(seconds=min_gain), bytes_per_token=Quantity(10), assumed_bandwidth=Quantity(assumed_bandwidth)
    )


@pytest.mark.parametrize(
    ("alone", "step", "near", "far", "cached", "yes", "reason"),
    [
        pytest.param(
            5.0, 0.5, 2.0, 0.0, 0, True, "predicted 3.500 s apart, 5.000 s alone", id="nearer beats an idle one far off"
        ),
        pytest.param(
            3.4, 0.5, 2.0, 0.0, 0, False, "predicted 3.500 s apart, 3.400 s alone", id="a step more is too much"
        ),
        pytest.param(3.4, 0.5, 2.0, 0.0, 5, True, "predicted 3.000 s apart, 3.400 s alone", id="half of it is cached"),
        pytest.param(
            20.0, 0.5, 30.0, 2.0, 0, True, "predicted 13.000 s apart, 20.000 s alone", id="far off but sooner"
        ),
        pytest.param(2.5, 0.5, 2.0, 9.0, 10, True, "predicted 2.500 s apart, 2.500 s alone", id="nothing to transfer"),
    ],
)
def test_the_sooner_first_token_decides(
    alone: float, step: float, near: float, far: float, cached: int, yes: bool, reason: str
) -> None:
    predictions = {"d": prediction(alone, step), "p": prediction(near), "q": prediction(far)}
    found = decision(decider(), predictions, cached_blocks=cached)
    assert found(POOL[0]) is yes
    assert found.reason(POOL[0]) == reason


@pytest.mark.parametrize(
    ("least", "yes"), [pytest.param(1.0, True, id="saves enough"), pytest.param(1.1, False, id="saves too little")]
)
def test_a_small_gain_may_not_be_worth_it(least: float, yes: bool) -> None:
    predictions = {"d": prediction(4.0), "p": prediction(2.0), "q": prediction(9.0)}
    assert decision(decider(least), predictions)(POOL[0]) is yes


@pytest.mark.parametrize(
    ("predictions", "endpoints"),
    [
        pytest.param(None, POOL, id="nothing is predicted"),
        pytest.param({"p": prediction(0.0)}, POOL, id="nothing of the one that decodes"),
        pytest.param({"d": prediction(9.0)}, POOL, id="nothing of those that prefill"),
    ],
)
def test_without_predictions_a_parameter_decides(
    predictions: Mapping[str, LatencyPrediction] | None, endpoints: Sequence[Endpoint]
) -> None:
    cautious = decision(decider(), predictions, endpoints=endpoints)
    assert (cautious(POOL[0]), cautious.reason(POOL[0])) == (False, "not predicted")
    bold = PredictedTimePdDecider(without_predictions="prefill-decode")
    assert decision(bold, predictions, endpoints=endpoints)(POOL[0])


def test_where_nobody_else_prefills_the_answer_is_no() -> None:
    alone = roles(d="prefill-decode", e="decode")
    bold = PredictedTimePdDecider(without_predictions="prefill-decode")
    found = decision(bold, {"d": prediction(9.0), "e": prediction(0.0)}, endpoints=alone)
    assert (found(alone[0]), found.reason(alone[0])) == (False, "nobody else prefills")


def test_one_without_a_prediction_does_not_count_as_one_that_prefills() -> None:
    found = decision(decider(), {"d": prediction(5.0), "q": prediction(0.0)})
    assert found.reason(POOL[0]) == "predicted 10.500 s apart, 5.000 s alone"


@pytest.mark.parametrize(
    "ways", [pytest.param(None, id="no topology at all"), pytest.param({}, id="nothing known of the two")]
)
def test_a_way_that_is_not_known_has_the_assumed_bandwidth(ways: Mapping[tuple[str, str], Route] | None) -> None:
    predictions = {"d": prediction(5.0), "p": prediction(1.0)}
    found = decision(decider(assumed_bandwidth=500), predictions, ways=ways)
    assert found.reason(POOL[0]) == "predicted 3.000 s apart, 5.000 s alone"


def test_a_model_may_have_a_larger_cache() -> None:
    plugin = PredictedTimePdDecider(bytes_per_token=Quantity(10), bytes_per_token_by_model={"large": Quantity(100)})
    found = decision(plugin, {"d": prediction(5.0), "p": prediction(1.0)}, model="large")
    assert found.reason(POOL[0]) == "predicted 11.000 s apart, 5.000 s alone"


def test_each_endpoint_that_might_decode_is_judged_by_its_own_ways_and_predictions() -> None:
    endpoints = roles(d="decode", e="decode", p="prefill")
    predictions = {"d": prediction(3.0), "e": prediction(3.0), "p": prediction(1.0)}
    ways = {("default/p", "default/d"): NEAR, ("default/p", "default/e"): FAR}
    found = decision(decider(), predictions, ways=ways, endpoints=endpoints)
    assert (found(endpoints[0]), found(endpoints[1])) == (True, False)


def test_decisions_are_counted_by_what_the_predictions_said() -> None:
    plugin = decider()
    for predictions in ({"d": prediction(5.0), "p": prediction(1.0)}, {"d": prediction(0.0), "p": prediction(1.0)}, {}):
        decision(plugin, predictions)(POOL[0])
    readings = [reading for reading in plugin.readings() if isinstance(reading, CounterReading)]
    assert {reading.labels["reason"]: reading.value for reading in readings} == {
        "faster apart": 1,
        "faster alone": 1,
        "not predicted": 1,
    }


def test_what_was_predicted_of_the_pool_is_not_kept_as_long_as_the_response() -> None:
    pipeline = load_pipeline(CONFIG)
    state = CycleState()
    state.write(PROMPT, Prompt(b"", 100))
    state.write(LATENCY_PREDICTIONS.of(""), {"default/d": prediction(5.0, 0.0), "default/p": prediction(1.0)})
    state.write(TOPOLOGY.of(""), KnownTopology(ways=WAYS))
    plugin, pool = decider(), POOL[:2]
    asyncio.run(plugin.produce(make_request(), state, pool))
    result = pipeline.scheduler.schedule(make_request(), state, pool, 0.0)
    assert result.profiles.keys() == {"decode", "prefill"}
    assert result.reasons[2] == "prefill at default/p (predicted 2.000 s apart, 5.000 s alone)"
    plugin.pre_request(make_request(), state, result)
    assert state.get(DISAGG_DECISION.of("predicted-time-pd-decider")) is None
    # 1,000 bytes over the near way: what learns from the first token takes this off.
    assert state.get(KV_TRANSFER_SECONDS) == pytest.approx(1.0)


# Its producers do not run here: what they would publish is written, and the decision by the plugin under test.
CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- {type: always-disagg-pd-decider, name: predicted-time-pd-decider}
- type: disagg-profile-handler
  parameters: {deciders: {prefill: predicted-time-pd-decider}}
- type: prefill-filter
- type: decode-filter
schedulingProfiles:
- name: decode
  plugins: [{pluginRef: decode-filter}]
- name: prefill
  plugins: [{pluginRef: prefill-filter}]
"""


@given(
    st.dictionaries(st.sampled_from("dpq"), st.builds(LatencyPrediction, *[st.floats(0.0, 1e6)] * 2)),
    st.dictionaries(st.sampled_from(list(WAYS)), st.builds(Route, st.just(Reach.NODE), *[st.floats(1e-3, 1e12)] * 2)),
    st.integers(0, 10),
)
def test_whatever_is_known_every_endpoint_is_decided_about(
    predictions: dict[str, LatencyPrediction], ways: dict[tuple[str, str], Route], cached: int
) -> None:
    found = decision(decider(), predictions, ways=ways, cached_blocks=cached)
    for endpoint in POOL:
        assert isinstance(found(endpoint), bool)
        assert found(replace(endpoint)) is found(endpoint)
        assert found.reason(endpoint)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"min_gain": timedelta(seconds=-1)}, "min_gain must be at least 0", id="a negative gain"),
        pytest.param(
            {"assumed_bandwidth": Quantity(0)}, "assumed_bandwidth must be at least 1, got 0", id="no bandwidth"
        ),
        pytest.param(
            {"bytes_per_token": Quantity(0)}, "bytes_per_token must be at least 1, got 0", id="tokens of no size"
        ),
    ],
)
def test_numbers_are_checked(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PredictedTimePdDecider(**wrong)  # type: ignore[arg-type]
