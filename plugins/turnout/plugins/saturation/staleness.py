"""When an endpoint's metrics are too old to be believed.

Theory of operation: the field scrapes every endpoint every 50 ms and takes metrics for stale after 200 ms, four
intervals. Here busy endpoints are scraped at that pace only as long as they do not need more than 300 scrapes a second
together, and quiet ones share 100 a second, so that the same 200 ms would find a large pool stale for ever. An
endpoint's bound is therefore four of the intervals in which it is scraped, and never less than the configured one.

What the last page showed decides when the next is fetched. So the bound of busy endpoints holds for those whose last
page showed work; a dispatch to an endpoint whose last page showed none does not make that page stale at once.
"""

from turnout.framework import Endpoint

# What the Endpoint Picker's scraper does.
SCRAPES_PER_SECOND = 300.0
QUIET_SCRAPES_PER_SECOND = 100.0

MISSED_SCRAPES = 4
# What the field takes for ready in the figures of a pool.
QUIET_SECONDS = 2.0


class Staleness:
    """Tells stale metrics, in a pool whose size is at first 0. ``threshold_seconds`` is the least bound."""

    __slots__ = ("_busy_bound", "_quiet_bound", "_threshold")

    def __init__(self, threshold_seconds: float) -> None:
        self._threshold = threshold_seconds
        self.resize(0)

    def resize(self, pool_size: int) -> None:
        """The pool has so many endpoints, in or out of service."""
        busy_interval = pool_size / SCRAPES_PER_SECOND
        # Quiet endpoints get what busy ones leave, and at least their share.
        quiet_interval = pool_size / QUIET_SCRAPES_PER_SECOND + busy_interval
        self._busy_bound = max(self._threshold, MISSED_SCRAPES * busy_interval)
        self._quiet_bound = max(self._threshold, MISSED_SCRAPES * quiet_interval, QUIET_SECONDS)

    def is_stale(self, endpoint: Endpoint, now: float) -> bool:
        """Whether queue or cache were read too long ago, or neither ever was; an engine may report one of them only."""
        metrics = endpoint.metrics
        queue_at = metrics.observed_at.get("waiting_queue_size")
        cache_at = metrics.observed_at.get("kv_cache_utilization", queue_at)
        if cache_at is None:
            return True
        age = now - (cache_at if queue_at is None else min(queue_at, cache_at))
        # What waits beyond the requests in flight can only be from the page.
        shows_work = metrics.running_requests > 0 or metrics.waiting_queue_size > endpoint.in_flight
        return age > (self._busy_bound if endpoint.in_flight and shows_work else self._quiet_bound)
