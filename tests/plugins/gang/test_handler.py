from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from plugins.gang.pools import (
    DECODE,
    PREFILL,
    REFUSED,
    asking,
    end,
    endpoint,
    endpoints,
    let_go,
    names_of,
    refuse,
    scheduled,
    sent,
)
from plugins.topology.known import KnownTopology
from turnout.config import ConfigError, Pipeline, load_pipeline
from turnout.framework import (
    Admitter,
    CounterReading,
    DispatchAccounting,
    DispatchGate,
    Endpoint,
    EntryPolicy,
    GaugeReading,
    NoEndpointsError,
    PreRequest,
    ProfileHandler,
    Quantity,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    RefusalKind,
    RequestRefused,
    ResponseComplete,
)
from turnout.framework.testing import check_signatures, make_endpoint
from turnout.plugins.gang.handler import GangProfileHandler
from turnout.plugins.gang.members import Constraint, Member
from turnout.plugins.topology.keys import TOPOLOGY, Hardware, Place, Reach, Route

SAME_REVISION = Constraint(same=["rev"])
OUTLOOK = QueueOutlook(None, ahead=0, fill=0.0, saturation=1.0)


def pairs(*constraints: Constraint, slots: int = 1, max_search_steps: int = 1000) -> GangProfileHandler:
    return GangProfileHandler([PREFILL, DECODE], "", constraints, slots, max_search_steps=max_search_steps)


# --- the pick --------------------------------------------------------------------------------------------


def test_the_best_of_each_are_picked_and_the_request_goes_to_the_last_member() -> None:
    pool = [endpoint("p1", 5), endpoint("p2"), endpoint("d1", 5), endpoint("d2")]
    handler = pairs()
    result = scheduled(handler, asking(), pool, 0.0)
    assert names_of(handler, result) == ["p2", "d2"]
    assert (result.primary, result.endpoint.name) == ("decode", "default/d2")
    assert [len(profile.scored) for profile in result.profiles.values()] == [4, 1]  # nobody else is a fallback
    assert result.reasons == (
        "gang of prefill, decode: scores add up to 2.000",
        "prefill at default/p2",
        "decode at default/d2",
    )


def test_a_constraint_goes_before_scores() -> None:
    pool = [endpoint("p1", 3), endpoint("p2"), endpoint("d1", 2), endpoint("d3")]
    assert sent(pairs(SAME_REVISION), asking(), pool) == ["p1", "d1"]
    assert sent(pairs(), asking(), pool) == ["p2", "d3"]


def test_the_destination_is_told_its_gang() -> None:
    handler = GangProfileHandler([PREFILL, Member("decode", 2, {"role": "d"})], "prefill")
    pool, item = [endpoint("p1"), endpoint("d1"), endpoint("d2", 1)], asking()
    result = scheduled(handler, item, pool, 0.0)
    p1, d1, d2 = (each.host_port for each in pool)
    headers = handler.pre_request(item.request, item.state, result)
    assert headers == {"x-turnout-gang-members": f"prefill={p1},decode={d1},decode={d2}"}
    assert result.endpoint.host_port == p1


def test_as_many_replicas_are_picked_as_answers_are_asked_for() -> None:
    handler = GangProfileHandler([Member("sample", 0, max_count=3)], constraints=[SAME_REVISION], slots_per_endpoint=1)
    pool = [make_endpoint(f"{revision}{number}", labels={"rev": revision}) for revision in "ab" for number in "123"]
    assert sent(handler, asking(2), pool) == ["a1", "a2"]
    assert sent(handler, asking(9), pool) == ["b1", "b2", "b3"]
    assert sent(handler, asking(1), pool) == ["a3"]


def test_three_stages_on_one_node_with_fast_ways_between_two_of_them() -> None:
    members = [Member("encode", match_labels={"role": "e"}), PREFILL, DECODE]
    fast = Constraint(["prefill", "decode"], min_bandwidth=Quantity(100))
    handler = GangProfileHandler(members, constraints=[Constraint(same_node=True), fast])
    pool = endpoints("e1", "p1", "d1", "e2", "p2", "d2", "p3")
    hosts = {each.name: Hardware(Place(host=each.name[-1])) for each in pool[:6]}
    ways = {
        ("default/p1", "default/d1"): Route(Reach.NODE, 99.0, 0.0),
        ("default/p2", "default/d2"): Route(Reach.NODE, 100.0, 0.0),
    }
    item = asking()
    item.state.write(TOPOLOGY.of(""), KnownTopology(hosts, ways=ways))
    assert sent(handler, item, pool) == ["e2", "p2", "d2"]
    assert handler.reads == handler.optional_reads == (TOPOLOGY.of(""),)


