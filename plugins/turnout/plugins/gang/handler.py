"""Picks several endpoints for one request, all of them or none."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain

from turnout.framework import (
    Completion,
    CounterReading,
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    GaugeReading,
    InferenceRequest,
    NoEndpointsError,
    PluginName,
    ProfileOutcome,
    ProfileResult,
    QueuedRequest,
    QueueOutlook,
    Reading,
    Refusal,
    RefusalKind,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.gang.books import NOBODY, Books
from turnout.plugins.gang.constraints import Ties
from turnout.plugins.gang.members import Constraint, Gang, GangShape, Member, Sizes
from turnout.plugins.gang.outlook import Outlooks
from turnout.plugins.gang.search import Candidate, Found, Role
from turnout.plugins.topology.keys import TOPOLOGY, Topology

DEFAULT_NAME = PluginName("gang-profile-handler")
DEFAULT_TIME_LIMIT = timedelta(seconds=30)
MEMBERS_HEADER = "x-turnout-gang-members"
NO_GANG = "rejected-no-gang"

DISPATCHED, NONE_FREE, IMPOSSIBLE = "dispatched", "none-free", "impossible"
"""What can become of a request for a gang."""


class GangProfileHandler:
    """Picks a gang: the endpoints that work on one request together, all of them or none.

    The profiles of all ``members`` run on all candidates. Of what they leave, different endpoints are chosen that meet
    every one of the ``constraints``, with the largest sum of scores; the pickers of the profiles have no say. The
    request goes to the first endpoint of ``primary``, by default the last of the members, and the header
    ``x-turnout-gang-members`` tells it all of them. Without such a choice the request is refused, with 429; if there
    could be none however idle the pool is, with 503, before the cycle.

    An endpoint is in at most ``slots_per_endpoint`` gangs at once. A gang holds its places from its dispatch to its
    end. In flow control a request waits until a gang has places, as far as labels, constraints and places tell, and
    holds them from its turn to its dispatch, ``reservation_time_limit`` at most: it takes all of them in one step or
    none, so that gangs cannot block each other. What could never be is not kept waiting.

    The search looks at no more than ``max_search_steps`` candidates, and takes the best gang that it has found then.

    What is remembered is bounded by the requests in flight, and those on their way to their dispatch.

    Raises:
        ValueError: as ``GangShape``, or a number is not above 0.
    """

    def __init__(
        self,
        members: Sequence[Member],
        primary: str = "",
        constraints: Sequence[Constraint] = (),
        slots_per_endpoint: int = 256,
        reservation_time_limit: timedelta = DEFAULT_TIME_LIMIT,
        max_search_steps: int = 5_000,
        topology_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if slots_per_endpoint < 1:
            raise ValueError(f"slots_per_endpoint must be at least 1, got {slots_per_endpoint}")
        if reservation_time_limit <= timedelta(0):
            raise ValueError(f"reservation_time_limit must be above 0, got {reservation_time_limit}")
        if max_search_steps < 1:
            raise ValueError(f"max_search_steps must be at least 1, got {max_search_steps}")
        self._shape = GangShape(members, primary, constraints)
        self._name = name
        self._books = Books(slots_per_endpoint, reservation_time_limit.total_seconds())
        ties = Ties(self._shape)
        self._outlooks = Outlooks(self._shape, ties, self._books, max_search_steps)
        self.profile_names = self._shape.profiles
        self._topology_key = TOPOLOGY.of(topology_producer_name)
        self.reads: tuple[StateKey[Topology], ...] = (self._topology_key,) if ties.needs_bandwidth else ()
        self.optional_reads: tuple[StateKey[Topology], ...] = (self._topology_key,) if ties.needs_host else ()
        self._hold_key = StateKey[int]("gang-hold", producer=name)
        self._proposal_key = StateKey[Gang]("gang-proposal", producer=name)
        # A live view, kept for flow control, which asks before producers have run for the request.
        self._topology: Topology | None = None
        self._pool: Mapping[str, Endpoint] = {}
        self._outcomes: Counter[str] = Counter(dict.fromkeys((DISPATCHED, NONE_FREE, IMPOSSIBLE), 0))

    # --- flow control ------------------------------------------------------------------------------------

    def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether a gang has places, or none could ever be: that the request is told when it goes on.

        Endpoints of the pool that are not among these may be out of service, and come back: while they could make a
        gang possible, the request waits.
        """
        self._books.expire(now)
        sizes = self._shape.sizes(item.request)
        outlook = self._outlooks.of(sizes, endpoints, self._topology, now)
        item.state.write(self._proposal_key, outlook.gang or ())
        if outlook.gang is not None or outlook.possible or not endpoints:
            return outlook.gang is not None
        return not self._outlooks.possible(sizes, tuple(self._pool.values()), self._topology, now)

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """Reserves the places that ``fits`` found."""
        proposal = item.state.get(self._proposal_key)
        number = self._books.reserve(tuple(chain.from_iterable(proposal)), now) if proposal else None
        if number is not None:
            item.state.write(self._hold_key, number)

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        """Refuses at once what would wait for a gang that the whole pool cannot form."""
        return self._refusal(item.request, tuple(self._pool.values()), now)

    # --- the cycle ---------------------------------------------------------------------------------------

    def admit(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Refusal | None:
        """Refuses what these endpoints could not do however idle they were."""
        self._topology = state.get(self._topology_key, self._topology)
        return self._refusal(request, endpoints, state.now)

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        """The profiles of all members, at once."""
        return () if results else self._shape.profiles

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        """The best gang that has places. Raises ``NoEndpointsError`` when there is none."""
        self._books.expire(state.now)
        found = [self._result(results[profile]) for profile in self._shape.profiles]
        endpoints = {candidate.endpoint.name: candidate.endpoint for result in found for candidate in result.scored}
        own = state.get(self._hold_key, NOBODY)
        sizes = self._shape.sizes(request)
        members = zip(self._shape.members, sizes, found, strict=True)
        roles = [self._role(member, size, result, own) for member, size, result in members]
        held = state.get(self._proposal_key, ()) if own != NOBODY else ()
        topology = state.get(self._topology_key, self._topology)
        best = self._outlooks.best(roles, tuple(endpoints.values()), topology, held)
        if best.gang is None:
            self._outcomes[NONE_FREE] += 1
            raise NoEndpointsError(self._shape.primary, self._name)
        profiles = {
            result.profile: self._decided(result, tuple(endpoints[name] for name in names))
            for result, names in zip(found, best.gang, strict=True)
        }
        return SchedulingResult(self._shape.primary, profiles, reasons=self._reasons(sizes, best))

    def _decided(self, result: ProfileResult, picked: tuple[Endpoint, ...]) -> ProfileResult:
        scored = result.scored
        if result.profile == self._shape.primary:
            # The candidates of the primary profile may become fallbacks of the destination: only members can.
            names = {endpoint.name for endpoint in picked}
            scored = tuple(candidate for candidate in scored if candidate.endpoint.name in names)
        return ProfileResult(result.profile, picked, scored)

    def _result(self, outcome: ProfileOutcome) -> ProfileResult:
        if isinstance(outcome, NoEndpointsError):
            self._outcomes[NONE_FREE] += 1
            raise outcome
        return outcome

    def _role(self, member: Member, size: int, result: ProfileResult, own: int) -> Role:
        candidates = [
            Candidate(endpoint.name, score)
            for endpoint, score in result.scored
            if member.matches(endpoint) and self._books.has_room(endpoint.name, own)
        ]
        return Role(size, candidates)

    def _reasons(self, sizes: Sizes, best: Found) -> tuple[str, ...]:
        gang = best.gang or ()
        picked = (f"{profile} at {', '.join(names)}" for profile, names in zip(self._shape.profiles, gang, strict=True))
        total = f"gang of {self._shape.described(sizes)}: scores add up to {best.score:.3f}"
        early = (f"the search ended after {best.steps} candidates; there may be a better gang",)
        return (total, *picked, *(early if best.truncated else ()))

    # --- from the dispatch to the end --------------------------------------------------------------------

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> Mapping[str, str]:
        """Books what was picked in place of what was reserved, and tells the destination who is in the gang."""
        gang = [(profile, endpoint) for profile in self._shape.profiles for endpoint in result.profiles[profile].picked]
        names = [endpoint.name for _, endpoint in gang]
        state.write(self._hold_key, self._books.book(names, state.get(self._hold_key, NOBODY)))
        self._outcomes[DISPATCHED] += 1
        return {MEMBERS_HEADER: ",".join(f"{profile}={endpoint.host_port}" for profile, endpoint in gang)}

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """The request needs no places."""
        self._books.release(state.get(self._hold_key, NOBODY))

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """The gang has parted."""
        self._books.release(state.get(self._hold_key, NOBODY))

    # --- the pool ----------------------------------------------------------------------------------------

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets what is held at endpoints that left, or have another address."""
        before, self._pool = self._pool, {endpoint.name: endpoint for endpoint in endpoints}
        for name, endpoint in before.items():
            kept = self._pool.get(name)
            if kept is None or kept.host_port != endpoint.host_port:
                self._books.forget(name)
        self._outlooks.forget()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """A pool that cannot form even the smallest gang."""
        smallest = tuple(member.count or 1 for member in self._shape.members)
        if not endpoints or self._outlooks.possible(smallest, endpoints, self._topology, now):
            return Diagnosis()
        return Diagnosis([Finding("no-gang", self._why_impossible(smallest, endpoints))])

    def readings(self) -> Iterable[Reading]:
        """How gangs fared, and what they hold."""
        for outcome, count in self._outcomes.items():
            labels = {"outcome": outcome}
            yield CounterReading("gangs_total", "Requests for a gang by what became of them.", count, labels)
        held = self._books.held()
        for state, places in (("reserved", held.reserved), ("booked", held.booked)):
            yield GaugeReading("gang_slots", "Places of gangs at endpoints.", places, {"state": state})
        expired, truncated = self._books.expired, self._outlooks.truncated
        yield CounterReading(
            "gang_reservations_expired_total", "Reservations whose request was not dispatched in time.", expired
        )
        yield CounterReading("gang_search_truncated_total", "Searches that ended early.", truncated)

    def _refusal(self, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float) -> Refusal | None:
        sizes = self._shape.sizes(request)
        if not endpoints or self._outlooks.possible(sizes, endpoints, self._topology, now):
            return None
        self._outcomes[IMPOSSIBLE] += 1
        return Refusal(RefusalKind.UNAVAILABLE, self._why_impossible(sizes, endpoints), NO_GANG)

    def _why_impossible(self, sizes: Sizes, endpoints: Sequence[Endpoint]) -> str:
        what = f"the {len(endpoints)} endpoints cannot form a gang of {self._shape.described(sizes)}"
        for member, size in zip(self._shape.members, sizes, strict=True):
            matching = sum(map(member.matches, endpoints))
            if matching < size:
                return f"{what}: {matching} can be {member.profile}"
        return f"{what} that meets the constraints"
