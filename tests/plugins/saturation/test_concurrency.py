import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided, ended, endpoint_lists, produce
from turnout.config import load_pipeline
from turnout.framework import CycleState, Endpoint, PluginName
from turnout.framework.testing import check_detector, check_filter, make_endpoint, make_request, make_state
from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD, InFlightLoad
from turnout.plugins.inflight_load.producer import InFlightLoadProducer
from turnout.plugins.saturation.concurrency import ConcurrencyDetector

REQUEST = make_request()


def pool(*in_flight: int) -> list[Endpoint]:
    return [make_endpoint(str(place), in_flight=count) for place, count in enumerate(in_flight)]


def state_with(*tokens: int, producer: str = "") -> CycleState:
    """The state of a request for which the producer wrote these tokens by endpoint."""
    state = make_state()
    counts = {f"default/{place}": count for place, count in enumerate(tokens) if count}
    state.write(IN_FLIGHT_LOAD.of(producer), InFlightLoad({}, counts))
    return state


def learned(detector: ConcurrencyDetector, *tokens: int) -> ConcurrencyDetector:
    """The detector after a dispatch in which it found these tokens."""
    detector.pre_request(REQUEST, state_with(*tokens), decided(pool(0)[0]))
    return detector


BY_TOKENS = ConcurrencyDetector(max_token_concurrency=1000, concurrency_mode="tokens")
BY_BOTH = ConcurrencyDetector(10, 1000, "hybrid")


@pytest.mark.parametrize(
    ("detector", "endpoints", "tokens", "expected"),
    [
        pytest.param(ConcurrencyDetector(), [], (), 1.0, id="requests: an empty pool is full"),
        pytest.param(ConcurrencyDetector(), pool(0, 0), (), 0.0, id="requests: idle"),
        pytest.param(ConcurrencyDetector(), pool(100, 20), (), 0.6, id="requests: 120 of 200"),
        pytest.param(ConcurrencyDetector(10), pool(40), (), 4.0, id="requests: more than full"),
        pytest.param(ConcurrencyDetector(10), pool(5), (10**9,), 0.5, id="requests: tokens do not count"),
        pytest.param(BY_TOKENS, pool(50, 0), (700, 100), 0.4, id="tokens: 800 of 2,000"),
        pytest.param(BY_TOKENS, pool(50, 0), (700,), 0.35, id="tokens: one without an entry has none"),
        pytest.param(BY_TOKENS, [], (700,), 1.0, id="tokens: an empty pool is full"),
        pytest.param(BY_BOTH, pool(5, 0), (200, 900), 0.7, id="hybrid: 0.5 by requests and 0.9 by tokens"),
        pytest.param(BY_BOTH, [], (), 1.0, id="hybrid: an empty pool is full"),
    ],
)
def test_saturation_is_what_is_in_flight_of_what_may_be(
    detector: ConcurrencyDetector, endpoints: list[Endpoint], tokens: tuple[int, ...], expected: float
) -> None:
    assert check_detector(learned(detector, *tokens), endpoints, 0.0) == pytest.approx(expected)


def test_the_set_point_is_met_exactly() -> None:
    assert ConcurrencyDetector(3).saturation(pool(1, 2, 3, 3, 6), 0.0) == 1.0


def kept(detector: ConcurrencyDetector, endpoints: list[Endpoint], state: CycleState) -> str:
    return "".join(endpoint.name[-1] for endpoint in detector.filter(REQUEST, state, endpoints))


@pytest.mark.parametrize(
    ("detector", "endpoints", "tokens", "expected"),
    [
        pytest.param(ConcurrencyDetector(10), pool(9, 10, 11), (), "0", id="requests: at the limit: removed"),
        pytest.param(ConcurrencyDetector(10, headroom=0.1), pool(10, 11), (), "0", id="requests: headroom"),
        pytest.param(ConcurrencyDetector(100, headroom=0.1), pool(109, 110), (), "0", id="requests: exactly at it"),
        pytest.param(ConcurrencyDetector(1), pool(1, 1), (), "", id="requests: nobody may be left"),
        pytest.param(BY_TOKENS, pool(99, 99, 99), (999, 1000), "02", id="tokens"),
        pytest.param(BY_BOTH, pool(9, 10, 0), (0, 0, 1000), "0", id="hybrid: either"),
    ],
)
def test_the_filter_keeps_those_that_have_room(
    detector: ConcurrencyDetector, endpoints: list[Endpoint], tokens: tuple[int, ...], expected: str
) -> None:
    assert kept(detector, endpoints, state_with(*tokens)) == expected