def test_without_a_topology_no_bandwidth_is_enough() -> None:
    handler = pairs(Constraint(min_bandwidth=Quantity(1)))
    with pytest.raises(NoEndpointsError):
        scheduled(handler, asking(), endpoints("p1", "d1"), 0.0)


def test_a_topology_is_only_read_where_a_constraint_needs_one() -> None:
    assert (pairs(SAME_REVISION).reads, pairs(SAME_REVISION).optional_reads) == ((), ())
    on_one_node = pairs(Constraint(same_node=True))
    assert (on_one_node.reads, on_one_node.optional_reads) == ((), (TOPOLOGY.of(""),))


def test_a_search_that_ends_early_says_so_and_gives_what_it_has() -> None:
    handler = GangProfileHandler([PREFILL, DECODE], max_search_steps=2, constraints=[SAME_REVISION])
    pool = [endpoint("p1"), endpoint("d1", 1), endpoint("p2", 2), endpoint("d2"), endpoint("p3", 9)]
    result = scheduled(handler, asking(), pool, 0.0)
    assert names_of(handler, result) == ["p2", "d2"]
    assert sent(pairs(SAME_REVISION), asking(), pool) == ["p1", "d1"]
    assert result.reasons[-1] == "the search ended after 2 candidates; there may be a better gang"
    assert figures(handler)["gang_search_truncated_total"] == 1


@pytest.mark.parametrize(
    ("pool", "profile"),
    [
        pytest.param(endpoints("p1", "d2"), "decode", id="no two of one revision"),
        pytest.param(endpoints("p1"), "decode", id="nobody for the primary member"),
        pytest.param([], "prefill", id="an empty pool"),
    ],
)
def test_without_a_gang_nothing_is_picked_and_nothing_taken(pool: Sequence[Endpoint], profile: str) -> None:
    handler = pairs(SAME_REVISION)
    with pytest.raises(NoEndpointsError) as error:
        scheduled(handler, asking(), pool, 0.0)
    assert error.value.profile == profile
    assert figures(handler) == {**NOTHING, "none-free": 1}


# --- places ----------------------------------------------------------------------------------------------


def test_an_endpoint_is_in_as_many_gangs_as_it_has_slots() -> None:
    pool, first, second = endpoints("p1", "d1", "d2"), asking(), asking()
    handler = pairs()
    assert sent(handler, first, pool) == ["p1", "d1"]
    with pytest.raises(NoEndpointsError):
        scheduled(handler, second, pool, 0.0)
    end(handler, first, pool)
    end(handler, first, pool)
    assert sent(handler, second, pool) == ["p1", "d1"]
    assert sent(pairs(slots=2), asking(), pool) == ["p1", "d1"]


def test_a_request_waits_for_its_gang_and_goes_when_one_ends() -> None:
    handler, pool = pairs(SAME_REVISION), endpoints("p1", "d1", "p2", "d2")
    first, second, third = asking(), asking(), asking()
    assert let_go(handler, first, pool, 0.0)
    assert let_go(handler, second, pool, 0.0)
    assert not let_go(handler, third, pool, 0.0)
    assert sent(handler, second, pool) == ["p2", "d2"]
    assert sent(handler, first, pool) == ["p1", "d1"]
    end(handler, second, pool)
    assert let_go(handler, third, pool, 1.0)
    assert sent(handler, third, pool, 1.0) == ["p2", "d2"]


def test_what_is_picked_replaces_what_was_reserved() -> None:
    handler, item = pairs(), asking()
    assert let_go(handler, item, endpoints("p1", "d1", "p2", "d2"), 0.0)
    assert figures(handler) == {**NOTHING, "reserved": 2}
    assert sent(handler, item, [endpoint("p1", 1), endpoint("d1", 1), endpoint("p2"), endpoint("d2")]) == ["p2", "d2"]
    assert figures(handler) == {**NOTHING, "booked": 2, "dispatched": 1}
    assert let_go(handler, asking(), endpoints("p1", "d1", "p2", "d2"), 0.0)


