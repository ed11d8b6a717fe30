import logging

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnout.epp.datalayer.store import EndpointStatus, EndpointStore, InFlight
from turnout.framework import EndpointMetrics, EndpointSpec


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spec(name: str, address: str = "10.0.0.1", port: int = 8000, **labels: str) -> EndpointSpec:
    return EndpointSpec(name, address, port, labels)


def store_of(*names: str, clock: Clock | None = None) -> EndpointStore:
    store = EndpointStore(clock or Clock())
    store.replace([spec(name) for name in names])
    return store


def serving(store: EndpointStore) -> list[str]:
    return [endpoint.name for endpoint in store.candidates()]


def eject(store: EndpointStore, name: str) -> None:
    for _ in range(3):
        store.request_failed(name)


def fail_scrapes(store: EndpointStore, name: str, clock: Clock) -> None:
    for _ in range(3):
        store.scrape_failed(name, "status 500")
        clock.now += 0.5


def test_the_snapshot_is_in_the_order_of_discovery_and_stays_until_a_change() -> None:
    store = store_of("b", "a")
    snapshot = store.snapshot()
    assert [endpoint.name for endpoint in snapshot] == ["b", "a"]
    assert store.snapshot() is snapshot
    assert store.candidates() is store.candidates()


def test_a_change_rebuilds_the_changed_endpoint_only() -> None:
    store = store_of("a", "b")
    before = store.snapshot()
    store.update("b", EndpointMetrics(running_requests=3))
    after = store.snapshot()
    assert after[0] is before[0]
    assert after[1].metrics.running_requests == 3
    assert before[1].metrics.running_requests == 0


def test_in_flight_is_live_and_released_once() -> None:
    store = store_of("a")
    first, second = store.dispatched("a"), store.dispatched("a")
    assert store.snapshot()[0].in_flight == 2
    first.release()
    first.release()
    assert store.snapshot()[0].in_flight == 1
    second.release()
    assert store.snapshot()[0].in_flight == 0


def test_dispatches_since_the_last_scrape_lengthen_the_queue_that_is_seen_but_not_what_was_reported() -> None:
    store = store_of("a")
    store.update("a", EndpointMetrics(waiting_queue_size=1, running_requests=2))
    for _ in range(5):
        store.dispatched("a")
    assert store.candidates()[0].metrics.waiting_queue_size == 3
    reported = store.reported("a")
    assert reported is not None
    assert reported.metrics.waiting_queue_size == 1


def test_an_endpoint_that_stays_keeps_everything_and_takes_new_labels() -> None:
    store = store_of("a", "b")
    store.update("a", EndpointMetrics(running_requests=3))
    store.dispatched("a")
    eject(store, "b")
    store.replace([spec("b"), spec("a", role="decode"), spec("c")])
    b, a, c = store.snapshot()
    assert (a.in_flight, a.metrics.running_requests, a.labels) == (1, 3, {"role": "decode"})
    assert serving(store) == ["a", "c"]
    assert (b.name, c.name) == ("b", "c")


@pytest.mark.parametrize(
    "moved", [spec("a", address="10.0.0.2"), spec("a", port=8001)], ids=["another address", "another port"]
)
def test_a_name_that_moves_starts_fresh_and_its_old_requests_end_harmlessly(moved: EndpointSpec) -> None:
    store = store_of("a", "b")
    lease = store.dispatched("a")
    store.update("a", EndpointMetrics(running_requests=3))
    eject(store, "a")
    store.replace([spec("b"), moved])
    lease.release()
    b, a = store.snapshot()
    assert (a.host_port, a.in_flight, a.metrics) == (f"{moved.address}:{moved.port}", 0, EndpointMetrics())
    assert (b.name, b.in_flight) == ("b", 0)
    assert serving(store) == ["b", "a"]


def test_reports_about_a_stranger_are_ignored() -> None:
    store = store_of("a")
    before = store.snapshot()
    store.dispatched("gone").release()
    store.update("gone", EndpointMetrics(running_requests=1))
    store.scrape_failed("gone", "refused")
    store.scrape_succeeded("gone")
    store.request_failed("gone")
    store.request_succeeded("gone")
    assert store.reported("gone") is None
    assert store.snapshot() is before


def test_failed_requests_take_an_endpoint_out_until_one_trial_succeeds() -> None:
    clock = Clock()
    store = store_of("a", "b", clock=clock)
    eject(store, "a")
    assert serving(store) == ["b"]
    clock.now += 1.0
    assert serving(store) == ["a", "b"]
    store.dispatched("a")
    assert serving(store) == ["b"]
    store.request_succeeded("a")
    assert serving(store) == ["a", "b"]


def test_failed_scrapes_take_an_endpoint_out_until_one_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    store = store_of("a", "b", clock=clock)
    fail_scrapes(store, "a", clock)
    assert serving(store) == ["b"]
    assert store.statuses() == (EndpointStatus("a", False, "status 500"), EndpointStatus("b", True, ""))
    store.scrape_succeeded("a")
    assert serving(store) == ["a", "b"]
    assert [record.getMessage() for record in caplog.records] == [
        "endpoint a is out of service: status 500",
        "endpoint a is in service again",
    ]


def test_what_scraping_took_out_is_back_when_the_sources_change() -> None:
    clock = Clock()
    store = store_of("a", "b", clock=clock)
    fail_scrapes(store, "a", clock)
    store.forget_scrape_failures()
    assert serving(store) == ["a", "b"]


