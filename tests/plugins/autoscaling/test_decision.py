import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.autoscaling.decision import Limits, decide, first_decision

LIMITS = Limits(minimum=1, maximum=10, up_cooldown=30.0, down_cooldown=300.0, tolerance=0.1)


def run(
    needs: Sequence[tuple[float, float | None]], limits: Limits = LIMITS, current: int = 2
) -> list[tuple[int, str]]:
    """What is advised, and why, at these times with these needs."""
    decision = first_decision(limits, current)
    shown = []
    for now, needed in needs:
        decision = decide(limits, decision, needed, now)
        shown.append((decision.desired, decision.reason.value))
    return shown


def test_a_surge_is_followed_at_once() -> None:
    assert run([(0.0, 1.5), (2.0, 6.2)]) == [(2, "load"), (7, "load")]


def test_a_second_surge_waits_for_the_cooldown_and_then_for_nothing() -> None:
    assert run([(0.0, 4.0), (10.0, 6.0), (29.9, 6.0), (30.0, 6.0)]) == [
        (4, "load"),
        (4, "up-cooldown"),
        (4, "up-cooldown"),
        (6, "load"),
    ]


def test_less_is_advised_once_less_was_needed_for_long_enough_and_then_the_most_of_that_time() -> None:
    needs = [(0.0, 8.0), (10.0, 1.0), (200.0, 3.5), (309.9, 1.0), (310.0, 1.0), (311.0, 1.0), (611.0, 1.0)]
    assert run(needs) == [
        (8, "load"),
        (8, "down-cooldown"),
        (8, "down-cooldown"),
        (8, "down-cooldown"),
        (4, "load"),
        (4, "down-cooldown"),
        (1, "load"),
    ]


def test_a_need_in_between_begins_the_time_anew() -> None:
    assert run([(0.0, 8.0), (10.0, 1.0), (300.0, 7.5), (320.0, 1.0), (619.0, 1.0), (620.0, 1.0)])[-2:] == [
        (8, "down-cooldown"),
        (1, "load"),
    ]


def test_a_little_more_than_there_is_is_tolerated() -> None:
    assert run([(0.0, 2.19), (1.0, 2.21)]) == [(2, "tolerance"), (3, "load")]


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        pytest.param(50.0, (10, "maximum"), id="more than the most"),
        pytest.param(math.inf, (10, "maximum"), id="without end"),
        pytest.param(1e300, (10, "maximum"), id="a huge number"),
        pytest.param(None, (2, "unknown"), id="not known"),
        pytest.param(math.nan, (2, "unknown"), id="no number"),
    ],
)
def test_bounds_hold_and_what_is_not_known_changes_nothing(needed: float | None, expected: tuple[int, str]) -> None:
    assert run([(0.0, needed)]) == [expected]


def test_less_than_the_least_is_the_least() -> None:
    limits = replace(LIMITS, minimum=2, down_cooldown=0.0)
    assert run([(0.0, 0.0)], limits, current=5) == [(2, "minimum")]


def test_a_pool_can_go_to_nothing_and_come_back_at_once() -> None:
    limits = replace(LIMITS, minimum=0, down_cooldown=60.0)
    assert run([(0.0, 0.0), (60.0, 0.0), (90.0, 0.001)], limits) == [
        (2, "down-cooldown"),
        (0, "load"),
        (1, "load"),
    ]


def test_at_first_the_pool_stays_as_it_is_within_the_bounds() -> None:
    assert [first_decision(LIMITS, current).desired for current in (0, 5, 99)] == [1, 5, 10]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"maximum": 0}, r"max_replicas must be within \[1, 100000\], got 0", id="no replica"),
        pytest.param({"minimum": -1}, "min_replicas must be within", id="less than none"),
        pytest.param(
            {"minimum": 11}, r"min_replicas must be within \[0, max_replicas 10\], got 11", id="over the most"
        ),
        pytest.param({"up_cooldown": -1.0}, "up_cooldown must be at least 0s, got -1s", id="a negative time"),
        pytest.param({"down_cooldown": math.nan}, "down_cooldown must be at least 0s", id="no time"),
        pytest.param({"tolerance": 1.0}, r"tolerance must be within \[0, 1\), got 1.0", id="all is tolerated"),
    ],
)
def test_limits_are_checked(parameters: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(LIMITS, **parameters)  # type: ignore[arg-type]


limits = st.builds(
    Limits,
    minimum=st.integers(0, 5),
    maximum=st.integers(5, 50),
    up_cooldown=st.sampled_from([0.0, 10.0, 60.0]),
    down_cooldown=st.sampled_from([0.0, 30.0, 300.0]),
    tolerance=st.sampled_from([0.0, 0.1, 0.5]),
)
steps = st.lists(
    st.tuples(
        st.floats(0.0, 100.0),
        st.one_of(st.none(), st.floats(0.0, 60.0), st.sampled_from([math.nan, math.inf, 1e308, 0.0])),
    ),
    max_size=60,
)


@given(limits=limits, current=st.integers(0, 100), steps=steps)
def test_never_outside_the_bounds_and_never_two_changes_within_a_cooldown(
    limits: Limits, current: int, steps: list[tuple[float, float | None]]
) -> None:
    decision, now, changed_at = first_decision(limits, current), 0.0, -math.inf
    for later, needed in steps:
        now += later
        before, decision = decision, decide(limits, decision, needed, now)
        assert limits.minimum <= decision.desired <= limits.maximum
        assert decide(limits, decision, needed, now).desired == decision.desired or limits.up_cooldown == 0.0
        if decision.desired != before.desired:
            cooldown = limits.up_cooldown if decision.desired > before.desired else limits.down_cooldown
            assert now - changed_at >= cooldown
            assert needed is not None
            changed_at = now


@given(limits=limits, current=st.integers(0, 50), needed=st.floats(0.0, 200.0))
def test_without_a_cooldown_pending_a_surge_is_met_at_once(limits: Limits, current: int, needed: float) -> None:
    decision = decide(limits, first_decision(limits, current), needed, 0.0)
    assert decision.desired >= min(limits.maximum, math.ceil(needed / (1.0 + limits.tolerance) - 1e-9))


@given(
    tolerance=st.floats(0.0, 0.5),
    current=st.integers(1, 50),
    load=st.floats(0.1, 30.0),
    wobble=st.lists(st.floats(0.0, 1.0), max_size=60),
)
def test_a_load_that_wobbles_within_the_tolerance_never_raises_the_advice_after_another_change(
    tolerance: float, current: int, load: float, wobble: list[float]
) -> None:
    limits = Limits(1, 50, 0.0, 0.0, tolerance)
    decision, has_changed = first_decision(limits, current), False
    for now, share in enumerate(wobble):
        after = decide(limits, decision, load * (1.0 + tolerance * share * 0.999), float(now))
        assert not (has_changed and after.desired > decision.desired)
        has_changed = has_changed or after.desired != decision.desired
        decision = after