def test_a_cycle_without_a_dispatch_leaves_the_reservation_to_the_refusal() -> None:
    handler, item, pool = pairs(), asking(), endpoints("p1", "d1")
    let_go(handler, item, pool, 0.0)
    scheduled(handler, item, pool, 0.0)
    assert figures(handler)["reserved"] == 2
    refuse(handler, item)
    refuse(handler, item)
    assert figures(handler) == NOTHING


def test_a_request_that_was_never_let_go_may_be_refused() -> None:
    handler = pairs()
    refuse(handler, asking())
    end(handler, asking(), endpoints("p1"))
    assert figures(handler) == NOTHING


def test_a_reservation_ends_after_its_time_and_the_request_looks_anew() -> None:
    handler, late, other = pairs(), asking(), asking()
    pool = endpoints("p1", "d1")
    assert let_go(handler, late, pool, 0.0)
    assert not let_go(handler, other, pool, 29.9)
    assert let_go(handler, other, pool, 30.0)
    assert figures(handler)["gang_reservations_expired_total"] == 1
    with pytest.raises(NoEndpointsError):
        scheduled(handler, late, pool, 30.0)
    refuse(handler, other)
    assert sent(handler, late, pool, 30.0) == ["p1", "d1"]


def test_a_request_that_is_let_go_without_being_asked_about_takes_nothing() -> None:
    handler = pairs()
    handler.request_dispatched(asking(), 0, 0.0)
    assert figures(handler) == NOTHING


def test_an_endpoint_that_comes_back_is_free() -> None:
    handler, pool, first = pairs(), endpoints("p1", "d1"), asking()
    handler.endpoints_changed(pool)
    sent(handler, first, pool)
    handler.endpoints_changed(pool[:1])
    handler.endpoints_changed(pool)
    assert figures(handler)["booked"] == 1
    end(handler, first, pool)
    assert figures(handler)["booked"] == 0


def test_a_name_at_another_address_is_another_endpoint() -> None:
    handler, pool = pairs(), endpoints("p1", "d1")
    handler.endpoints_changed(pool)
    sent(handler, asking(), pool)
    moved = Endpoint(pool[0].name, "10.9.9.9", 8000, pool[0].labels)
    handler.endpoints_changed([moved, pool[1]])
    assert figures(handler)["booked"] == 1


# --- what can never be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        pytest.param(
            endpoints("p1", "d2"),
            "the 2 endpoints cannot form a gang of prefill, decode that meets the constraints",
            id="no two of one revision",
        ),
        pytest.param(
            endpoints("d1", "d2"),
            "the 2 endpoints cannot form a gang of prefill, decode: 0 can be prefill",
            id="nobody for a member",
        ),
    ],
)
def test_what_can_never_be_is_not_kept_waiting_and_is_told_why(pool: Sequence[Endpoint], message: str) -> None:
    handler, item = pairs(SAME_REVISION), asking()
    handler.endpoints_changed(pool)
    refusal = Refusal(RefusalKind.UNAVAILABLE, message, "rejected-no-gang")
    assert handler.entry_refusal(item, OUTLOOK, 0.0) == refusal
    assert let_go(handler, item, pool, 0.0)
    assert handler.admit(item.request, item.state, pool) == refusal
    assert [finding.message for finding in handler.diagnose(pool, 0.0).findings] == [message]
    assert figures(handler) == {**NOTHING, "impossible": 2}


def test_what_could_be_at_another_time_waits() -> None:
    handler, item, pool = pairs(SAME_REVISION), asking(), endpoints("p1", "d1")
    handler.endpoints_changed(pool)
    sent(handler, asking(), pool)
    assert not let_go(handler, item, pool, 0.0)
    assert handler.entry_refusal(item, OUTLOOK, 0.0) is None
    assert handler.admit(item.request, item.state, pool) is None
    assert handler.diagnose(pool, 0.0).findings == ()


def test_what_endpoints_that_are_out_of_service_could_do_is_waited_for() -> None:
    handler, item, pool = pairs(SAME_REVISION), asking(), endpoints("p1", "d1", "d2")
    handler.endpoints_changed(pool)
    in_service = [pool[0], pool[2]]
    assert not let_go(handler, item, in_service, 0.0)
    assert handler.entry_refusal(item, OUTLOOK, 0.0) is None
    refusal = handler.admit(item.request, item.state, in_service)
    assert refusal is not None
    assert refusal.message == "the 2 endpoints cannot form a gang of prefill, decode that meets the constraints"
    handler.endpoints_changed(in_service)
    assert let_go(handler, item, in_service, 0.0)


