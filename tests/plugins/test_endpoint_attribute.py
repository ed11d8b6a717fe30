import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.endpoint import EMPTY
from turnout.framework.testing import check_filter, check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.endpoint_attribute import (
    STANDARD,
    AdaptiveRange,
    EndpointAttributeFilter,
    EndpointAttributeScorer,
    FilterAlgorithm,
    FixedRange,
    Normalization,
    Operator,
    ScorerAlgorithm,
    Threshold,
)

LOWER, HIGHER = "linear_lower_is_better", "linear_higher_is_better"


def having(name: str = "a", custom: Mapping[str, float] = EMPTY, at: float = 0.0) -> Endpoint:
    """An endpoint with custom metrics that were read at that time."""
    metrics = EndpointMetrics(custom=custom, observed_at={f"custom.{key}": at for key in custom})
    return make_endpoint(name, metrics=metrics)


def loaded(name: str, load: float, at: float = 0.0) -> Endpoint:
    return having(name, {"load": load}, at)


POOL = [loaded("low", 1.0), loaded("middle", 2.0), loaded("high", 4.0), having("unknown")]


def comparing(operator: Operator, value: float, **parameters: Any) -> EndpointAttributeFilter:
    algorithm = FilterAlgorithm("threshold", Threshold(operator, value))
    return EndpointAttributeFilter("load", algorithm, **parameters)


def kept(plugin: EndpointAttributeFilter, pool: list[Endpoint] = POOL, now: float = 0.0) -> list[str]:
    found = check_filter(plugin, make_request(), make_state(now=now), pool)
    return [endpoint.name.removeprefix("default/") for endpoint in found]


@pytest.mark.parametrize(
    ("operator", "names"),
    [
        ("LessThan", ["low"]),
        ("LessThanOrEqual", ["low", "middle"]),
        ("GreaterThan", ["high"]),
        ("GreaterThanOrEqual", ["middle", "high"]),
        ("Equal", ["middle"]),
        ("NotEqual", ["low", "high"]),
    ],
)
def test_endpoints_are_kept_by_comparison_and_unknown_ones_as_well(operator: Operator, names: list[str]) -> None:
    assert kept(comparing(operator, 2.0)) == [*names, "unknown"]
    assert kept(comparing(operator, 2.0, on_missing="Fail")) == names


def test_all_are_kept_where_none_would_be_left_if_that_is_wanted() -> None:
    assert kept(comparing("GreaterThan", 9.0, on_missing="Fail")) == []
    assert kept(comparing("GreaterThan", 9.0, on_missing="Fail", fallback_on_empty=True)) == [
        "low",
        "middle",
        "high",
        "unknown",
    ]
    assert kept(comparing("GreaterThan", 9.0, fallback_on_empty=True)) == ["unknown"]


@pytest.mark.parametrize(
    ("producer", "attribute", "custom", "value"),
    [
        pytest.param(None, "load", {"load": 1.0, "load/gpu-reader": 2.0}, 1.0, id="unstated: the engine's"),
        pytest.param(None, "load", {"load/gpu-reader": 2.0}, None, id="unstated: not another's"),
        pytest.param(
            "core-metrics-extractor", "load", {"load": 1.0, "load/gpu-reader": 2.0}, 1.0, id="the same by name"
        ),
        pytest.param("gpu-reader", "load", {"load": 1.0, "load/gpu-reader": 2.0}, 2.0, id="that of another"),
        pytest.param("gpu-reader", "load", {"load": 1.0}, None, id="another has none"),
        pytest.param("", "load", {"load/gpu-reader": 2.0}, 2.0, id="anybody's"),
        pytest.param("", "load", {"load": 1.0, "load/gpu-reader": 2.0}, 1.0, id="anybody's: that of the engine first"),
        pytest.param("", "load", {"loads/gpu-reader": 2.0}, None, id="another name that begins alike"),
        pytest.param("core-metrics-extractor", "my/load", {"my/load": 3.0}, 3.0, id="a name with a slash"),
    ],
)
def test_a_number_is_that_of_its_producer(
    producer: str | None, attribute: str, custom: Mapping[str, float], value: float | None
) -> None:
    plugin = EndpointAttributeScorer(attribute, fixed(HIGHER, 0.0, 10.0), producer)
    found = check_scorer(plugin, make_request(), make_state(), [having(custom=custom)])
    assert found == [0.0 if value is None else value / 10.0]


