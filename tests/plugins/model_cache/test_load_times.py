from datetime import timedelta

import pytest

from turnout.plugins.model_cache.load_times import MAX_LEARNT, LoadSpeeds, LoadTimes
from turnout.plugins.model_cache.tiers import Tier

SPEEDS = LoadSpeeds(timedelta(seconds=5), timedelta(seconds=50), 2.0, 0.5, {"big": 100.0})


@pytest.mark.parametrize(
    ("model", "tier", "seconds"),
    [
        pytest.param("small", Tier.DISK, 5.0, id="of unknown size, from disk"),
        pytest.param("small", Tier.NOWHERE, 50.0, id="of unknown size, from afar"),
        pytest.param("big", Tier.DISK, 50.0, id="by size, from disk"),
        pytest.param("big", Tier.NOWHERE, 200.0, id="by size, from afar"),
        pytest.param("big", Tier.LOADING, 50.0, id="loaded at somebody else's request"),
    ],
)
def test_load_times_are_those_of_the_configuration(model: str, tier: Tier, seconds: float) -> None:
    assert LoadTimes(SPEEDS).seconds(model, tier) == seconds


def test_what_first_requests_take_longer_than_others_is_learnt_step_by_step() -> None:
    times = LoadTimes(SPEEDS)
    times.first_token("small", Tier.LOADED, 0.5)
    times.first_token("small", Tier.NOWHERE, 30.5)
    assert times.seconds("small", Tier.NOWHERE) == pytest.approx(44.0)
    for _ in range(30):
        times.first_token("small", Tier.NOWHERE, 30.5)
    assert times.seconds("small", Tier.NOWHERE) == pytest.approx(30.0, abs=0.01)
    assert times.seconds("small", Tier.DISK) == 5.0
    assert [(model, tier) for model, tier, _ in times.learnt()] == [("small", Tier.NOWHERE)]


def test_nothing_is_learnt_of_a_load_before_the_usual_time_is_known() -> None:
    times = LoadTimes(SPEEDS)
    times.first_token("small", Tier.DISK, 100.0)
    assert times.seconds("small", Tier.DISK) == 5.0


def test_a_first_request_that_is_faster_than_usual_means_no_load_at_all() -> None:
    times = LoadTimes(SPEEDS)
    times.first_token("small", Tier.LOADED, 1.0)
    for _ in range(50):
        times.first_token("small", Tier.DISK, 0.1)
    assert times.seconds("small", Tier.DISK) == pytest.approx(0.0, abs=1e-6)


def test_memory_is_bounded() -> None:
    times = LoadTimes(SPEEDS)
    for number in range(MAX_LEARNT + 10):
        times.first_token(f"m{number}", Tier.LOADED, 1.0)
    assert len(times._learnt) == MAX_LEARNT


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"disk": timedelta(seconds=-1)}, "disk must be within", id="negative"),
        pytest.param({"remote": timedelta(days=2)}, "remote must be within", id="two days"),
        pytest.param({"disk_gb_per_second": 0.0}, "disk_gb_per_second must be positive", id="no speed"),
        pytest.param({"remote_gb_per_second": float("nan")}, "remote_gb_per_second must be positive", id="no number"),
        pytest.param({"sizes_gb": {"m": -1.0}}, "sizes_gb.m must be positive and finite, got -1", id="a negative size"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LoadSpeeds(**parameters)  # type: ignore[arg-type]
