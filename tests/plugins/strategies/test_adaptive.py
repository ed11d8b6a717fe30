import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.queued import queued
from turnout.framework import AdaptivePolicy, CounterReading, GaugeReading, QueueMix
from turnout.plugins.strategies.adaptive import AdaptiveOrderingPolicy
from turnout.plugins.strategies.hysteresis import Thresholds

CALM = QueueMix(queued=5, with_target=0.0, high_priority=0.0, saturation=0.1)


def mix(queued: int = 5, with_target: float = 0.0, high_priority: float = 0.0, saturation: float = 1.0) -> QueueMix:
    return QueueMix(queued, with_target, high_priority, saturation)


@pytest.mark.parametrize(
    ("seen", "strategy"),
    [
        pytest.param(mix(saturation=0.89), "fifo", id="not busy"),
        pytest.param(mix(1000, 1.0, 1.0, 0.5), "fifo", id="not busy, whatever waits"),
        pytest.param(mix(with_target=0.3), "slo-aware", id="many have targets"),
        pytest.param(mix(1000, 0.3, 1.0), "slo-aware", id="targets count before priorities and the queue"),
        pytest.param(mix(high_priority=0.1), "priority", id="many are of high priority"),
        pytest.param(mix(1000, high_priority=0.1), "priority", id="priorities count before the queue"),
        pytest.param(mix(100), "cost-optimized", id="a long queue"),
        pytest.param(mix(99, 0.29, 0.09), "priority", id="busy, and nothing stands out"),
    ],
)
def test_the_strategy_suits_what_waits(seen: QueueMix, strategy: str) -> None:
    policy = AdaptiveOrderingPolicy()
    assert isinstance(policy, AdaptivePolicy)
    assert policy.adapt(seen, 0.0) == (strategy != "fifo")
    assert policy.current == strategy


def test_it_orders_as_the_strategy_in_effect() -> None:
    policy = AdaptiveOrderingPolicy(prefill_tokens_per_second=1000.0, output_weight=1.0, expected_output_tokens=10)
    item = queued(priority=7, enqueued_at=3.0, ttft_target=2.0, prompt_tokens=500)
    answers = []
    steps = (CALM, mix(with_target=1.0), mix(high_priority=1.0), mix(1000))
    for step, seen in enumerate(steps):
        policy.adapt(seen, 10.0 * step)
        effective = policy.effective_priority(item, 4.0)
        answers.append((policy.current, policy.rank(item, 4.0), effective.priority, effective.overdue_at))
    assert answers == [
        ("fifo", 3.0, 0, float("inf")),
        ("slo-aware", 4.5, 0, 63.0),
        ("priority", 3.0, 7, 63.0),
        ("cost-optimized", 510.0, 0, 63.0),
    ]
    assert policy.reason(item, 4.0) == "cost-optimized: expected cost of 510 tokens"


def test_a_threshold_to_leave_is_lower_than_the_one_to_enter() -> None:
    policy = AdaptiveOrderingPolicy()
    shares = [(0.0, 0.29), (10.0, 0.3), (20.0, 0.16), (30.0, 0.14)]
    seen = []
    for now, share in shares:
        policy.adapt(mix(with_target=share), now)
        seen.append(policy.current)
    assert seen == ["priority", "slo-aware", "slo-aware", "priority"]


def test_a_strategy_stays_for_a_while() -> None:
    policy = AdaptiveOrderingPolicy()
    assert policy.adapt(mix(with_target=1.0), 100.0)
    assert not policy.adapt(CALM, 109.9)
    assert policy.current == "slo-aware"
    assert policy.adapt(CALM, 110.0)
    assert policy.current == "fifo"


def test_the_strategy_in_effect_and_the_changes_can_be_read() -> None:
    policy = AdaptiveOrderingPolicy()
    policy.adapt(mix(with_target=1.0), 0.0)
    readings = list(policy.readings())
    gauges = {reading.labels["strategy"]: reading.value for reading in readings if isinstance(reading, GaugeReading)}
    assert gauges == {"fifo": 0.0, "priority": 0.0, "slo-aware": 1.0, "cost-optimized": 0.0}
    assert readings[-1] == CounterReading("ordering_strategy_changes_total", "Changes from one strategy to another.", 1)


mixes = st.builds(
    QueueMix,
    queued=st.integers(0, 10_000),
    with_target=st.floats(0.0, 1.0) | st.just(float("nan")),
    high_priority=st.floats(0.0, 1.0),
    saturation=st.floats(0.0, 3.0) | st.just(float("inf")),
)


@given(
    steps=st.lists(st.tuples(mixes, st.floats(0.0, 8.0)), max_size=40),
    dwell=st.floats(0.0, 20.0).map(lambda value: timedelta(seconds=value)),
)
def test_two_changes_are_at_least_the_dwell_time_apart(steps: list[tuple[QueueMix, float]], dwell: timedelta) -> None:
    policy, now, changes = AdaptiveOrderingPolicy(min_dwell=dwell), 0.0, list[float]()
    for seen, passed in steps:
        now += passed
        before = policy.current
        changed = policy.adapt(seen, now)
        assert changed == (policy.current != before)
        changes += [now] if changed else []
    gaps = [later - earlier for earlier, later in itertools.pairwise(changes)]
    assert all(gap >= dwell.total_seconds() for gap in gaps)


@given(
    start=mixes,
    wobbles=st.lists(
        st.builds(
            QueueMix,
            queued=st.integers(50, 99),
            with_target=st.floats(0.15, 0.3, exclude_max=True),
            high_priority=st.floats(0.05, 0.1, exclude_max=True),
            saturation=st.floats(0.7, 0.9, exclude_max=True),
        ),
        max_size=40,
    ),
)
def test_what_wobbles_between_the_thresholds_changes_nothing(start: QueueMix, wobbles: list[QueueMix]) -> None:
    policy = AdaptiveOrderingPolicy(min_dwell=timedelta())
    policy.adapt(start, 0.0)
    assert not any(policy.adapt(seen, 100.0 * (step + 1)) for step, seen in enumerate(wobbles))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AdaptiveOrderingPolicy(min_dwell=timedelta(seconds=-1)), "min_dwell must be at least 0s"),
        (lambda: AdaptiveOrderingPolicy(max_wait=timedelta(seconds=-1)), "max_wait must be at least 0s"),
        (lambda: AdaptiveOrderingPolicy(output_weight=-1.0), "output_weight must be at least 0"),
        (lambda: AdaptiveOrderingPolicy(busy_saturation=Thresholds(1.0, 1.0)), "leave must be at least 0 and below"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], AdaptiveOrderingPolicy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
