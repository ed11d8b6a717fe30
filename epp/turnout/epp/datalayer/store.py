"""Owns the endpoints: who they are, what their engines report, what is in flight and who is in service.

Theory of operation: one mutable record per endpoint, and two lists of immutable ``Endpoint`` values that are
handed out as tuples: all of them, and those in service. A change marks its record; the next read rebuilds the
marked endpoints only, in place, and copies the list into a new tuple. So a change costs one endpoint and a
read without a change costs nothing, whatever the size of the pool. A change of membership or health makes the
lists anew. Everything runs on one event loop; there are no locks.

Failing requests take out at most half of the endpoints that scraping finds alive. An engine may fail because of
what a client sent, so one client could otherwise take out all but one, and that one would get everybody's load.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from turnout.epp.datalayer.health import HealthPolicy
from turnout.epp.datalayer.record import Record
from turnout.framework import Endpoint, EndpointMetrics, EndpointSpec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """Whether an endpoint is in service, and the last reason that spoke against it (empty if none does)."""

    name: str
    in_service: bool
    reason: str


class InFlight:
    """One dispatched request, until it is released. Harmless once its endpoint has left the pool."""

    __slots__ = ("_record", "_store")

    def __init__(self, store: "EndpointStore", record: Record | None) -> None:
        self._store = store
        self._record = record

    def release(self) -> None:
        """The request has ended. Only the first call counts."""
        record, self._record = self._record, None
        if record is not None:
            record.in_flight -= 1
            self._store._changed(record)  # noqa: SLF001 - the other half of dispatched()


class EndpointStore:
    """The pool's only owner. ``clock`` gives seconds, never backwards; it is the clock of ``CycleState.now``.

    Metrics, health and in-flight counts live as long as an endpoint stays in the pool under its name, address
    and port. Reports about a name that is not in the pool are ignored: it left while something was under way.
    """

    def __init__(self, clock: Callable[[], float], policy: HealthPolicy | None = None) -> None:
        self._clock = clock
        self._policy = policy or HealthPolicy()
        self._records: dict[str, Record] = {}
        self._stale: set[Record] = set()
        self._all: list[Endpoint] = []
        self._serving: list[Endpoint] = []
        self._snapshot: tuple[Endpoint, ...] | None = ()
        self._candidates: tuple[Endpoint, ...] | None = ()
        self._lists_due = False
        self._half_open_at = inf
        self._watchers: list[Callable[[], None]] = []
        self._load_watchers: list[Callable[[], None]] = []

    # --- reading -----------------------------------------------------------------------------------------

    def snapshot(self) -> tuple[Endpoint, ...]:
        """All endpoints, in the order of discovery; the same tuple until something changes.

        An endpoint's ``in_flight`` is the live count. Its ``metrics.waiting_queue_size`` is what the engine
        reported plus the requests dispatched since that the report cannot contain,
        ``max(0, in_flight - running - waiting)``: without them, every request between two scrapes would see
        the same shortest queue and go there. Requests of other routers are seen only when scraped.
        """
        self._refresh()
        if self._snapshot is None:
            self._snapshot = tuple(self._all)
        return self._snapshot

    def candidates(self) -> tuple[Endpoint, ...]:
        """The endpoints in service, as ``snapshot`` has them.

        When none is in service, those whose metrics can be read; when there is none of these either, all.
        """
        if self._half_open_at < inf:
            self._half_open_those_due()
        self._refresh()
        if self._candidates is None:
            self._candidates = tuple(self._serving) or self._last_resort()
        return self._candidates

    def _last_resort(self) -> tuple[Endpoint, ...]:
        alive = (record.endpoint for record in self._records.values() if not record.health.scrapes_failing)
        return tuple(alive) or self.snapshot()

    def reported(self, name: str) -> Endpoint | None:
        """The endpoint with its metrics exactly as last updated, without unreported requests; None if unknown."""
        record = self._records.get(name)
        return None if record is None else record.build(record.reported)

    def statuses(self) -> tuple[EndpointStatus, ...]:
        """The health of every endpoint, in the order of discovery."""
        now = self._clock()
        return tuple(
            EndpointStatus(name, record.serving or record.health.in_service(now), record.problem())
            for name, record in self._records.items()
        )

    # --- membership --------------------------------------------------------------------------------------

    def replace(self, specs: Sequence[EndpointSpec]) -> None:
        """Makes ``specs`` the whole pool. Addresses are IP addresses, names are unique.

        An endpoint whose name, address and port stay keeps its metrics, health and in-flight count. A name at
        another address starts fresh.
        """
        before = [record.spec for record in self._records.values()]
        if before == list(specs):
            return
        self._records = {spec.name: self._keep_or_create(spec) for spec in specs}
        self._lists_due = True
        for watcher in tuple(self._watchers):
            watcher()

    def on_membership_change(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Calls ``watcher`` after each ``replace`` that changed something; returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def on_load_change(self, watcher: Callable[[], None]) -> None:
        """Calls ``watcher`` after each report of an engine, dispatch and release: it has to be quick."""
        self._load_watchers.append(watcher)

    def _keep_or_create(self, spec: EndpointSpec) -> Record:
        record = self._records.get(spec.name)
        if record is None or not record.is_at(spec):
            return Record(spec, self._policy)
        record.spec = spec
        record.endpoint = record.build()
        return record

    # --- reports -----------------------------------------------------------------------------------------

    def update(self, name: str, metrics: EndpointMetrics) -> None:
        """Takes what an extractor made of a page."""
        record = self._records.get(name)
        if record is not None:
            record.reported = metrics
            self._changed(record)

    def dispatched(self, name: str) -> InFlight:
        """Counts a request as in flight at the endpoint until the returned value is released."""
        record = self._records.get(name)
        if record is None:
            return InFlight(self, None)
        record.in_flight += 1
        self._changed(record)
        if record.health.ejected_by_requests:
            now = self._clock()
            record.health.dispatched(now)
            self._judge(record, now)
        return InFlight(self, record)

    def request_failed(self, name: str) -> None:
        """The endpoint refused or reset the connection, or answered with a server error."""
        record = self._records.get(name)
        if record is not None:
            now = self._clock()
            record.health.request_failed(now)
            record.request_problem = "requests fail"
            self._judge(record, now)

    def request_succeeded(self, name: str) -> None:
        """The endpoint answered."""
        record = self._records.get(name)
        if record is not None and record.request_problem:  # nearly always there is none: cost per request
            now = self._clock()
            record.health.request_succeeded(now)
            record.request_problem = "requests fail" if record.health.ejected_by_requests else ""
            self._judge(record, now)

    def scrape_failed(self, name: str, reason: str) -> None:
        """The endpoint's metrics could not be read, for the reason given."""
        record = self._records.get(name)
        if record is not None:
            now = self._clock()
            record.health.scrape_failed(now)
            record.scrape_problem = reason
            self._judge(record, now)

    def scrape_succeeded(self, name: str) -> None:
        """The endpoint's metrics were read."""
        record = self._records.get(name)
        if record is not None and record.scrape_problem:
            self._forgive_scrapes(record)

    def forget_scrape_failures(self) -> None:
        """Puts back in service what scraping took out: the sources that failed are no longer in use."""
        for record in self._records.values():
            if record.scrape_problem:
                self._forgive_scrapes(record)

    # --- upkeep of the lists -----------------------------------------------------------------------------

    def _forgive_scrapes(self, record: Record) -> None:
        record.health.scrape_succeeded()
        record.scrape_problem = ""
        self._judge(record, self._clock())

    def _changed(self, record: Record) -> None:
        self._stale.add(record)
        for watcher in self._load_watchers:
            watcher()

    def _judge(self, record: Record, now: float) -> None:
        """Notes what a report, or the time, means for the list of those in service."""
        self._half_open_at = min(self._half_open_at, record.health.half_opens_at(now))
        serving = record.health.in_service(now) or (record.serving and self._must_stay(record))
        if serving == record.serving:
            if not self._serving:
                self._candidates = None  # who is the last resort may have changed
            return
        record.serving = serving
        self._lists_due = True
        if serving:
            _log.info("endpoint %s is in service again", record.spec.name)
        else:
            _log.warning("endpoint %s is out of service: %s", record.spec.name, record.problem())

    def _must_stay(self, record: Record) -> bool:
        if record.health.scrapes_failing:
            return False
        alive = [other.serving for other in self._records.values() if not other.health.scrapes_failing]
        out_with_it = alive.count(False) + 1
        return 2 * out_with_it > len(alive)

    def _half_open_those_due(self) -> None:
        now = self._clock()
        if now < self._half_open_at:
            return
        self._half_open_at = inf
        for record in self._records.values():
            self._judge(record, now)

    def _refresh(self) -> None:
        if not self._stale and not self._lists_due:
            return
        for record in self._stale:
            record.rebuild()
        if self._lists_due:
            self._relist()
        else:
            self._replace_stale()
        self._stale.clear()
        self._snapshot = self._candidates = None

    def _relist(self) -> None:
        self._all, self._serving = [], []
        for record in self._records.values():
            record.position = len(self._all)
            self._all.append(record.endpoint)
            if record.serving:
                record.serving_position = len(self._serving)
                self._serving.append(record.endpoint)
        self._lists_due = False

    def _replace_stale(self) -> None:
        for record in self._stale:
            if self._records.get(record.spec.name) is not record:
                continue  # left the pool with requests in flight
            self._all[record.position] = record.endpoint
            if record.serving:
                self._serving[record.serving_position] = record.endpoint
