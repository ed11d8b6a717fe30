import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint, RefusalKind
from turnout.framework.testing import check_signatures, make_endpoint, make_request, make_state
from turnout.plugins.saturation.probabilistic_admitter import ProbabilisticAdmitter

DRAWS = 4000
SHEDDABLE = make_request(priority=-1)


def pool(*loads: tuple[int, float]) -> list[Endpoint]:
    """Endpoints with these waiting queue sizes and KV-cache utilizations."""
    return [
        make_endpoint(str(place), waiting=waiting, kv_cache_utilization=cache)
        for place, (waiting, cache) in enumerate(loads)
    ]


def share_refused(plugin: ProbabilisticAdmitter, endpoints: list[Endpoint]) -> float:
    refused = (plugin.admit(SHEDDABLE, make_state(), endpoints) is not None for _ in range(DRAWS))
    return sum(refused) / DRAWS


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param(pool((0, 0.0)), 0.0, id="idle"),
        pytest.param(pool((0, 0.08)), 0.003, id="saturation 0.1"),
        pytest.param(pool((0, 0.12)), 0.02278, id="saturation 0.15"),
        pytest.param(pool((1, 0.0)), 0.096, id="saturation 0.2, by the queue"),
        pytest.param(pool((1, 0.24)), 0.729, id="saturation 0.3, the larger of both"),
        pytest.param(pool((0, 0.0), (2, 0.0)), 0.096, id="saturation 0.2, the mean of two"),
        pytest.param(pool((0, 0.26)), 1.0, id="saturation 0.325: all"),
        pytest.param(pool((10**30, 1.0)), 1.0, id="any load"),
    ],
)
def test_more_are_refused_the_fuller_the_pool_is(endpoints: list[Endpoint], expected: float) -> None:
    assert share_refused(ProbabilisticAdmitter(seed=1), endpoints) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        pytest.param(ProbabilisticAdmitter(power=1.0, k=0.5, seed=1), 0.4, id="power and k"),
        pytest.param(ProbabilisticAdmitter(8, power=1.0, k=1.0, seed=1), 0.5, id="another queue threshold"),
        pytest.param(ProbabilisticAdmitter(50, 0.5, power=1.0, k=1.0, seed=1), 0.48, id="another cache threshold"),
        pytest.param(ProbabilisticAdmitter(power=1e300, k=1e-300, seed=1), 0.0, id="extreme parameters"),
    ],
)
def test_parameters_shape_the_curve(plugin: ProbabilisticAdmitter, expected: float) -> None:
    assert share_refused(plugin, pool((4, 0.24))) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("priority", [0, 1])
def test_other_priorities_are_never_refused(priority: int) -> None:
    plugin = ProbabilisticAdmitter(seed=1)
    assert plugin.admit(make_request(priority=priority), make_state(), pool((100, 1.0))) is None


def test_without_candidates_nothing_is_refused() -> None:
    assert ProbabilisticAdmitter().admit(SHEDDABLE, make_state(), []) is None


def test_the_refusal_says_that_the_pool_is_saturated() -> None:
    plugin = ProbabilisticAdmitter(seed=1)
    check_signatures(plugin)
    refusal = plugin.admit(SHEDDABLE, make_state(), pool((100, 1.0)))
    assert refusal is not None
    assert (refusal.kind, refusal.dropped_reason) == (RefusalKind.RESOURCE_EXHAUSTED, "rejected-saturated")


def test_a_seed_fixes_who_is_refused() -> None:
    endpoints = pool((1, 0.22))
    drawn = []
    for _ in range(2):
        plugin = ProbabilisticAdmitter(seed=7)
        drawn.append([plugin.admit(SHEDDABLE, make_state(), endpoints) is None for _ in range(50)])
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {True, False}


def test_a_utilization_that_is_no_number_does_not_count() -> None:
    assert share_refused(ProbabilisticAdmitter(seed=1), pool((1, float("nan")))) == pytest.approx(0.096, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"queue_depth_threshold": 0}, "queue_depth_threshold must be at least 1, got 0", id="queue"),
        pytest.param({"kv_cache_util_threshold": 0.0}, "kv_cache_util_threshold must be above 0 and at most", id="low"),
        pytest.param(
            {"kv_cache_util_threshold": 1.1}, "kv_cache_util_threshold must be above 0 and at most", id="high"
        ),
        pytest.param({"power": 0.0}, "power must be positive and finite, got 0.0", id="no power"),
        pytest.param({"power": float("inf")}, "power must be positive and finite, got inf", id="infinite power"),
        pytest.param({"k": 0.0}, "k must be positive and finite, got 0.0", id="no k"),
        pytest.param({"k": float("nan")}, "k must be positive and finite, got nan", id="k is no number"),
    ],
)
def test_parameters_have_ranges(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProbabilisticAdmitter(**arguments)  # type: ignore[arg-type]


@given(
    endpoints=endpoint_lists(),
    power=st.floats(0.0, 1e9, exclude_min=True),
    k=st.floats(0.0, 1e300, exclude_min=True),
)
def test_no_load_and_no_parameter_breaks_it(endpoints: list[Endpoint], power: float, k: float) -> None:
    plugin = ProbabilisticAdmitter(power=power, k=k, seed=1)
    idle = pool((0, 0.0))
    plugin.admit(SHEDDABLE, make_state(), endpoints)
    assert plugin.admit(SHEDDABLE, make_state(), idle) is None