@pytest.mark.parametrize(
    ("attribute", "score"),
    [
        ("WaitingQueueSize", 0.01),
        ("RunningRequestsSize", 0.02),
        ("KVCacheUsagePercent", 0.005),
        ("MaxActiveModels", 0.04),
        ("CacheBlockSize", 0.16),
        ("CacheNumBlocks", 0.5),
    ],
)
def test_what_engines_report_goes_by_the_field_s_names_once_it_was_read(attribute: str, score: float) -> None:
    values: dict[str, Any] = {
        "waiting_queue_size": 1,
        "running_requests": 2,
        "kv_cache_utilization": 0.5,
        "max_active_adapters": 4,
        "cache_block_size": 16,
        "cache_num_blocks": 50,
    }
    read = make_endpoint(metrics=EndpointMetrics(**values, observed_at=dict.fromkeys(values, 0.0)))
    never_read = make_endpoint(metrics=EndpointMetrics(**values))
    for producer in (None, "core-metrics-extractor", ""):
        plugin = EndpointAttributeScorer(attribute, fixed(HIGHER, 0.0, 100.0), producer)
        assert check_scorer(plugin, make_request(), make_state(), [read, never_read]) == [score, 0.0]
    others = EndpointAttributeScorer(attribute, fixed(HIGHER, 0.0, 100.0), "gpu-reader")
    assert check_scorer(others, make_request(), make_state(), [read]) == [0.0]


def test_a_custom_metric_comes_before_what_is_called_alike() -> None:
    metrics = EndpointMetrics(
        running_requests=2, custom={"RunningRequestsSize": 9.0}, observed_at={"running_requests": 0.0}
    )
    plugin = EndpointAttributeScorer("RunningRequestsSize", fixed(HIGHER, 0.0, 10.0))
    assert check_scorer(plugin, make_request(), make_state(), [make_endpoint(metrics=metrics)]) == [0.9]


def test_a_number_is_unknown_when_it_is_older_than_it_may_be() -> None:
    pool = [loaded("old", 9.0), loaded("new", 9.0, at=50.0)]
    limited = comparing("LessThan", 5.0, max_age=timedelta(seconds=30))
    assert kept(limited, pool, now=30.0) == []
    assert kept(limited, pool, now=31.0) == ["old"]
    assert kept(comparing("LessThan", 5.0), pool, now=1e9) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e300])
def test_a_number_that_nothing_can_be_reckoned_with_is_unknown(value: float) -> None:
    assert kept(comparing("NotEqual", 0.0, on_missing="Fail"), [loaded("a", value)]) == []
    assert scores(ScorerAlgorithm("linear_higher_is_better"), [loaded("a", value), loaded("b", 3.0)]) == [0.0, 1.0]


# --- the scorer ------------------------------------------------------------------------------------------


def fixed(kind: Any, least: float, largest: float) -> ScorerAlgorithm:
    return ScorerAlgorithm(kind, Normalization(fixed_range=FixedRange(min=least, max=largest)))


def scores(algorithm: ScorerAlgorithm, pool: list[Endpoint] = POOL) -> list[float]:
    return list(check_scorer(EndpointAttributeScorer("load", algorithm), make_request(), make_state(), pool))