def test_before_the_first_dispatch_nothing_is_in_flight() -> None:
    detector = ConcurrencyDetector(concurrency_mode="tokens")
    assert detector.saturation(pool(50), 0.0) == 0.0
    assert kept(detector, pool(50), make_state()) == "0"


def test_a_request_without_the_producers_data_changes_nothing() -> None:
    detector = learned(ConcurrencyDetector(max_token_concurrency=1000, concurrency_mode="tokens"), 500)
    detector.pre_request(REQUEST, make_state(), decided(pool(0)[0]))
    assert detector.saturation(pool(0), 0.0) == 0.5


def test_tokens_stay_current_after_one_dispatch() -> None:
    producer = InFlightLoadProducer(name=PluginName("mine"))
    detector = ConcurrencyDetector(10, 100, "tokens", in_flight_load_producer_name="mine")
    (endpoint,) = pool(0)
    states = []
    for seen in (0.0, 0.5):
        assert detector.saturation([endpoint], 0.0) == seen
        state = produce(producer, REQUEST, make_state("x" * 200), [endpoint])
        for plugin in (detector, producer):
            plugin.pre_request(REQUEST, state, decided(endpoint))
        states.append(state)
    assert detector.saturation([endpoint], 0.0) == 1.0
    for state in states:
        producer.response_complete(REQUEST, state, ended(endpoint))
    assert detector.saturation([endpoint], 0.0) == 0.0


def test_another_producer_after_a_reload_is_found_with_the_next_dispatch() -> None:
    detector = learned(ConcurrencyDetector(max_token_concurrency=1000, concurrency_mode="tokens"), 500)
    assert learned(detector, 100).saturation(pool(0), 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("detector", "reads"),
    [
        pytest.param(ConcurrencyDetector(), (), id="requests: nothing"),
        pytest.param(BY_TOKENS, (IN_FLIGHT_LOAD.of("inflight-load-producer"),), id="tokens"),
        pytest.param(
            ConcurrencyDetector(concurrency_mode="hybrid", in_flight_load_producer_name="mine"),
            (IN_FLIGHT_LOAD.of("mine"),),
            id="hybrid, of a named producer",
        ),
    ],
)
def test_only_what_is_counted_is_read(detector: ConcurrencyDetector, reads: tuple[object, ...]) -> None:
    assert detector.reads == reads


@pytest.mark.parametrize("mode", ["requests", "tokens", "hybrid"])
def test_a_configuration_in_every_mode_loads(mode: str) -> None:
    pipeline = load_pipeline(f"""
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: concurrency-detector
  parameters: {{concurrencyMode: {mode}, maxConcurrency: 160}}
- type: queue-scorer
flowControl: {{saturationDetector: {{pluginRef: concurrency-detector}}}}
""")
    assert [named.name for named in pipeline.scheduler.profiles[0].filters] == ["concurrency-detector"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"max_concurrency": 0}, "max_concurrency must be at least 1, got 0", id="no requests"),
        pytest.param({"max_token_concurrency": -1}, "max_token_concurrency must be at least 1, got -1", id="no tokens"),
        pytest.param({"headroom": float("nan")}, "headroom must be at least 0 and finite, got nan", id="headroom"),
    ],
)
def test_parameters_have_ranges(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConcurrencyDetector(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["requests", "tokens", "hybrid"])
@given(
    endpoints=endpoint_lists(),
    tokens=st.lists(st.integers(0, 10**12), max_size=8),
    headroom=st.floats(0.0, 1e9),
)
def test_the_detector_keeps_both_contracts(
    mode: str, endpoints: list[Endpoint], tokens: list[int], headroom: float
) -> None:
    detector = ConcurrencyDetector(concurrency_mode=mode, headroom=headroom)  # type: ignore[arg-type]
    check_detector(learned(detector, *tokens), endpoints, 0.0)
    check_filter(detector, REQUEST, state_with(*tokens), endpoints)
