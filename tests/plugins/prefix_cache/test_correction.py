import pytest

from turnout.plugins.prefix_cache.agreement import Tally
from turnout.plugins.prefix_cache.correction import CapacityCorrection


def by_usage(predicted: int, reported: int, requests: int = 20) -> Tally:
    return Tally(
        compared=requests,
        compared_prompt_tokens=1000,
        compared_predicted_tokens=predicted,
        reported_tokens=reported,
    )


def by_totals(predicted: int, hits: int, queries: int = 1000, requests: int = 100) -> Tally:
    return Tally(
        requests=requests,
        prompt_tokens=1000,
        predicted_tokens=predicted,
        engine_queries=queries,
        engine_hits=hits,
    )


def reviewed(total: Tally, held: int = 100, capacity: int = 100) -> float:
    correction = CapacityCorrection()
    correction.review("a", Tally(), 0, capacity, 0.0)
    correction.review("a", total, held, capacity, 30.0)
    return correction.factor("a")


@pytest.mark.parametrize(
    ("total", "held", "factor"),
    [
        pytest.param(by_usage(500, 500), 100, 1.0, id="agreement"),
        pytest.param(by_usage(500, 400), 100, 1.0, id="no more than a tenth too much"),
        pytest.param(by_usage(500, 399), 100, 0.9, id="too much is believed"),
        pytest.param(by_usage(500, 399), 60, 0.54, id="it shrinks from what is held"),
        pytest.param(by_usage(500, 399), 49, 1.0, id="half of the room is free: it is not the room"),
        pytest.param(by_usage(500, 399, requests=19), 100, 1.0, id="too few requests"),
        pytest.param(by_usage(500, 601), 100, 1.02, id="too little is believed"),
        pytest.param(by_usage(500, 601), 89, 1.0, id="nothing was forgotten for lack of room"),
        pytest.param(by_totals(500, 399), 100, 0.9, id="by the engine's totals, too much"),
        pytest.param(by_totals(500, 601), 100, 1.02, id="by the engine's totals, too little"),
        pytest.param(by_totals(500, 0, requests=99), 100, 1.0, id="totals of too few requests"),
        pytest.param(by_totals(500, 0, queries=2001), 100, 1.0, id="most of what the engine sees comes from others"),
        pytest.param(by_totals(500, 0, queries=0), 100, 1.0, id="an engine without totals"),
    ],
)
def test_the_factor_follows_what_is_found(total: Tally, held: int, factor: float) -> None:
    assert reviewed(total, held) == pytest.approx(factor)


def test_shrinking_and_growing_end_at_their_bounds() -> None:
    correction, total = CapacityCorrection(), Tally()
    correction.review("a", total.copy(), 0, 100, 0.0)
    for step in range(1, 100):
        total.add(by_usage(1000, 0))
        correction.review("a", total.copy(), round(100 * correction.factor("a")), 100, step * 30.0)
    assert correction.factor("a") == 0.125
    for step in range(100, 400):
        total.add(by_usage(0, 1000))
        correction.review("a", total.copy(), 1000, 100, step * 30.0)
    assert correction.factor("a") == 4.0


def test_a_review_is_due_at_first_and_every_half_minute() -> None:
    correction = CapacityCorrection()
    assert correction.due("a", 5.0)
    correction.review("a", Tally(), 0, 100, 5.0)
    assert not correction.due("a", 34.9)
    assert correction.due("a", 35.0)


def test_evidence_is_gathered_for_five_minutes_and_then_dropped() -> None:
    correction, total = CapacityCorrection(), Tally()
    correction.review("a", total.copy(), 100, 100, 0.0)
    total.add(by_usage(500, 0, requests=19))
    correction.review("a", total.copy(), 100, 100, 299.0)
    correction.review("a", total.copy(), 100, 100, 300.0)
    total.add(by_usage(500, 500, requests=1))
    correction.review("a", total.copy(), 100, 100, 330.0)
    assert correction.factor("a") == 1.0


def test_after_a_restart_the_factor_stays_and_the_evidence_goes() -> None:
    correction = CapacityCorrection()
    correction.review("a", Tally(), 100, 100, 0.0)
    correction.review("a", by_usage(500, 300), 100, 100, 30.0)
    total = by_usage(500, 300)
    total.add(by_usage(500, 0, requests=100))
    correction.start_over("a", total.copy(), 60.0)
    correction.review("a", total.copy(), 90, 100, 90.0)
    assert correction.factor("a") == 0.9
    correction.forget("a")
    correction.forget("a")
    assert correction.factor("a") == 1.0
