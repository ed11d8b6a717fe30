from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.plugins.token_fairness.counters import Account, Counters


@dataclass
class Tenant:
    """An account of the naive counters."""

    counter: float
    tag: float = 0.0
    credit: float = 0.0
    in_flight: int = 0
    seen_at: float = float("-inf")
    waiting: bool = False


@dataclass
class NaiveCounters:
    """The same rules without forgetting anybody."""

    quantum: int
    level: float = 0.0
    tenants: dict[str, Tenant] = field(default_factory=dict)
    last: str = ""

    def rank(self, name: str, arrived_at: float, now: float, *, others_wait: bool) -> float:
        tenant = self.tenants.setdefault(name, Tenant(self.level))
        if not others_wait and arrived_at >= tenant.seen_at:
            tenant.credit = 0.0
        tenant.tag = tenant.counter = max(tenant.counter, self.level - tenant.credit)
        tenant.seen_at, tenant.waiting = now, True
        return tenant.tag

    def charge(self, name: str, amount: float, now: float) -> None:
        tenant = self.tenants[name]
        base = max(tenant.counter, self.level - tenant.credit)
        whole = tenant.tag // self.quantum * self.quantum if self.quantum else tenant.tag
        self.level = max(self.level, whole)
        tenant.counter, tenant.in_flight = base + amount, tenant.in_flight + 1
        tenant.seen_at, tenant.waiting = now, False
        if self.last and self.last != name and not self.tenants[self.last].waiting:
            self.tenants[self.last].credit = 0.0
        self.last = name

    def correct(self, name: str, amount: float) -> None:
        tenant = self.tenants[name]
        tenant.counter, tenant.in_flight = tenant.counter + amount, tenant.in_flight - 1
        if tenant.waiting:
            tenant.credit = max(0.0, tenant.credit - amount)

    def needed(self) -> set[str]:
        return {
            name
            for name, tenant in self.tenants.items()
            if tenant.counter > self.level or tenant.in_flight or tenant.credit
        }


@dataclass
class Both:
    """One queue on both; every step takes a second, and their answers are compared at each."""

    counters: Counters
    naive: NaiveCounters
    now: float = 0.0
    waiting: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tags: dict[str, float] = field(default_factory=dict)
    flying: list[tuple[str, Account]] = field(default_factory=list)

    def arrive(self, name: str) -> None:
        self.waiting[name].append(self.now)
        if len(self.waiting[name]) == 1:
            self.rank(name)

    def rank(self, name: str) -> None:
        arrived_at, others_wait = self.waiting[name][0], len(self.waiting[name]) > 1
        found = self.counters.rank(name, arrived_at, self.now, others_wait=others_wait)
        assert found == self.naive.rank(name, arrived_at, self.now, others_wait=others_wait)
        self.tags[name] = found

    def dispatch(self, amount: float) -> None:
        if not self.tags:
            return
        name = min(self.tags, key=lambda each: self.tags[each])
        self.flying.append((name, self.counters.charge(name, amount, self.now)))
        self.naive.charge(name, amount, self.now)
        self.leave(name)

    def leave(self, name: str) -> None:
        self.waiting[name].pop(0)
        del self.tags[name]
        if self.waiting[name]:
            self.rank(name)

    def correct(self, number: int, amount: float) -> None:
        if self.flying:
            name, account = self.flying.pop(number % len(self.flying))
            self.counters.correct(account, amount)
            self.naive.correct(name, amount)

    def step(self, action: str, number: int) -> None:
        self.now += 1.0
        name = f"t{number % 7}"
        if action == "arrive":
            self.arrive(name)
        elif action == "dispatch":
            self.dispatch(float(number))
        elif action == "withdraw" and name in self.tags:
            self.leave(name)
        elif action == "correct":
            self.correct(number, float(number % 41 - 20))


actions = st.tuples(
    st.sampled_from(["arrive", "arrive", "dispatch", "dispatch", "correct", "withdraw"]), st.integers(1, 99)
)


@settings(max_examples=500)
@given(steps=st.lists(actions, max_size=150), quantum=st.sampled_from([0, 30]))
def test_forgetting_those_that_are_not_ahead_changes_nothing(steps: list[tuple[str, int]], quantum: int) -> None:
    both = Both(Counters(quantum=quantum), NaiveCounters(quantum))
    for action, number in steps:
        both.step(action, number)
        assert both.counters.level == both.naive.level
        assert set(both.counters.tenants) >= both.naive.needed()


def served(counters: Counters, tenant: str, amount: float, now: float, correction: float = 0.0) -> float:
    """One request of a tenant that has no other: its tag."""
    tag = counters.rank(tenant, now, now, others_wait=False)
    counters.correct(counters.charge(tenant, amount, now), correction)
    return tag


def test_a_tenant_that_was_served_is_ahead_until_the_others_have_caught_up() -> None:
    counters = Counters()
    served(counters, "a", 100.0, 1.0)
    served(counters, "b", 30.0, 2.0)
    assert [counters.rank(tenant, 3.0, 3.0, others_wait=False) for tenant in "abc"] == [100.0, 30.0, 0.0]
    assert len(counters) == 2
    served(counters, "b", 200.0, 4.0)
    assert served(counters, "a", 100.0, 5.0) == 100.0
    assert [counters.rank(tenant, 6.0, 6.0, others_wait=False) for tenant in "abc"] == [200.0, 230.0, 100.0]


def test_tenants_that_come_once_leave_nothing_behind_when_the_others_have_caught_up() -> None:
    counters = Counters()
    for number in range(5000):
        served(counters, f"t{number}", 100.0, float(number))
    assert len(counters) == 5000
    for number in range(5000, 5003):
        served(counters, "busy", 100.0, float(number))
    assert (counters.level, len(counters)) == (200.0, 1)


