from types import MappingProxyType

import pytest

from epp.flowcontrol.fakes import band, settings
from turnout.epp.flowcontrol.limits import Limits

BANDS = MappingProxyType({5: band(max_requests=2, max_bytes=100)})


@pytest.mark.parametrize(
    ("priority", "size", "refusal"),
    [
        pytest.param(5, 10, "", id="room"),
        pytest.param(5, 91, "maxBytes of priority 5 is 100", id="too large for its band"),
        pytest.param(0, 991, "maxBytes is 1000", id="too large for all"),
        pytest.param(0, 990, "", id="just fits"),
    ],
)
def test_one_more_request_against_the_limits(priority: int, size: int, refusal: str) -> None:
    limits = Limits(settings(bands=BANDS, max_bytes=1000, max_requests=3))
    limits.add(5, 10)
    assert limits.refusal(priority, size) == refusal


def test_counts_are_by_priority_and_go_with_the_last_request() -> None:
    limits = Limits(settings(bands=BANDS, max_requests=3))
    limits.add(5, 10)
    limits.add(5, 30)
    assert limits.refusal(5, 1) == "maxRequests of priority 5 is 2"
    assert limits.fill(5) == 1.0
    assert limits.fill(0) == pytest.approx(2 / 3)
    limits.remove(5, 10)
    assert limits.waiting(5).size_bytes == 30
    limits.remove(5, 30)
    assert limits.by_priority == {}
    assert (limits.total.requests, limits.total.size_bytes) == (0, 0)


def test_what_is_deferred_is_part_of_what_waits_and_not_in_line() -> None:
    limits = Limits(settings())
    for priority in (5, 5, -1):
        limits.add(priority, 10)
    limits.defer(5)
    limits.defer(-1)
    assert (limits.total.requests, limits.in_line, limits.deferred) == (3, 1, {5: 1, -1: 1})
    limits.undefer(-1)
    assert (limits.in_line, limits.deferred) == (2, {5: 1})


def test_a_priority_without_a_band_takes_the_template_of_its_sign() -> None:
    usual, below = band(max_requests=7), band(max_requests=1)
    limits = Limits(settings(bands=BANDS, default_band=usual, default_negative_band=below))
    assert [limits.band(priority).max_requests for priority in (5, 0, 9, -1)] == [2, 7, 7, 1]
