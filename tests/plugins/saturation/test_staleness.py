from random import Random

import pytest

from plugins.saturation.reporting import SILENT, reporting
from turnout.epp.datalayer import pacing
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint
from turnout.plugins.saturation import staleness
from turnout.plugins.saturation.staleness import Staleness

BUSY = reporting(in_flight=1, running=1)
QUIET = reporting()
NEWLY_BUSY = reporting(in_flight=3, waiting=3)
BUSY_ELSEWHERE = reporting(running=1)


def stale(endpoint: Endpoint, age: float, pool_size: int, threshold: float = 0.2) -> bool:
    known = Staleness(threshold)
    known.resize(pool_size)
    return known.is_stale(endpoint, 100.0 + age)


@pytest.mark.parametrize(
    ("endpoint", "pool_size", "bound"),
    [
        pytest.param(BUSY, 1, 0.2, id="busy: the threshold"),
        pytest.param(BUSY, 15, 0.2, id="busy: the threshold up to 15 endpoints"),
        pytest.param(BUSY, 100, 4 / 3, id="busy: four times a third of a second"),
        pytest.param(QUIET, 1, 2.0, id="quiet: two seconds"),
        pytest.param(QUIET, 37, 2.0, id="quiet: two seconds up to 37 endpoints"),
        pytest.param(QUIET, 100, 16 / 3, id="quiet: four times 1.33 s"),
        pytest.param(NEWLY_BUSY, 100, 16 / 3, id="its last page showed no work: scraped as a quiet one until then"),
        pytest.param(reporting(in_flight=3, waiting=4), 1, 0.2, id="somebody else's request waits: busy"),
        pytest.param(BUSY_ELSEWHERE, 1, 2.0, id="nothing of ours in flight: nothing of ours depends on it"),
    ],
)
def test_four_missed_scrapes_make_metrics_stale(endpoint: Endpoint, pool_size: int, bound: float) -> None:
    assert not stale(endpoint, bound - 1e-9, pool_size)
    assert stale(endpoint, bound + 1e-9, pool_size)


def test_a_threshold_above_the_pace_applies_to_all() -> None:
    for endpoint in (BUSY, QUIET, NEWLY_BUSY):
        assert not stale(endpoint, 29.9, pool_size=100, threshold=30.0)
        assert stale(endpoint, 30.1, pool_size=100, threshold=30.0)


def test_before_the_pool_is_known_it_counts_as_small() -> None:
    assert Staleness(0.2).is_stale(BUSY, 100.3)
    assert not Staleness(0.2).is_stale(QUIET, 101.9)


def test_what_was_never_reported_is_stale() -> None:
    assert stale(SILENT, 0.0, 1)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param({"waiting_queue_size": 100.0}, False, id="an engine without a figure for its cache"),
        pytest.param({"kv_cache_utilization": 100.0}, False, id="or without one for its queue"),
        pytest.param({"waiting_queue_size": 100.0, "kv_cache_utilization": 90.0}, True, id="the cache is not read now"),
        pytest.param({"waiting_queue_size": 90.0, "kv_cache_utilization": 100.0}, True, id="the queue is not read now"),
        pytest.param({"running_requests": 100.0}, True, id="neither"),
    ],
)
def test_the_older_of_queue_and_cache_counts(observed: dict[str, float], expected: bool) -> None:
    endpoint = make_endpoint("a", metrics=EndpointMetrics(observed_at=observed))
    assert stale(endpoint, 0.1, 1) is expected


def test_the_pace_is_that_of_the_scraper() -> None:
    assert staleness.SCRAPES_PER_SECOND == pacing.SCRAPES_PER_SECOND
    assert staleness.QUIET_SCRAPES_PER_SECOND == pacing.QUIET_SCRAPES_PER_SECOND


@pytest.mark.parametrize(
    ("pool_size", "busy"),
    [(4, 0), (4, 4), (60, 60), (100, 100), (100, 50), (100, 1), (400, 0), (400, 400), (400, 13)],
)
def test_no_endpoint_that_the_scraper_serves_is_ever_stale(pool_size: int, busy: int) -> None:
    """The scraper's choice of whom to scrape, in rounds of 50 ms for 20 intervals, at most 60 s."""
    rng, now, round_seconds = Random(1), 0.0, 0.05
    paces = [pacing.Pace(round_seconds, now, rng) for _ in range(pool_size)]
    # A page may take a round to arrive.
    read_at = [0.0] * pool_size
    known = Staleness(0.2)
    known.resize(pool_size)
    begun = pool_size / pacing.QUIET_SCRAPES_PER_SECOND * 4 + 2
    while now < begun + 10:
        due = [(pace.due(busy=place < busy, sharers=pool_size), place) for place, pace in enumerate(paces)]
        for place in pacing.most_overdue(due, now + round_seconds, round_seconds):
            paces[place].begun(now)
            paces[place].ended(now, ok=True)
            read_at[place] = now
        now += round_seconds
        if now > begun:
            ages = [(now + round_seconds - at, place < busy) for place, at in enumerate(read_at)]
            assert not any(
                known.is_stale(reporting(in_flight=is_busy, running=is_busy), 100.0 + age) for age, is_busy in ages
            )
