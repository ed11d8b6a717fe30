import random
from collections import Counter

import pytest
from hypothesis import given

from plugins.generated import scored_lists
from turnout.framework import Picker, ScoredEndpoint
from turnout.framework.testing import check_picker, make_endpoint, make_request, make_state
from turnout.plugins.pickers import MaxScorePicker, RandomPicker, WeightedRandomPicker

DRAWS = 4000
PICKERS = [MaxScorePicker, RandomPicker, WeightedRandomPicker]


def scored(*scores: float) -> list[ScoredEndpoint]:
    return [ScoredEndpoint(make_endpoint(str(place)), score) for place, score in enumerate(scores)]


def pick(picker: Picker, candidates: list[ScoredEndpoint]) -> list[str]:
    picked = picker.pick(make_request(), make_state(), candidates)
    return [endpoint.name.removeprefix("default/") for endpoint in picked]


def shares(picker: Picker, candidates: list[ScoredEndpoint]) -> dict[str, float]:
    """How often each endpoint was picked first."""
    counts = Counter(pick(picker, candidates)[0] for _ in range(DRAWS))
    return {name: count / DRAWS for name, count in counts.items()}


@pytest.mark.parametrize(
    ("scores", "count", "expected"),
    [
        pytest.param((0.1, 0.9, 0.5), 1, ["1"], id="the highest"),
        pytest.param((0.1, 0.9, 0.5), 2, ["1", "2"], id="the two highest, best first"),
        pytest.param((0.1, 0.9, 0.5), 9, ["1", "2", "0"], id="more than there are"),
        pytest.param((0.1, 0.9, 0.5), 0, ["1"], id="none means one"),
        pytest.param((0.1, 0.9, 0.5), -3, ["1"], id="a negative number means one"),
        pytest.param((-2.0, -1.0), 1, ["1"], id="negative sums"),
    ],
)
def test_the_highest_scores_are_picked(scores: tuple[float, ...], count: int, expected: list[str]) -> None:
    assert pick(MaxScorePicker(count, seed=1), scored(*scores)) == expected


@pytest.mark.parametrize("count", [1, 2], ids=["one wanted", "several wanted"])
def test_ties_for_the_highest_score_are_broken_evenly(count: int) -> None:
    found = shares(MaxScorePicker(count, seed=1), scored(1.0, 0.5, 1.0, 1.0))
    assert found == pytest.approx({"0": 1 / 3, "2": 1 / 3, "3": 1 / 3}, abs=0.03)


def test_the_random_picker_does_not_look_at_scores() -> None:
    found = shares(RandomPicker(seed=1), scored(0.0, 1.0, 7.0, -1.0))
    assert found == pytest.approx({"0": 0.25, "1": 0.25, "2": 0.25, "3": 0.25}, abs=0.03)


def test_several_random_endpoints_are_all_different() -> None:
    assert sorted(pick(RandomPicker(3, seed=1), scored(0.0, 1.0, 2.0))) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param((1.0, 3.0), {"0": 0.25, "1": 0.75}, id="in proportion"),
        pytest.param((2.0, 6.0), {"0": 0.25, "1": 0.75}, id="sums above one"),
        pytest.param((1e-320, 3e-320), {"0": 0.25, "1": 0.75}, id="sums next to nothing"),
        pytest.param((1e300, 3e300), {"0": 0.25, "1": 0.75}, id="huge sums"),
        pytest.param((0.0, 0.5, -4.0), {"1": 1.0}, id="zero and negative sums never come first"),
        pytest.param((0.0, 0.0), {"0": 0.5, "1": 0.5}, id="nothing but zeros is like random"),
        pytest.param((-1.0, 0.0), {"0": 0.5, "1": 0.5}, id="negative sums count as zero"),
    ],
)
def test_weighted_random_picks_in_proportion_to_scores(scores: tuple[float, ...], expected: dict[str, float]) -> None:
    found = shares(WeightedRandomPicker(seed=1), scored(*scores))
    assert found == pytest.approx(expected, abs=0.03)


def test_weighted_random_draws_the_second_among_what_is_left() -> None:
    # 0 comes second after 1 or after 2: 2 * (1/4 * 2/3).
    picker = WeightedRandomPicker(2, seed=1)
    seconds = Counter(pick(picker, scored(2.0, 1.0, 1.0))[1] for _ in range(DRAWS))
    assert seconds["0"] / DRAWS == pytest.approx(1 / 3, abs=0.03)


def test_weighted_random_fills_up_with_zeros_at_the_end() -> None:
    picked = pick(WeightedRandomPicker(4, seed=1), scored(0.0, 1.0, 0.0, 2.0))
    assert sorted(picked[:2]) == ["1", "3"]
    assert sorted(picked[2:]) == ["0", "2"]


@pytest.mark.parametrize("picker", PICKERS)
def test_a_seed_fixes_the_choices(picker: type[MaxScorePicker]) -> None:
    candidates = scored(1.0, 1.0, 1.0, 1.0, 1.0)
    first, second = picker(seed=7), picker(seed=7)
    random.seed(1)
    assert [pick(first, candidates) for _ in range(20)] == [pick(second, candidates) for _ in range(20)]


@pytest.mark.parametrize("picker", PICKERS)
@given(candidates=scored_lists())
def test_the_pickers_keep_their_contract(picker: type[MaxScorePicker], candidates: list[ScoredEndpoint]) -> None:
    for wanted in (1, 2, 20):
        picked = check_picker(picker(wanted, seed=1), make_request(), make_state(), candidates)
        assert len(picked) == min(wanted, len(candidates))