def test_while_there_is_no_endpoint_a_request_waits() -> None:
    handler, item = pairs(), asking()
    handler.endpoints_changed([])
    assert not handler.fits(item, [], 0.0)
    assert handler.entry_refusal(item, OUTLOOK, 0.0) is None
    assert handler.diagnose([], 0.0).findings == ()


def test_a_request_that_asks_for_more_than_there_are_is_refused_and_smaller_ones_go() -> None:
    handler = GangProfileHandler([Member("sample", 0)])
    pool = endpoints("a1", "a2")
    large, small = asking(3), asking(2)
    refusal = handler.admit(large.request, large.state, pool)
    assert refusal is not None
    assert refusal.message == "the 2 endpoints cannot form a gang of 3 x sample: 2 can be sample"
    assert handler.admit(small.request, small.state, pool) is None
    assert handler.diagnose(pool, 0.0).findings == ()


def test_the_topology_of_an_earlier_request_is_known_to_flow_control() -> None:
    handler, pool = pairs(Constraint(min_bandwidth=Quantity(100))), endpoints("p1", "d1")
    assert handler.fits(asking(), pool, 0.0)
    item = asking()
    item.state.write(TOPOLOGY.of(""), KnownTopology())
    assert handler.admit(item.request, item.state, pool) is not None
    handler.endpoints_changed(pool)
    assert handler.entry_refusal(asking(), OUTLOOK, 0.0) is not None


# --- against brute force ---------------------------------------------------------------------------------

NAMES = [f"{role}{revision}{number}" for role in "pd" for revision in "12" for number in "ab"]


@settings(max_examples=150, deadline=None)
@given(
    waiting=st.lists(st.integers(0, 4), min_size=8, max_size=8),
    names=st.sets(st.sampled_from(NAMES)),
    busy=st.sets(st.sampled_from(NAMES)),
    answers=st.integers(1, 3),
)
def test_the_pick_is_what_brute_force_says(waiting: list[int], names: set[str], busy: set[str], answers: int) -> None:
    handler = GangProfileHandler([Member("prefill", 0, {"role": "p"}), DECODE], "", [SAME_REVISION], 1)
    pool = [endpoint(name, count) for name, count in zip(NAMES, waiting, strict=True) if name in names]
    handler._books.book([f"default/{name}" for name in sorted(busy)])
    by_name = {each.name.removeprefix("default/"): each for each in pool}
    free = sorted(set(by_name) - busy)
    lengths = [each.metrics.waiting_queue_size for each in pool]
    longest, shortest = max(lengths, default=0), min(lengths, default=0)

    def score(name: str) -> float:
        spread = longest - shortest
        return (longest - by_name[name].metrics.waiting_queue_size) / spread if spread else 1.0

    gangs = [
        (*prefill, decode)
        for prefill, decode in product(
            combinations([name for name in free if name[0] == "p"], answers), [name for name in free if name[0] == "d"]
        )
        if len({name[1] for name in (*prefill, decode)}) == 1
    ]
    item = asking(answers)
    if not gangs:
        with pytest.raises(NoEndpointsError):
            scheduled(handler, item, pool, 0.0)
        return
    picked = names_of(handler, scheduled(handler, item, pool, 0.0))
    assert sorted(picked) in [sorted(gang) for gang in gangs]
    assert sum(map(score, picked)) == pytest.approx(max(sum(map(score, gang)) for gang in gangs))


# --- parameters, figures, contracts ----------------------------------------------------------------------

NOTHING = {
    "dispatched": 0,
    "none-free": 0,
    "impossible": 0,
    "reserved": 0,
    "booked": 0,
    "gang_reservations_expired_total": 0,
    "gang_search_truncated_total": 0,
}


