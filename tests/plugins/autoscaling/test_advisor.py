from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.autoscaling.loads import StatedLoad
from plugins.generated import decided
from turnout.framework import (
    Endpoint,
    EndpointMetrics,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    RefusalKind,
    ScalingAdvice,
    ScalingAdvisor,
)
from turnout.framework.testing import check_signatures, make_endpoint, make_request, make_state
from turnout.plugins.autoscaling.advisor import AutoscalingAdvisor
from turnout.plugins.autoscaling.needs import LagTarget
from turnout.plugins.inflight_load.keys import TOKEN_LOAD
from turnout.plugins.inflight_load.token_load_producer import TokenLoadProducer

POOL = [make_endpoint(name, labels={"model": model}) for name, model in (("a", "x"), ("b", "y"), ("c", "y"))]


def advisor(load: StatedLoad | None = None, **parameters: object) -> AutoscalingAdvisor:
    plugin = AutoscalingAdvisor(**{"down_cooldown": timedelta(seconds=60), **parameters})  # type: ignore[arg-type]
    if load is not None:
        state = make_state()
        state.write(TOKEN_LOAD.of(""), load)
        plugin.pre_request(make_request(), state, decided(POOL[0]))
    return plugin


def only(advice: "list[ScalingAdvice] | tuple[ScalingAdvice, ...]") -> ScalingAdvice:
    (one,) = advice
    return one


def desired(plugin: AutoscalingAdvisor, now: float, pool: list[Endpoint] = POOL) -> list[int]:
    return [one.desired for one in plugin.scaling_advice(pool, now)]


def test_it_serves_what_it_says() -> None:
    plugin = AutoscalingAdvisor()
    check_signatures(plugin)
    assert isinstance(plugin, ScalingAdvisor)


def test_the_advice_is_the_queue_by_what_a_replica_computes_within_the_target() -> None:
    load = StatedLoad({"default/a": 4_000.0, "default/b": 5_000.0}, {"m": 1_500})
    one = only([*advisor(load, ttft_target=timedelta(seconds=2)).scaling_advice(POOL, 0.0)])
    assert (one.group, one.basis, one.desired, one.current, one.needed) == ("", "tokens", 6, 3, 5.25)
    assert (one.minimum, one.maximum, one.reason) == (1, 10, "load")
    assert one.figures == {
        "queued_tokens": 10_500.0,
        "tokens_per_second_per_replica": 1_000.0,
        "arriving_tokens_per_second": 0.0,
        "ttft_target_seconds": 2.0,
    }


def test_before_the_first_request_the_pool_is_left_as_it_is_and_then_goes_down() -> None:
    plugin = advisor()
    assert [desired(plugin, now) for now in (0.0, 59.0, 60.0)] == [[3], [3], [1]]


def test_a_pool_that_keeps_up_is_kept_where_it_is_with_a_target_utilization() -> None:
    load = StatedLoad()
    plugin = advisor(load, target_utilization=0.5)
    for second in range(0, 1_200, 2):
        load.sent["default/a"] = second * 900
        advised = desired(plugin, float(second))
    assert advised == [2]


def test_groups_have_advice_of_their_own() -> None:
    load = StatedLoad({"default/a": 9_000.0, "default/b": 500.0, "default/c": 3_000.0}, {"x": 1_000})
    plugin = advisor(load, group_label="model")
    advice = plugin.scaling_advice(POOL, 0.0)
    assert [(one.group, one.current, one.desired) for one in advice] == [("x", 1, 10), ("y", 2, 4)]
    load.queued, load.waiting = {}, {"x": 2_000}
    # A group that went to nothing is still advised, and what waits for its model counts for it.
    assert [(one.group, one.current, one.needed) for one in plugin.scaling_advice(POOL[1:], 1.0)] == [
        ("x", 0, 2.0),
        ("y", 2, 0.0),
    ]


def test_an_empty_pool_is_woken_by_what_waits() -> None:
    load = StatedLoad()
    plugin = advisor(load, min_replicas=0)
    assert desired(plugin, 0.0, []) == [0]
    load.waiting = {"m": 2_500}
    assert desired(plugin, 1.0, []) == [3]


def test_what_an_empty_pool_is_at_first_is_not_what_it_stays() -> None:
    plugin = advisor(StatedLoad())
    assert desired(plugin, 0.0, []) == [1]
    assert desired(plugin, 1.0, POOL) == [3]


@pytest.mark.parametrize("rate", [0.0, float("nan"), -1.0, float("inf")])
def test_without_a_rate_that_makes_sense_the_advice_stays(rate: float) -> None:
    load = StatedLoad({"default/a": 9_000.0})
    plugin = advisor(load)
    assert desired(plugin, 0.0) == [9]
    load.rate = rate
    load.queued = {}
    one = only([*plugin.scaling_advice(POOL, 1_000.0)])
    assert (one.desired, one.needed, one.reason) == (9, None, "unknown")


def test_several_endpoints_may_be_one_replica() -> None:
    plugin = advisor(StatedLoad({"default/a": 9_000.0}), endpoints_per_replica=2)
    one = only([*plugin.scaling_advice(POOL, 0.0)])
    assert (one.current, one.desired) == (2, 5)


