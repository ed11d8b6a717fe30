import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.topology.parts import Unknown, check_weights, weighted


def test_parts_count_by_their_weights() -> None:
    assert weighted([(3.0, [1.0, 0.0]), (1.0, [0.0, 0.5])], "worst", 2) == [0.75, 0.125]


@pytest.mark.parametrize(
    ("unknown", "values", "expected"),
    [
        pytest.param("worst", [0.8, 0.4, None], [0.8, 0.4, 0.0], id="the worst"),
        pytest.param("neutral", [0.75, 0.25, None], [0.75, 0.25, 0.5], id="as the others on average"),
        pytest.param("worst", [None, None], [0.0, 0.0], id="of nobody, the worst"),
        pytest.param("neutral", [None, None], [0.5, 0.5], id="of nobody, neutral"),
    ],
)
def test_what_is_not_known_counts_as_configured(
    unknown: Unknown, values: list[float | None], expected: list[float]
) -> None:
    assert weighted([(1.0, values)], unknown, len(values)) == expected


def test_without_a_part_all_are_as_good() -> None:
    assert weighted([], "worst", 2) == [1.0, 1.0]


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=5))
def test_the_best_of_every_part_scores_1_and_not_more(weights: list[float]) -> None:
    (score,) = weighted([(weight, [1.0]) for weight in weights], "worst", 1)
    assert score == pytest.approx(1.0)
    assert score <= 1.0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        pytest.param({"numa": -0.1, "pcie": 1.0}, "numa must be at least 0 and finite, got -0.1", id="negative"),
        pytest.param({"numa": float("inf")}, "numa must be at least 0 and finite, got inf", id="infinite"),
        pytest.param({"numa": 0.0, "pcie": 0.0}, "numa, pcie must not all be 0", id="nothing left"),
    ],
)
def test_weights_are_checked(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weights(weights)