@pytest.mark.parametrize(
    ("pool", "left"),
    [
        pytest.param("a", ["a"], id="one of one stays"),
        pytest.param("ab", ["b"], id="one of two"),
        pytest.param("abc", ["b", "c"], id="one of three"),
        pytest.param("abcde", ["c", "d", "e"], id="two of five"),
    ],
)
def test_failing_requests_take_out_at_most_half(pool: str, left: list[str]) -> None:
    store = store_of(*pool)
    for name in pool:
        eject(store, name)
    assert serving(store) == left
    assert [status.name for status in store.statuses() if status.in_service] == left


def test_half_is_of_those_that_scraping_finds_alive() -> None:
    clock = Clock()
    store = store_of("a", "b", "c", "d", clock=clock)
    for name in "abc":
        fail_scrapes(store, name, clock)
    eject(store, "d")
    assert serving(store) == ["d"]


def test_an_endpoint_that_had_to_stay_goes_when_another_is_back() -> None:
    store = store_of("a", "b", clock=(clock := Clock()))
    eject(store, "a")
    eject(store, "b")
    clock.now += 1.0
    store.dispatched("a")
    store.request_succeeded("a")
    assert serving(store) == ["a", "b"]
    store.request_failed("b")
    assert serving(store) == ["a"]


def test_when_none_is_in_service_those_alive_are_candidates_and_else_all() -> None:
    clock = Clock()
    store = store_of("a", "b", clock=clock)
    eject(store, "a")
    fail_scrapes(store, "b", clock)
    eject(store, "a")
    assert serving(store) == ["a"]
    fail_scrapes(store, "a", clock)
    assert serving(store) == ["a", "b"]
    assert store.candidates() is store.candidates()


def test_a_change_of_an_endpoint_out_of_service_stays_out_of_the_candidates() -> None:
    store = store_of("a", "b", "c")
    eject(store, "a")
    assert serving(store) == ["b", "c"]
    store.dispatched("a")
    store.dispatched("c")
    assert [(endpoint.name, endpoint.in_flight) for endpoint in store.candidates()] == [("b", 0), ("c", 1)]
    assert [endpoint.in_flight for endpoint in store.snapshot()] == [1, 0, 1]


def test_watchers_hear_of_membership_and_of_nothing_else() -> None:
    store = store_of("a")
    heard: list[int] = []
    stop = store.on_membership_change(lambda: heard.append(len(store.snapshot())))
    store.replace([spec("a")])
    store.dispatched("a")
    eject(store, "a")
    assert heard == []
    store.replace([spec("a"), spec("b")])
    store.replace([])
    assert heard == [2, 0]
    stop()
    store.replace([spec("c")])
    assert heard == [2, 0]


NAMES = st.sampled_from("abc")
SPECS = st.lists(
    st.builds(spec, NAMES, st.sampled_from(("10.0.0.1", "10.0.0.2"))), max_size=3, unique_by=lambda one: one.name
)


class AnyInterleaving(RuleBasedStateMachine):
    """Leases by the endpoint (name and address, while it stays) that they were taken from."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = EndpointStore(self.clock)
        self.generations: dict[str, tuple[str, int]] = {}
        self.leases: list[tuple[tuple[str, str, int], InFlight]] = []
        self.replaced = 0

    @rule(specs=SPECS)
    def replace(self, specs: list[EndpointSpec]) -> None:
        self.replaced += 1
        self.generations = {
            one.name: known
            if (known := self.generations.get(one.name)) and known[0] == one.address
            else (one.address, self.replaced)
            for one in specs
        }
        self.store.replace(specs)

    @rule(name=NAMES)
    def dispatch(self, name: str) -> None:
        lease = self.store.dispatched(name)
        if name in self.generations:
            self.leases.append(((name, *self.generations[name]), lease))

    @rule(place=st.integers(0, 50), times=st.integers(1, 2))
    def release(self, place: int, times: int) -> None:
        if self.leases:
            _, lease = self.leases.pop(place % len(self.leases))
            for _ in range(times):
                lease.release()

    @rule(name=NAMES, wait=st.floats(0.0, 2.0), good=st.booleans(), scrape=st.booleans())
    def report(self, name: str, wait: float, good: bool, scrape: bool) -> None:
        self.clock.now += wait
        if scrape and good:
            self.store.scrape_succeeded(name)
        elif scrape:
            self.store.scrape_failed(name, "refused")
        elif good:
            self.store.request_succeeded(name)
        else:
            self.store.request_failed(name)

    @invariant()
    def in_flight_is_the_number_of_unreleased_leases(self) -> None:
        held = [key for key, _ in self.leases]
        counted = {endpoint.name: endpoint.in_flight for endpoint in self.store.snapshot()}
        assert counted == {name: held.count((name, *place)) for name, place in self.generations.items()}

    @invariant()
    def the_candidates_are_those_in_service_and_never_none(self) -> None:
        snapshot = [endpoint.name for endpoint in self.store.snapshot()]
        candidates = [endpoint.name for endpoint in self.store.candidates()]
        in_service = [status.name for status in self.store.statuses() if status.in_service]
        assert candidates == in_service or not in_service
        assert bool(candidates) == bool(snapshot)
        assert set(candidates) <= set(snapshot)


TestAnyInterleaving = AnyInterleaving.TestCase