@pytest.mark.parametrize(
    ("algorithm", "found"),
    [
        pytest.param(fixed(LOWER, 0.0, 4.0), [0.75, 0.5, 0.0, 0.0], id="a fixed range, the lower the better"),
        pytest.param(fixed(HIGHER, 0.0, 4.0), [0.25, 0.5, 1.0, 0.0], id="a fixed range, the higher the better"),
        pytest.param(fixed(HIGHER, 1.5, 3.5), [0.0, 0.25, 1.0, 0.0], id="numbers beyond a fixed range"),
        pytest.param(fixed(LOWER, 1.5, 3.5), [1.0, 0.75, 0.0, 0.0], id="numbers beyond it, the lower the better"),
        pytest.param(ScorerAlgorithm("linear_lower_is_better"), [1.0, 2 / 3, 0.0, 0.0], id="the candidates' own range"),
        pytest.param(
            ScorerAlgorithm("linear_higher_is_better", Normalization(adaptive_range=AdaptiveRange())),
            [0.0, 1 / 3, 1.0, 0.0],
            id="the candidates' own range, the higher the better",
        ),
    ],
)
def test_a_score_is_the_place_of_the_number_in_its_range(algorithm: ScorerAlgorithm, found: list[float]) -> None:
    assert scores(algorithm) == pytest.approx(found)


@pytest.mark.parametrize("kind", [LOWER, HIGHER])
def test_equal_numbers_of_candidates_score_one_and_unknown_ones_zero(kind: Any) -> None:
    pool = [loaded("a", 3.0), loaded("b", 3.0), having("c")]
    assert scores(ScorerAlgorithm(kind), pool) == [1.0, 1.0, 0.0]
    assert scores(ScorerAlgorithm(kind), [having("c")]) == [0.0]


numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 5e-324, -1e300, 1e300, 1.7e308, math.inf]))


@given(
    values=st.lists(numbers, min_size=1, max_size=6),
    kind=st.sampled_from([LOWER, HIGHER]),
    bounds=st.one_of(st.none(), st.sampled_from([(0.0, 1.0), (-1e300, 1e300), (0.0, 5e-324)])),
    operator=st.sampled_from(["LessThan", "NotEqual"]),
)
def test_both_keep_their_contracts_whatever_the_numbers_are(
    values: list[float | None], kind: Any, bounds: tuple[float, float] | None, operator: Operator
) -> None:
    pool = [having(f"e{i}") if value is None else loaded(f"e{i}", value) for i, value in enumerate(values)]
    scores(ScorerAlgorithm(kind) if bounds is None else fixed(kind, *bounds), pool)
    for parameters in ({}, {"on_missing": "Fail"}, {"on_missing": "Fail", "fallback_on_empty": True}):
        kept(comparing(operator, 0.0, **parameters), pool)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(
            lambda: EndpointAttributeScorer("", ScorerAlgorithm("linear_lower_is_better")),
            "attribute_key must not be empty, got ''",
            id="no attribute",
        ),
        pytest.param(
            lambda: EndpointAttributeScorer("a/b", ScorerAlgorithm("linear_lower_is_better")),
            "attribute_key must not have a / without a producer beside it, got 'a/b'",
            id="a full name",
        ),
        pytest.param(
            lambda: comparing("Equal", 0.0, max_age=timedelta(seconds=-1)),
            "max_age must be at least 0, got -1 s",
            id="age",
        ),
        pytest.param(lambda: Threshold("Equal", math.nan), r"value must be within .* got nan", id="NaN"),
        pytest.param(lambda: FixedRange(min=1.0, max=1.0), "min must be below max, got 1.0 and 1.0", id="empty range"),
        pytest.param(lambda: FixedRange(min=-math.inf, max=1.0), "min must be within .* got -inf", id="endless range"),
        pytest.param(
            lambda: Normalization(FixedRange(max=1.0), AdaptiveRange()),
            "fixed_range and adaptive_range exclude each other",
            id="two ranges",
        ),
    ],
)
def test_wrong_parameters_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


def test_every_standard_name_is_a_number_of_the_metrics() -> None:
    assert {type(getattr(EndpointMetrics(), field)) for field in STANDARD.values()} == {int, float}
