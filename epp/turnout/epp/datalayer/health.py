"""When an endpoint is taken out of service and probed back in. Pure: time is passed in.

Theory of operation: two independent judges. *Scraping* takes an endpoint out after several failures in a row
that span at least a second, and one good scrape brings it back, because scrapes cost no client anything.
*Requests* take it out after several failures in a row; since a probe is now a client's request, it comes back
only half-open: after a backoff it may be chosen for one trial request. The trial's success closes the case,
its failure doubles the backoff. A trial whose outcome is never reported allows another one a backoff later.

What requests that were already under way report while an endpoint is out changes nothing: a burst of
failures is one event and must not drive the backoff to its limit, and a late success must not end it early.
"""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """The limits. Failures are counted in a row, all times are in seconds."""

    scrape_failures: int = 3
    scrape_failing_seconds: float = 1.0
    request_failures: int = 3
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 30.0


class Health:
    """What one endpoint's scrapes and requests say about it. Lives as long as the endpoint stays in the pool.

    ``now`` is in seconds on any clock that does not go back.
    """

    __slots__ = (
        "_backoff",
        "_out_until",
        "_policy",
        "_request_failures",
        "_scrape_failing_since",
        "_scrape_failures",
        "_scrapes_failing",
        "_trial",
    )

    def __init__(self, policy: HealthPolicy) -> None:
        self._policy = policy
        self._scrape_failures = 0
        self._scrape_failing_since = 0.0
        self._scrapes_failing = False
        self._request_failures = 0
        self._backoff = 0.0  # 0 while requests see nothing wrong
        self._out_until = 0.0
        self._trial = False

    def in_service(self, now: float) -> bool:
        """Whether the endpoint may be chosen; half-open counts, an endpoint not heard of yet too."""
        return not self._scrapes_failing and not self.requests_failing(now)

    @property
    def scrapes_failing(self) -> bool:
        """Whether scraping has taken the endpoint out."""
        return self._scrapes_failing

    @property
    def ejected_by_requests(self) -> bool:
        """Whether failed requests have taken the endpoint out and no request has succeeded since, half-open or not."""
        return self._backoff > 0.0

    def requests_failing(self, now: float) -> bool:
        """Whether failed requests have taken the endpoint out and it is not half-open."""
        return now < self._out_until

    def half_opens_at(self, now: float) -> float:
        """When the endpoint may be tried again; infinite if requests do not keep it out."""
        return self._out_until if now < self._out_until else inf

    def scrape_failed(self, now: float) -> None:
        """The endpoint's metrics could not be read."""
        if not self._scrape_failures:
            self._scrape_failing_since = now
        self._scrape_failures += 1
        lasting = now - self._scrape_failing_since >= self._policy.scrape_failing_seconds
        if lasting and self._scrape_failures >= self._policy.scrape_failures:
            self._scrapes_failing = True

    def scrape_succeeded(self) -> None:
        """The endpoint's metrics were read."""
        self._scrape_failures = 0
        self._scrapes_failing = False

    def dispatched(self, now: float) -> None:
        """A request goes to the endpoint; if it is half-open, this is the trial."""
        if self._backoff and now >= self._out_until:
            self._trial = True
            self._out_until = now + self._backoff

    def request_failed(self, now: float) -> None:
        """A connection failed or was reset, or the answer was a 5xx."""
        if self._backoff:
            if self._trial or now >= self._out_until:
                self._eject(now, min(2 * self._backoff, self._policy.max_backoff_seconds))
            return
        self._request_failures += 1
        if self._request_failures >= self._policy.request_failures:
            self._eject(now, self._policy.backoff_seconds)

    def request_succeeded(self, now: float) -> None:
        """The endpoint answered."""
        if self._trial or now >= self._out_until:
            self._request_failures = 0
            self._backoff = 0.0
            self._out_until = 0.0
            self._trial = False

    def _eject(self, now: float, backoff: float) -> None:
        self._trial = False
        self._backoff = backoff
        self._out_until = now + backoff