def figures(handler: GangProfileHandler) -> dict[str, float]:
    """By label where there is one."""
    found = {}
    for reading in handler.readings():
        assert isinstance(reading, CounterReading | GaugeReading)
        found["".join(reading.labels.values()) or reading.name] = reading.value
    return found


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GangProfileHandler([]), "members must have at least one entry, got none"),
        (lambda: pairs(slots=0), "slots_per_endpoint must be at least 1, got 0"),
        (lambda: pairs(max_search_steps=0), "max_search_steps must be at least 1, got 0"),
        (
            lambda: GangProfileHandler([DECODE], reservation_time_limit=timedelta(0)),
            "reservation_time_limit must be above 0, got 0:00:00",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_it_serves_the_cycle_flow_control_and_the_ends_of_requests() -> None:
    handler = pairs()
    check_signatures(handler)
    for served in (
        ProfileHandler,
        Admitter,
        DispatchGate,
        DispatchAccounting,
        EntryPolicy,
        PreRequest,
        RequestRefused,
        ResponseComplete,
    ):
        assert isinstance(handler, served)
    assert handler.profile_names == ("prefill", "decode")
    assert handler.pick(asking().request, asking().state, (), {}) == ("prefill", "decode")
    handler.request_refused(asking().request, asking().state, REFUSED)


# --- any order of things ---------------------------------------------------------------------------------


class CompetingGangs(RuleBasedStateMachine):
    """Requests for gangs of two shapes wait for the same endpoints, are let go, picked, sent, refused and ended.

    A gang is one decode endpoint and as many prefill endpoints as answers, all of one revision. One or two gangs may
    be at an endpoint at once. In the end everybody is let go who can be, and nothing is held.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.slots = 0
        self.pool = endpoints("p1", "p1b", "p1c", "d1", "p2", "d2", "d2b")
        self.away: list[Endpoint] = []
        self.waiting: list[QueuedRequest] = []
        self.on_the_way: list[tuple[QueuedRequest, float]] = []
        self.running: list[tuple[QueuedRequest, set[str]]] = []

    @initialize(slots=st.integers(1, 2))
    def begin(self, slots: int) -> None:
        self.slots = slots
        self.handler = GangProfileHandler([Member("prefill", 0, {"role": "p"}), DECODE], "", [SAME_REVISION], slots)
        self.handler.endpoints_changed(self.pool)

    @rule(answers=st.integers(1, 3))
    def arrive(self, answers: int) -> None:
        self.waiting.append(asking(answers))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.waiting))
        if let_go(self.handler, item, self.pool, self.now):
            self.waiting.remove(item)
            self.on_the_way.append((item, self.now))
            reserved = len(self.held_by(item))
            assert reserved == (item.request.answers + 1 if self.can_ever_go(item) else 0)

    @precondition(lambda self: self.waiting)
    @rule()
    def look_and_leave(self) -> None:
        """Found a gang, but was not let go: another lane went first."""
        self.handler.fits(self.waiting[0], self.pool, self.now)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        item, since = self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1)))
        reserved = self.held_by(item)
        refusal = self.handler.admit(item.request, item.state, self.pool)
        try:
            picked = None if refusal else sent(self.handler, item, self.pool, self.now)
        except NoEndpointsError:
            picked = None
        if picked is None:
            # Who holds a whole gang gets one.
            assert len(reserved) < item.request.answers + 1 or self.now - since >= 30.0
            refuse(self.handler, item)
            assert self.held_by(item) == set()
            return
        assert len(picked) == len(set(picked)) == item.request.answers + 1
        assert [name[0] for name in picked] == ["p"] * item.request.answers + ["d"]
        assert len({name[1] for name in picked}) == 1
        self.running.append((item, set(picked)))

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def fail_after_the_pick(self, data: st.DataObject) -> None:
        """A decision admitter refuses, or some plugin fails."""
        item, _ = self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1)))
        with suppress(NoEndpointsError):
            scheduled(self.handler, item, self.pool, self.now)
        refuse(self.handler, item)

    @precondition(lambda self: self.waiting)
    @rule()
    def give_up(self) -> None:
        refuse(self.handler, self.waiting.pop(0))

    @precondition(lambda self: self.on_the_way)
    @rule()
    def leave_on_the_way(self) -> None:
        refuse(self.handler, self.on_the_way.pop(0)[0])

    @precondition(lambda self: self.running)
    @rule(data=st.data(), twice=st.booleans())
    def finish(self, data: st.DataObject, twice: bool) -> None:
        item, _ = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        for _ in range(1 + twice):
            end(self.handler, item, [endpoint("d1")])

    @rule(seconds=st.sampled_from([0.1, 1.0, 20.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.pool)
    @rule(data=st.data())
    def lose_an_endpoint(self, data: st.DataObject) -> None:
        gone = self.pool.pop(data.draw(st.integers(0, len(self.pool) - 1)))
        self.away.append(gone)
        self.handler.endpoints_changed(self.pool)
        for _, names in self.running:
            names.discard(gone.name.removeprefix("default/"))

    @precondition(lambda self: self.away)
    @rule()
    def find_it_again(self) -> None:
        self.pool = sorted([*self.pool, self.away.pop(0)], key=lambda each: each.name)
        self.handler.endpoints_changed(self.pool)

    @invariant()
    def nobody_is_booked_twice(self) -> None:
        taken = Counter(name for _, names in self.running for name in names)
        assert max(taken.values(), default=0) <= self.slots
        assert self.handler._books.held().booked == sum(taken.values())
        assert max(map(len, self.handler._books._gangs.values()), default=0) <= self.slots

    @invariant()
    def what_is_remembered_is_of_requests_that_have_not_ended(self) -> None:
        assert len(self.handler._books._held) <= len(self.on_the_way) + len(self.running)

    @invariant()
    def in_an_idle_pool_whoever_can_ever_go_can_go(self) -> None:
        if self.pool and not self.running and all(self.now - since >= 30.0 for _, since in self.on_the_way):
            for item in self.waiting:
                assert self.handler.fits(item, self.pool, self.now)

    def teardown(self) -> None:
        """Everything that runs ends, and everything that waits gets its turn, one after the other or together."""
        self.pool = sorted([*self.pool, *self.away], key=lambda each: each.name)
        self.handler.endpoints_changed(self.pool)
        for _ in range(2 * (len(self.waiting) + len(self.on_the_way)) + 2):
            for item in [item for item in self.waiting if let_go(self.handler, item, self.pool, self.now)]:
                self.waiting.remove(item)
                self.on_the_way.append((item, self.now))
            for item, _ in self.on_the_way:
                refuse(self.handler, item)
            for item, _ in self.running:
                end(self.handler, item, [endpoint("d1")])
            self.on_the_way, self.running = [], []
        assert self.waiting == []
        books = self.handler._books
        assert (books._held, books._gangs, books._ends) == ({}, {}, {})

    def can_ever_go(self, item: QueuedRequest) -> bool:
        """Whether some revision has enough endpoints."""
        names = Counter(each.name.removeprefix("default/")[:2] for each in self.pool)
        return any(names[f"p{rev}"] >= item.request.answers and names[f"d{rev}"] for rev in "12")

    def held_by(self, item: QueuedRequest) -> set[str]:
        number = item.state.get(self.handler._hold_key, -1)
        return set(self.handler._books._held.get(number, ()))


TestCompetingGangs = CompetingGangs.TestCase
TestCompetingGangs.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


# --- in a file -------------------------------------------------------------------------------------------

FILE = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: gang-profile-handler
  parameters:
    members:
    - {profile: prefill, count: 2, matchLabels: {role: p}}
    - {profile: decode, matchLabels: {role: d}}
    primary: prefill
    constraints: [CONSTRAINT]
    slotsPerEndpoint: 2
    reservationTimeLimit: 1m30s
- type: random-picker
schedulingProfiles:
- name: prefill
- name: decode
"""


def loaded(constraint: str, text: str = FILE) -> Pipeline:
    return load_pipeline(text.replace("CONSTRAINT", constraint))


@pytest.mark.parametrize(
    ("constraint", "added"),
    [
        pytest.param("{same: [rev]}", False, id="a label needs no topology"),
        pytest.param("{sameNode: true}", False, id="nor does a host, which has a label"),
        pytest.param("{between: [prefill, decode], minBandwidth: 25G}", True, id="bandwidth does"),
    ],
)
def test_a_file_with_gangs_loads_and_gets_the_producer_that_it_needs(constraint: str, added: bool) -> None:
    pipeline = loaded(constraint)
    assert pipeline.warnings == ()
    assert ("topology-producer" in pipeline.plugins) == added
    handler = pipeline.plugins["gang-profile-handler"]
    assert isinstance(handler, GangProfileHandler)
    assert handler._books._limit == 90.0
    assert [named.plugin is handler for named in pipeline.admitters] == [True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            FILE.replace("- name: decode", "- name: deocde"),
            "plugin 'gang-profile-handler' runs the profile 'decode', which does not exist; did you mean 'deocde'?",
            id="a profile that does not exist",
        ),
        pytest.param(FILE.replace("CONSTRAINT", "{minBandwidth: fast}"), "minBandwidth", id="a bandwidth in words"),
        pytest.param(
            FILE.replace("primary: prefill", "primary: encode"),
            "primary must be the profile of a member, got 'encode'",
            id="a primary that is no member",
        ),
    ],
)
def test_what_is_wrong_is_found_when_the_file_is_loaded(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded("{same: [rev]}", text)
    assert message in str(error.value)
