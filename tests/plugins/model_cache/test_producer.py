from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import FIRST, decided, ended, endpoint_lists, produce, response_of
from turnout.framework import Completion, CycleState, Endpoint, EndpointMetrics, GaugeReading, Termination
from turnout.framework.testing import check_producer, check_signatures, make_endpoint, make_request, make_state
from turnout.plugins.model_cache.keys import LOAD_SECONDS
from turnout.plugins.model_cache.load_times import LoadSpeeds
from turnout.plugins.model_cache.producer import ModelCacheProducer

A, B = make_endpoint("a"), make_endpoint("b")
SPEEDS = LoadSpeeds(timedelta(seconds=5), timedelta(seconds=50))
KEY = LOAD_SECONDS.of("")


def producer(*adapters: str, keep: float = 600.0) -> ModelCacheProducer:
    return ModelCacheProducer(adapters=adapters, speeds=SPEEDS, keep_loaded=timedelta(seconds=keep))


def loads(
    plugin: ModelCacheProducer, pool: Sequence[Endpoint], now: float = 0.0, model: str = "m"
) -> Mapping[str, float]:
    return produce(plugin, make_request(model=model), make_state(now=now), pool).read(KEY)


def send(plugin: ModelCacheProducer, to: Endpoint, now: float = 0.0, model: str = "m") -> CycleState:
    state = make_state(now=now)
    plugin.pre_request(make_request(model=model), state, decided(to))
    return state


@pytest.mark.parametrize(
    ("labels", "active", "waiting", "expected"),
    [
        pytest.param({"models": "x, m"}, "", "", None, id="its label lists it"),
        pytest.param({}, "m", "m", None, id="active, and named as waiting too"),
        pytest.param({}, "", "m", 2.5, id="somebody else's request loads it"),
        pytest.param({"models": "x", "models-on-disk": "m;y"}, "", "", 5.0, id="on disk"),
        pytest.param({"models": "x"}, "", "", 50.0, id="nowhere"),
        pytest.param({"models": ""}, "", "", 50.0, id="an endpoint with no model at all"),
        pytest.param({"models": "x", "model-load-seconds": "7"}, "", "", 7.0, id="its own word"),
        pytest.param({"models": "x", "model-load-seconds": "-7"}, "", "", 50.0, id="its own word makes no sense"),
        pytest.param({"models": "x", "model-load-seconds": "0"}, "", "", None, id="it loads at once"),
    ],
)
def test_where_the_model_is_decides_how_long_it_takes(
    labels: dict[str, str], active: str, waiting: str, expected: float | None
) -> None:
    metrics = EndpointMetrics(active_adapters=frozenset(active), waiting_adapters=frozenset(waiting))
    endpoint = make_endpoint("a", labels=labels, metrics=metrics)
    assert loads(producer(), [endpoint]).get("default/a") == expected


def test_a_model_that_nobody_calls_an_adapter_is_what_the_endpoints_serve_anyway() -> None:
    assert loads(producer(), [A, B]) == {}


def test_an_adapter_that_one_endpoint_has_must_be_loaded_by_the_others() -> None:
    having = make_endpoint("b", metrics=EndpointMetrics(active_adapters=frozenset("m")))
    plugin = producer()
    assert loads(plugin, [A, having]) == {"default/a": 50.0}
    # The engine names it only while it runs a request for it.
    assert loads(plugin, [A, B]) == {"default/a": 50.0, "default/b": 50.0}


def test_what_is_being_loaded_is_sooner_there_and_what_answered_stays() -> None:
    plugin = producer("m", keep=100.0)
    state = send(plugin, A)
    assert loads(plugin, [A, B], now=30.0) == {"default/a": 20.0, "default/b": 50.0}
    state.now = 50.0
    plugin.response_body(make_request(), state, response_of(A), FIRST)
    plugin.response_complete(make_request(), state, ended(A))
    assert loads(plugin, [A, B], now=149.0) == {"default/b": 50.0}
    assert loads(plugin, [A, B], now=150.0) == {"default/a": 50.0, "default/b": 50.0}


@pytest.mark.parametrize(
    ("end", "there"),
    [
        pytest.param(ended(A), True, id="answered"),
        pytest.param(replace(ended(A), served_by=A.host_port), True, id="answered, as the proxy says"),
        pytest.param(replace(ended(A), served_by=B.host_port), False, id="answered by a fallback"),
        pytest.param(Completion(A, Termination.NATURAL, 404), False, id="the engine has no such model"),
        pytest.param(Completion(A, Termination.ERROR), False, id="no answer"),
        pytest.param(Completion(A, Termination.CLIENT_DISCONNECT, 200), False, id="the client left"),
    ],
)
def test_without_bodies_the_end_of_a_request_shows_whether_the_model_is_there(end: Completion, *, there: bool) -> None:
    plugin = producer("m")
    plugin.response_complete(make_request(), send(plugin, A), end)
    assert (loads(plugin, [A]) == {}) is there


def test_load_times_follow_what_is_observed() -> None:
    plugin = producer("m")
    first = send(plugin, A)
    first.now = 8.0
    plugin.response_body(make_request(), first, response_of(A), FIRST)
    assert list(plugin.readings()) == []
    for at in (10.0, 20.0):
        usual = send(plugin, A, at)
        usual.now = at + 1.0
        plugin.response_body(make_request(), usual, response_of(A), FIRST)
    cold = send(plugin, B, 30.0)
    cold.now = 41.0
    plugin.response_body(make_request(), cold, response_of(B), FIRST)
    assert [(one.value, one.labels) for one in plugin.readings() if isinstance(one, GaugeReading)] == [
        (38.0, {"model": "m", "tier": "nowhere"})
    ]


def test_a_request_that_met_a_queue_teaches_nothing() -> None:
    plugin = producer("m")
    busy = make_endpoint("a", waiting=1)
    state = send(plugin, busy)
    state.now = 9.0
    plugin.response_body(make_request(), state, response_of(busy), FIRST)
    assert plugin._times._learnt == {}


def test_endpoints_that_leave_are_forgotten() -> None:
    plugin = producer("m")
    plugin.response_complete(make_request(), send(plugin, A), ended(A))
    plugin.endpoints_changed([B])
    assert loads(plugin, [A]) == {"default/a": 50.0}


def test_a_label_that_states_no_time_is_found() -> None:
    pool = [make_endpoint("a", labels={"model-load-seconds": "soon"}), make_endpoint("b", labels={})]
    found = producer().diagnose(pool, 0.0).findings
    assert [(one.cause, one.endpoint) for one in found] == [("bad-load-seconds", "default/a")]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"loaded_label": ""}, "loaded_label must not be empty", id="no label"),
        pytest.param({"keep_loaded": timedelta()}, "keep_loaded must be positive", id="no time"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ModelCacheProducer(**parameters)  # type: ignore[arg-type]


@given(endpoints=endpoint_lists(), now=st.floats(0.0, 1e6), model=st.sampled_from(["m", "a", ""]))
def test_it_keeps_the_contract_of_a_producer(endpoints: list[Endpoint], now: float, model: str) -> None:
    plugin = producer("m")
    check_signatures(plugin)
    send(plugin, endpoints[0], now, model)
    state = check_producer(plugin, make_request(model=model), make_state(now=now), endpoints)
    assert all(0.0 < seconds <= 86_400.0 for seconds in state.read(KEY).values())
