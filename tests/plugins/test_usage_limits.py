from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import UsageLimitPolicy
from turnout.framework.testing import check_usage_limit
from turnout.plugins.usage_limits import PriorityHoldbackPolicy, SoftReflectiveCeilingPolicy, StaticUsageLimitPolicy

PRIORITIES = [10, 5, 0, -10]


@pytest.mark.parametrize(
    ("policy", "priorities", "expected"),
    [
        pytest.param(StaticUsageLimitPolicy(), PRIORITIES, [1.0, 1.0, 1.0, 1.0], id="static: the set point"),
        pytest.param(StaticUsageLimitPolicy(1.5), [1, 0], [1.5, 1.5], id="static: beyond it"),
        pytest.param(StaticUsageLimitPolicy(0.5), [], [], id="static: nobody"),
        pytest.param(PriorityHoldbackPolicy(0.4), PRIORITIES, [1.0, 0.8, 0.6, 0.4], id="holdback: by rank"),
        pytest.param(
            PriorityHoldbackPolicy(0.2, 0.8, domain="value"),
            PRIORITIES,
            [0.8, 0.65, 0.5, 0.2],
            id="holdback: by value",
        ),
        pytest.param(PriorityHoldbackPolicy(0.0, 0.9), [3, 1], [0.9, 0.0], id="holdback: the lowest never goes"),
        pytest.param(PriorityHoldbackPolicy(0.4, 0.9), [7], [0.9], id="holdback: a single priority"),
        pytest.param(PriorityHoldbackPolicy(0.4, 0.9, domain="value"), [7], [0.9], id="holdback: a single value"),
        pytest.param(PriorityHoldbackPolicy(0.4, domain="value"), [], [], id="holdback: nobody"),
    ],
)
def test_ceilings_depend_on_priorities(policy: UsageLimitPolicy, priorities: list[int], expected: list[float]) -> None:
    for saturation in (0.0, 0.7, 3.0):
        assert policy.ceilings(saturation, priorities) == pytest.approx(expected)


def open_cycles(saturation: float, priorities: list[int], cycles: int) -> list[str]:
    """For each priority in which cycles its ceiling is 1 (``o``) and in which it is 0 (``-``)."""
    policy = SoftReflectiveCeilingPolicy()
    rows = [policy.ceilings(saturation, priorities) for _ in range(cycles)]
    return ["".join({1.0: "o", 0.0: "-"}[row[place]] for row in rows) for place in range(len(priorities))]


@pytest.mark.parametrize(
    ("saturation", "priorities", "expected"),
    [
        pytest.param(-1.0, [1, 0], ["oooooo", "oooooo"], id="below nothing"),
        pytest.param(0.0, [1, 0], ["oooooo", "oooooo"], id="idle"),
        pytest.param(0.49, [1, 0], ["oooooo", "oooooo"], id="below one half"),
        pytest.param(0.5, [1, 0], ["oooooo", "oooooo"], id="a period of one misses nothing"),
        pytest.param(0.65, [1, 0], ["oooooo", "-o-o-o"], id="every other cycle, 1.86 rounded"),
        pytest.param(0.75, [1, 0], ["oooooo", "--o--o"], id="every third cycle"),
        pytest.param(0.7, [2, 1, 0], ["oooooo", "-o-o-o", "-o-o-o"], id="both from 2/3 on, in the same cycles"),
        pytest.param(0.65, [2, 1, 0], ["oooooo", "oooooo", "-o-o-o"], id="the middle one not yet"),
        pytest.param(0.999, [1, 0], ["oooooo", "------"], id="nearly full: a period of 999"),
        pytest.param(1.0, [1, 0], ["oooooo", "------"], id="full"),
        pytest.param(7.0, [2, 1, 0], ["oooooo", "------", "------"], id="more than full"),
        pytest.param(float("inf"), [1, 0], ["oooooo", "------"], id="endlessly full"),
        pytest.param(7.0, [0], ["oooooo"], id="a single priority is the highest"),
        pytest.param(7.0, [], [], id="nobody"),
    ],
)
def test_low_priorities_miss_cycles(saturation: float, priorities: list[int], expected: list[str]) -> None:
    assert open_cycles(saturation, priorities, 6) == expected


def test_the_cycles_are_counted_from_the_last_in_which_low_priorities_could_go() -> None:
    policy = SoftReflectiveCeilingPolicy()
    seen = [policy.ceilings(saturation, [1, 0])[1] for saturation in (0.75, 0.9, 1.0, 0.2, 0.75, 0.75)]
    # 0.9 asks for 9 cycles, 1.0 counts none, 0.2 throttles nobody; the third counted cycle at 0.75 is open.
    assert seen == [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]


Built = Callable[[], object]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: StaticUsageLimitPolicy(0.0), "threshold must be positive and finite, got 0.0", id="zero"),
        pytest.param(
            lambda: StaticUsageLimitPolicy(float("nan")), "threshold must be positive and finite, got nan", id="nan"
        ),
        pytest.param(
            lambda: PriorityHoldbackPolicy(-0.1), "min_ceiling must be at least 0 and below 1, got -0.1", id="negative"
        ),
        pytest.param(
            lambda: PriorityHoldbackPolicy(1.0), "min_ceiling must be at least 0 and below 1, got 1.0", id="one"
        ),
        pytest.param(
            lambda: PriorityHoldbackPolicy(0.0, 0.0), "max_ceiling must be above 0 and at most 1, got 0.0", id="no room"
        ),
        pytest.param(
            lambda: PriorityHoldbackPolicy(0.0, 1.1), "max_ceiling must be above 0 and at most 1, got 1.1", id="above"
        ),
        pytest.param(
            lambda: PriorityHoldbackPolicy(0.5, 0.5),
            "min_ceiling must be below max_ceiling, got 0.5 and 0.5",
            id="same",
        ),
    ],
)
def test_parameters_have_ranges(build: Built, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


descending = st.lists(st.integers(-(2**62), 2**62), max_size=20, unique=True).map(lambda found: sorted(found)[::-1])
saturations = st.one_of(st.floats(0.0, 2.0), st.sampled_from([float("inf"), 1e300, 1.0 - 2**-53]))


@pytest.mark.parametrize(
    "build",
    [
        StaticUsageLimitPolicy,
        lambda: PriorityHoldbackPolicy(0.3, 0.9),
        lambda: PriorityHoldbackPolicy(0.3, 0.9, domain="value"),
        SoftReflectiveCeilingPolicy,
    ],
    ids=["static", "holdback by rank", "holdback by value", "soft reflective"],
)
@given(calls=st.lists(st.tuples(saturations, descending), min_size=1, max_size=10))
def test_the_policies_keep_their_contract_and_never_favour_a_lower_priority(
    build: Callable[[], UsageLimitPolicy], calls: list[tuple[float, list[int]]]
) -> None:
    policy = build()
    for saturation, priorities in calls:
        ceilings = list(check_usage_limit(policy, saturation, priorities))
        assert ceilings == sorted(ceilings, reverse=True)


@given(saturation=st.floats(0.5, 0.99, exclude_max=True))
def test_a_throttled_priority_goes_in_one_cycle_of_each_period(saturation: float) -> None:
    period = int(saturation / (1.0 - saturation) + 0.5)
    row = open_cycles(saturation, [1, 0], 3 * period)[1]
    assert row == ("-" * (period - 1) + "o") * 3