def test_a_lag_has_advice_of_its_own() -> None:
    metrics = EndpointMetrics(custom={"lag": 1_300.0}, observed_at={"custom.lag": 0.0})
    pool = [make_endpoint("a", metrics=metrics)]
    plugin = advisor(lag=LagTarget("lag", 10.0), min_replicas=0)
    advice = plugin.scaling_advice(pool, 0.0)
    assert [(one.basis, one.desired) for one in advice] == [("tokens", 1), ("lag", 3)]
    assert advice[1].figures == {"lag": 1_300.0, "rate_per_replica": 10.0, "drain_seconds": 60.0}
    late = plugin.scaling_advice(pool, 61.0)[1]
    assert (late.desired, late.reason) == (3, "unknown")


def test_by_lag_alone_no_tokens_are_read() -> None:
    plugin = advisor(ttft_target=None, lag=LagTarget("lag", 10.0))
    assert plugin.reads == ()
    assert [one.basis for one in plugin.scaling_advice(POOL, 0.0)] == ["lag"]


@pytest.mark.parametrize("how", ["a request that begins to wait", "a request that is refused"])
def test_the_load_is_learnt_of_before_anything_is_sent(how: str) -> None:
    plugin = advisor()
    state = make_state()
    state.write(TOKEN_LOAD.of(""), StatedLoad({"default/a": 4_000.0}))
    if how == "a request that is refused":
        plugin.request_refused(make_request(), state, Refusal(RefusalKind.UNAVAILABLE, "no"))
    else:
        item = QueuedRequest(make_request(), 0.0, state=state)
        assert plugin.entry_refusal(item, QueueOutlook(None, 0, 0.0, 1.0), 0.0) is None
    assert desired(plugin, 0.0) == [4]


def test_what_waits_for_a_first_endpoint_wakes_the_pool_and_what_gives_up_does_not() -> None:
    producer, plugin = TokenLoadProducer(1_000.0), advisor(min_replicas=0, down_cooldown=timedelta())
    states = [make_state("x" * 4_000 * 4) for _ in range(2)]
    for state in states:
        item = QueuedRequest(make_request(), 0.0, state=state)
        for policy in (producer, plugin):
            assert policy.entry_refusal(item, QueueOutlook(None, 0, 0.0, 1.0), 0.0) is None
    assert desired(plugin, 0.0, []) == [8]
    for state in states:
        producer.request_refused(make_request(), state, Refusal(RefusalKind.UNAVAILABLE, "no"))
    assert desired(plugin, 1.0, []) == [0]


def test_a_load_that_asks_for_more_than_the_most_is_found() -> None:
    plugin = advisor(StatedLoad({"default/a": 90_000.0}))
    plugin.scaling_advice(POOL, 0.0)
    (found,) = plugin.diagnose(POOL, 0.0).findings
    assert (found.cause, found.message) == (
        "at-maximum:tokens:",
        "the pool may have 10 replicas of the 90.0 that its load asks for by tokens; raise maxReplicas.",
    )


def test_groups_without_a_place_are_found() -> None:
    plugin = advisor(group_label="model")
    plugin.scaling_advice([make_endpoint(f"e{at:03}", labels={"model": f"m{at}"}) for at in range(70)], 0.0)
    assert [found.cause for found in plugin.diagnose((), 0.0).findings] == ["too-many-groups"]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"ttft_target": None}, "ttft_target or lag must be given, got neither", id="nothing to go by"),
        pytest.param({"ttft_target": timedelta()}, "ttft_target must be positive", id="no target"),
        pytest.param({"target_utilization": 1.5}, r"target_utilization must be within \(0, 1\], got 1.5", id="over"),
        pytest.param({"target_utilization": float("nan")}, "target_utilization must be within", id="no number"),
        pytest.param({"endpoints_per_replica": 0}, "endpoints_per_replica must be at least 1, got 0", id="no endpoint"),
        pytest.param({"min_replicas": 20}, "min_replicas must be within", id="more than the most"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        AutoscalingAdvisor(**parameters)  # type: ignore[arg-type]


numbers = st.one_of(st.floats(0.0, 1e9), st.sampled_from([float("nan"), float("inf"), -1.0, 0.0]))


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 12), numbers, numbers, st.integers(0, 10**9), st.floats(0.0, 500.0)), max_size=30
    ),
    label=st.sampled_from(["", "model"]),
)
def test_whoever_comes_and_goes_and_whatever_the_load_says_the_advice_is_within_the_bounds(
    steps: list[tuple[int, float, float, int, float]], label: str
) -> None:
    load, now = StatedLoad(), 0.0
    plugin = advisor(load, group_label=label, min_replicas=2, max_replicas=7, target_utilization=0.8)
    for count, queued, rate, waiting, later in steps:
        now += later
        load.queued = {"default/0": queued}
        load.sent = {"default/0": waiting}
        load.waiting, load.rate = {"m1": waiting}, rate
        pool = [make_endpoint(str(number), labels={"model": f"m{number % 3}"}) for number in range(count)]
        advice = plugin.scaling_advice(pool, now)
        assert all(2 <= one.desired <= 7 for one in advice)
        assert sum(one.current for one in advice) == count