def test_a_level_of_whole_quanta() -> None:
    counters = Counters(quantum=64)
    tags = [served(counters, "a", 50.0, float(now)) for now in range(5)]
    assert tags == [0.0, 50.0, 100.0, 150.0, 200.0]
    assert counters.rank("b", 9.0, 9.0, others_wait=False) == 192.0


def behind(counters: Counters) -> None:
    """Tenant a was charged 300, and 280 came back while a further request of it waited and b got 200."""
    counters.rank("a", 1.0, 1.0, others_wait=True)
    charged = counters.charge("a", 300.0, 2.0)
    counters.rank("a", 1.5, 2.0, others_wait=False)
    for now in (3.0, 4.0, 5.0):
        served(counters, "b", 100.0, now)
    counters.correct(charged, -280.0)


def test_what_comes_back_while_a_flow_waits_is_not_lost_to_the_level() -> None:
    counters = Counters()
    behind(counters)
    assert counters.level == 200.0
    assert counters.rank("a", 1.7, 6.0, others_wait=False) == 20.0


def test_credit_outlasts_the_dispatch_for_one_that_came_before_it() -> None:
    counters = Counters()
    behind(counters)
    served_from_the_flow = counters.charge("a", 5.0, 6.0)
    assert counters.rank("a", 3.5, 6.0, others_wait=False) == 25.0
    counters.correct(served_from_the_flow, 0.0)


@pytest.mark.parametrize(
    ("arrived_at", "others_wait", "tag"),
    [
        pytest.param(1.7, False, 20.0, id="the last one of a flow that has waited since then"),
        pytest.param(9.0, True, 20.0, id="one that goes before others of a flow that has waited"),
        pytest.param(9.0, False, 200.0, id="one that came to an empty flow"),
    ],
)
def test_credit_ends_with_the_flow(arrived_at: float, others_wait: bool, tag: float) -> None:
    counters = Counters()
    behind(counters)
    assert counters.rank("a", arrived_at, 9.0, others_wait=others_wait) == tag


def test_a_tenant_with_credit_is_forgotten_when_it_has_nothing_waiting_and_others_go_on() -> None:
    counters = Counters()
    behind(counters)
    counters.correct(counters.charge("a", 1.0, 6.0), 0.0)
    assert set(counters.tenants) == {"a"}
    served(counters, "b", 100.0, 7.0)
    assert set(counters.tenants) == {"b"}


def test_what_comes_back_to_an_empty_flow_is_not_kept() -> None:
    counters = Counters()
    charged = counters.charge("a", 300.0, 1.0)
    served(counters, "b", 100.0, 2.0)
    counters.correct(charged, -300.0)
    assert set(counters.tenants) == {"a", "b"}
    for now in (3.0, 4.0, 5.0, 6.0):
        served(counters, "b", 100.0, now)
    assert set(counters.tenants) == {"b"}


def test_a_late_correction_finds_the_tenant_however_far_the_others_are() -> None:
    counters = Counters()
    charged = counters.charge("a", 10.0, 1.0)
    for now in range(2, 8):
        served(counters, "b", 100.0, float(now))
    counters.correct(charged, 900.0)
    assert counters.rank("a", 9.0, 9.0, others_wait=False) == 910.0


def test_of_too_many_tenants_those_least_ahead_go_and_raise_the_level() -> None:
    counters = Counters()
    for now, (tenant, amount) in enumerate({"a": 300.0, "b": 100.0, "c": 200.0}.items()):
        served(counters, tenant, amount, float(now))
    counters.forget_one()
    assert (counters.level, set(counters.tenants)) == (100.0, {"a", "c"})
    # Nobody gains by being forgotten.
    assert [counters.rank(tenant, 9.0, 9.0, others_wait=False) for tenant in "abc"] == [300.0, 100.0, 200.0]


def test_the_counter_of_the_one_least_ahead_is_the_one_that_it_has_by_then() -> None:
    counters = Counters()
    first = counters.charge("a", 100.0, 1.0)
    served(counters, "b", 200.0, 2.0)
    counters.correct(first, 400.0)
    counters.forget_one()
    assert (counters.level, set(counters.tenants)) == (200.0, {"a"})


def test_of_too_many_tenants_those_behind_go_first_and_lose_their_corrections() -> None:
    counters = Counters()
    charged = counters.charge("a", 10.0, 1.0)
    for now in range(2, 5):
        served(counters, "b", 100.0, float(now))
    assert counters.level == 200.0
    counters.forget_one()
    assert (counters.level, set(counters.tenants)) == (200.0, {"b"})
    counters.correct(charged, 900.0)
    assert counters.rank("a", 9.0, 9.0, others_wait=False) == 200.0


@settings(max_examples=200)
@given(steps=st.lists(actions, max_size=100), quantum=st.sampled_from([0, 30]))
def test_forgetting_anybody_at_any_time_breaks_nothing(steps: list[tuple[str, int]], quantum: int) -> None:
    both = Both(Counters(quantum=quantum), NaiveCounters(quantum))
    levels = [0.0]
    for number, (action, argument) in enumerate(steps):
        both.now += 1.0
        name = f"t{argument % 7}"
        tag = both.counters.rank(name, both.now, both.now, others_wait=False)
        if action == "dispatch":
            both.flying.append((name, both.counters.charge(name, float(argument), both.now)))
        elif action == "correct" and both.flying:
            both.counters.correct(both.flying.pop(argument % len(both.flying))[1], float(argument % 41 - 20))
        while len(both.counters) > number % 4:
            both.counters.forget_one()
        assert tag >= levels[-1]
        levels.append(both.counters.level)
    assert levels == sorted(levels)
