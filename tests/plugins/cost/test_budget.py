import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.cost.priced import CHEAP, DEAR, NAMELESS, Trip, request_of
from turnout.config import Pipeline, load_pipeline
from turnout.framework import (
    PROMPT,
    Classification,
    CycleState,
    GaugeReading,
    PluginName,
    Refusal,
    RefusalKind,
    Termination,
    Usage,
)
from turnout.framework.testing import check_filter, check_signatures
from turnout.plugins.cost.budget import CostBudget
from turnout.plugins.cost.keys import BUDGET_CHECK
from turnout.plugins.cost.prices import PriceEntry
from turnout.plugins.cost.producer import ExpectedCostProducer
from turnout.plugins.cost.spending import UNITS


def spent(budget: CostBudget) -> tuple[float, float]:
    """Spent and reserved of the pool."""
    return budget._pool.spent / UNITS, budget._pool.reserved / UNITS


def test_it_has_the_members_of_its_extension_points() -> None:
    check_signatures(CostBudget())


def test_a_request_reserves_what_it_is_expected_to_cost_until_its_end() -> None:
    budget = CostBudget(pool_per_hour=250.0)
    first, second, third = Trip(budget), Trip(budget), Trip(budget)
    assert (first.go(), second.go()) == (None, None)
    assert spent(budget) == (0.0, 200.0)
    refusal = third.go()
    assert refusal is not None
    assert (refusal.kind, refusal.dropped_reason) == (RefusalKind.RESOURCE_EXHAUSTED, "rejected-budget")
    first.end(1.0, Usage(30, 10))
    assert spent(budget) == (50.0, 100.0)
    assert third.go(2.0) is None


def test_a_request_on_its_way_keeps_nothing_of_the_candidates() -> None:
    trip = Trip(CostBudget(pool_per_hour=1000.0))
    trip.go()
    assert BUDGET_CHECK.of("") not in trip.state


def test_an_end_counts_once() -> None:
    budget = CostBudget(pool_per_hour=1000.0)
    trip = Trip(budget)
    trip.go()
    for _ in range(3):
        trip.end(1.0, Usage(30, 10))
    assert spent(budget) == (50.0, 0.0)


def test_a_report_beyond_any_number_gives_back_what_was_reserved() -> None:
    budget = CostBudget(pool_per_hour=1000.0)
    trip = Trip(budget)
    trip.go()
    trip.end(1.0, Usage(10**400, 0))
    assert spent(budget) == (1e9, 0.0)


def test_an_end_without_a_dispatch_counts_nothing() -> None:
    budget = CostBudget(pool_per_hour=50.0)
    trip = Trip(budget)
    assert trip.go() is not None
    trip.end(1.0, cause=Termination.ERROR)
    assert spent(budget) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("end", "cost"),
    [
        pytest.param(lambda trip: trip.end(1.0, Usage(80, 5)), 90.0, id="as the engine says"),
        pytest.param(lambda trip: trip.end(1.0, Usage(80, 1), whole=False), 100.0, id="a first piece is no last word"),
        pytest.param(lambda trip: trip.end(1.0, Usage(80, 20), whole=False), 120.0, id="a piece that says more counts"),
        pytest.param(lambda trip: trip.end(1.0), 100.0, id="no word of it: as expected"),
        pytest.param(lambda trip: trip.end(1.0, status=None), 100.0, id="no head of the response seen"),
        pytest.param(lambda trip: trip.end(1.0, cause=Termination.CLIENT_DISCONNECT), 100.0, id="the client left"),
        pytest.param(lambda trip: trip.end(1.0, cause=Termination.EVICTED), 100.0, id="it was evicted"),
        pytest.param(
            lambda trip: trip.end(3600.0, cause=Termination.LOST, status=None, first_byte_seconds=None),
            100.0,
            id="nobody reported its end, so it may have been answered",
        ),
        pytest.param(lambda trip: trip.end(1.0, status=404), 0.0, id="the client's mistake"),
        pytest.param(lambda trip: trip.end(1.0, status=503), 0.0, id="the engine's mistake"),
        pytest.param(
            lambda trip: trip.end(1.0, cause=Termination.ERROR, status=None, first_byte_seconds=None),
            0.0,
            id="no answer at all",
        ),
        pytest.param(
            lambda trip: trip.end(1.0, cause=Termination.ERROR, status=200), 100.0, id="a response that broke off"
        ),
    ],
)
def test_what_a_request_costs_in_the_end(end: Callable[[Trip], None], cost: float) -> None:
    budget = CostBudget(pool_per_hour=1000.0)
    trip = Trip(budget)
    trip.go()
    end(trip)
    assert spent(budget) == (cost, 0.0)


def test_by_a_price_of_time_a_request_costs_no_more_than_its_time() -> None:
    pricing = ExpectedCostProducer(
        prices=[PriceEntry("small", per_hour=3600.0)],
        prefill_tokens_per_second=100.0,
        decode_tokens_per_second=256.0,
    )
    budget = CostBudget(pool_per_hour=1000.0)
    failed, whole = Trip(budget, pricing=pricing, now=5.0), Trip(budget, pricing=pricing, now=5.0)
    assert (failed.go(), whole.go()) == (None, None)
    failed.end(5.5, status=503)
    whole.end(9.0)
    assert spent(budget) == pytest.approx((0.5 + 1.8, 0.0))


def test_with_the_most_reserved_no_answer_within_its_bounds_exceeds_the_budget() -> None:
    budget = CostBudget(pool_per_hour=239.0, reserve="most")
    first, second = Trip(budget), Trip(budget)
    assert first.go() is None
    assert spent(budget) == (0.0, 120.0)
    assert second.go() is not None


@pytest.mark.parametrize(
    ("budget", "headers", "message"),
    [
        pytest.param(CostBudget(per_request=99.0), {}, "would cost more than it may", id="that of every request"),
        pytest.param(CostBudget(), {"x-turnout-cost-budget": "99"}, "would cost more than it may", id="its own"),
        pytest.param(
            CostBudget(per_request=99.0), {"cost_budget": "500"}, "would cost more than it may", id="no higher one"
        ),
        pytest.param(CostBudget(pool_per_hour=99.0), {}, "the pool's budget", id="more than all of the pool's"),
        pytest.param(CostBudget(tenants_per_hour={"t": 99.0}), {}, "the tenant's budget", id="the tenant's"),
    ],
)
def test_what_can_never_fit_is_refused_without_a_time(
    budget: CostBudget, headers: dict[str, str], message: str
) -> None:
    refusal = Trip(budget, headers=headers).go()
    assert refusal is not None
    assert message in refusal.message
    assert refusal.retry_after_seconds is None


def test_a_request_that_states_a_higher_budget_is_sent() -> None:
    assert Trip(CostBudget(), headers={"x-turnout-cost-budget": "100"}).go() is None


def test_a_refusal_says_when_the_window_frees_enough() -> None:
    budget = CostBudget(pool_per_hour=100.0, tenant_per_hour=150.0)
    trip = Trip(budget, now=30.0)
    trip.go()
    trip.end(90.0)
    refusal = Trip(budget, now=1000.0).go()
    assert refusal is not None
    assert refusal.retry_after_seconds == 2720.0, "the minute that ends at 120 s, an hour later"
    assert Trip(budget, now=3719.0).go() is not None
    assert Trip(budget, now=3720.0).go() is None


def test_tenants_have_budgets_of_their_own() -> None:
    budget = CostBudget(tenant_per_hour=100.0, tenants_per_hour={"big": 200.0}, tenant_header="X-Team")
    assert Trip(budget, headers={"x-team": "a"}).go() is None
    assert Trip(budget, headers={"x-team": "a"}, tenant="other").go() is not None
    assert Trip(budget, headers={"x-team": "b"}).go() is None
    assert [Trip(budget, headers={"x-team": "big"}).go() for _ in range(2)] == [None, None]
    assert Trip(budget, headers={"x-team": "big"}).go() is not None


def test_without_a_header_the_tenant_is_the_fairness_id() -> None:
    budget = CostBudget(tenant_per_hour=100.0)
    assert Trip(budget, tenant="a").go() is None
    assert Trip(budget, tenant="a").go() is not None
    assert Trip(budget, tenant="b").go() is None


@pytest.mark.parametrize(
    ("unknown_cost", "is_refused"),
    [pytest.param("refuse", True, id="refused"), pytest.param("allow", False, id="allowed")],
)
def test_a_cost_that_is_not_known_is_as_configured(unknown_cost: str, is_refused: bool) -> None:
    budget = CostBudget(pool_per_hour=10.0, unknown_cost=unknown_cost)  # type: ignore[arg-type]  # one of the words
    trip = Trip(budget, NAMELESS, pricing=ExpectedCostProducer(), endpoints=[NAMELESS])
    refusal = trip.go()
    assert (refusal is not None) is is_refused
    trip.end(1.0, Usage(1000, 1000))
    assert spent(budget) == (0.0, 0.0)
    causes = [finding.cause for finding in budget.diagnose([], 0.0).findings]
    assert causes == (["unknown-cost"] if is_refused else [])


def test_as_a_filter_it_keeps_what_the_budgets_allow() -> None:
    budget = CostBudget(pool_per_hour=400.0)
    trip = Trip(budget)
    assert check_filter(budget, trip.request, trip.state, [DEAR, CHEAP]) == [CHEAP]
    assert check_filter(budget, trip.request, trip.state, [DEAR]) == [DEAR], "to be refused with a word of when"
    assert check_filter(CostBudget(pool_per_hour=500.0), trip.request, trip.state, [DEAR, CHEAP]) == [DEAR, CHEAP]


def test_the_check_knows_what_goes_between_two_questions() -> None:
    budget = CostBudget(pool_per_hour=150.0)
    asking, other = Trip(budget), Trip(budget)
    check = asking.state.read(BUDGET_CHECK.of(""))
    assert (check.exceeded_by("default/cheap", 0.0), check.exceeded_by("default/dear", 0.0)) == ("", "pool")
    other.go()
    assert check.exceeded_by("default/cheap", 0.0) == "pool"


@pytest.mark.parametrize("text", ["abc", "-1", "NaN", "inf", ""])
def test_a_budget_that_is_no_number_is_a_bad_request(text: str) -> None:
    refusal = CostBudget().classify(request_of(headers={"x-turnout-cost-budget": text}), CycleState())
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.BAD_REQUEST


def test_a_good_budget_changes_nothing_of_the_request() -> None:
    assert CostBudget().classify(request_of(headers={"cost_budget": "1e308"}), CycleState()) == Classification()


def test_readings_stay_true_without_requests() -> None:
    budget = CostBudget(pool_per_hour=100.0)

    async def an_hour_later() -> None:
        spent_at = asyncio.get_running_loop().time() - 4000.0
        budget._pool.settle(0, 60 * UNITS, spent_at)
        budget._ledger.at(spent_at)
        assert left() == [40.0]
        task = asyncio.create_task(budget.run())
        await asyncio.sleep(0)
        task.cancel()

    def left() -> list[float]:
        readings = (reading for reading in budget.readings() if isinstance(reading, GaugeReading))
        return [reading.value for reading in readings if reading.name == "cost_budget_remaining"]

    asyncio.run(an_hour_later())
    assert left() == [100.0]


def test_tenants_that_share_a_budget_are_told() -> None:
    budget = CostBudget(tenant_per_hour=100.0, max_tenants=1)
    for tenant in "ab":
        assert Trip(budget, tenant=tenant).go() is None
    assert Trip(budget, tenant="c").go() is not None, "b and c share one budget"
    assert [finding.cause for finding in budget.diagnose([], 0.0).findings] == ["shared-budget"]


def test_responses_are_read_only_if_asked_for() -> None:
    assert (CostBudget().needs_response_body, CostBudget(read_usage=True).needs_response_body) == (False, True)


def test_the_plugin_s_name_is_its_key() -> None:
    assert CostBudget(name=PluginName("mine")).writes == (BUDGET_CHECK.of("mine"),)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"pool_per_hour": -1.0}, "pool_per_hour must be at least 0 and finite, got -1", id="negative"),
        pytest.param({"tenant_per_hour": math.nan}, "tenant_per_hour must be at least 0", id="NaN"),
        pytest.param({"tenants_per_hour": {"a": math.inf}}, "tenants_per_hour of 'a' must be", id="infinite"),
        pytest.param({"per_request": -0.1}, "per_request must be at least 0", id="a request's"),
        pytest.param({"max_tenants": 0}, "max_tenants must be from 1 to 100000, got 0", id="no tenants"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CostBudget(**parameters)  # type: ignore[arg-type]  # parameters by name


# --- the bound, in every interleaving ---------------------------------------------------------------------

CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: expected-cost-producer
- type: cost-scorer
- type: cost-budget
  parameters: {{poolPerHour: 300, tenantPerHour: 200, maxTenants: 1, reserve: {reserve}}}
schedulingProfiles:
- name: default
  plugins: [{{pluginRef: cost-budget}}, {{pluginRef: cost-scorer, weight: {weight}}}]
"""
LIMIT, TENANT_LIMIT = 300.0, 200.0


@dataclass
class Hour:
    """Requests in any order of dispatch, end and reload, and what they cost by a count that is none of the plugin's."""

    reserve: str
    now: float = 0.0
    weight: int = 1
    running: list[Trip] = field(default_factory=list)
    # Of each end: when, by whom, the cost, and what it had reserved.
    ends: list[tuple[float, str, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline: Pipeline | None = None
        self.reload()

    @property
    def budget(self) -> CostBudget:
        assert self.pipeline is not None
        plugin = self.pipeline.plugins["cost-budget"]
        assert isinstance(plugin, CostBudget)
        return plugin

    def reload(self) -> None:
        self.weight += 1
        text = CONFIG.format(reserve=self.reserve, weight=self.weight)
        self.pipeline = load_pipeline(text, previous=self.pipeline)

    def dispatch(self, tenant: str, prompt: int, *, dear: bool) -> None:
        trip = Trip(self.budget, DEAR if dear else CHEAP, prompt=prompt, now=self.now, tenant=tenant)
        if trip.go() is None:
            self.running.append(trip)

    def end(self, place: int, answer: int, *, told: bool, status: int) -> None:
        if not self.running:
            return
        trip = self.running.pop(place % len(self.running))
        prompt = self.prompt(trip)
        usage = Usage(prompt, answer) if told else None
        trip.end(self.now, usage, status=status)
        cost = self.price(trip) * (prompt + 2 * answer) if told else self.expected(trip)
        if not told and status >= 400:
            cost = 0.0
        self.ends.append((self.now, trip.request.fairness_id, cost, self.reserved(trip)))

    def prompt(self, trip: Trip) -> int:
        return trip.state.read(PROMPT).tokens

    def price(self, trip: Trip) -> float:
        return 5.0 if trip.endpoint is DEAR else 1.0

    def expected(self, trip: Trip) -> float:
        return self.price(trip) * (self.prompt(trip) + 2 * 10)

    def reserved(self, trip: Trip) -> float:
        answer = 20 if self.reserve == "most" else 10
        return self.price(trip) * (self.prompt(trip) + 2 * answer)

    def check(self) -> None:
        """No budget is exceeded by more than what the ends of the hour cost more than they had reserved."""
        recent = [end for end in self.ends if end[0] > self.now - 3600.0]
        # What counts a little longer than an hour may only have overrun, too.
        counted = [end for end in self.ends if end[0] > self.now - 3660.0]
        over = sum(max(0.0, cost - reserved) for _, _, cost, reserved in counted)
        total = sum(cost for _, _, cost, _ in recent) + sum(map(self.reserved, self.running))
        assert total <= LIMIT + over
        if self.reserve == "most":
            assert over == 0.0
            assert total <= LIMIT
        for tenant in "abcd":
            own = sum(cost for _, of, cost, _ in recent if of == tenant)
            own += sum(self.reserved(trip) for trip in self.running if trip.request.fairness_id == tenant)
            own_over = sum(max(0.0, cost - reserved) for _, of, cost, reserved in counted if of == tenant)
            # Those who share a budget may also exceed it by each other's overruns, but never by more than their own.
            assert own <= TENANT_LIMIT + own_over


def step(hour: Hour, random: Random) -> None:
    """Something that happens. Costs are 20 to 120 or five times as much, so that a few of them fill a budget."""
    match random.choice(["dispatch", "dispatch", "dispatch", "end", "end", "wait"]):
        case "dispatch":
            hour.dispatch(random.choice("abcd"), random.choice([0, 30, 80]), dear=random.random() < 0.5)
        case "end":
            told, status = random.random() < 0.5, random.choice([200, 200, 503])
            hour.end(random.randrange(50), random.choice([0, 5, 20]), told=told, status=status)
        case _:
            hour.now += random.choice([20.0, 40.0, 1800.0, 3540.0])


# By a seed and not by a list of steps: generated lists are short and repeat themselves, and budgets would stay empty.
@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["expected", "most"]), st.integers(0, 2**32))
def test_no_budget_is_exceeded_by_more_than_what_estimates_missed(reserve: str, seed: int) -> None:
    hour, random = Hour(reserve), Random(seed)
    for number in range(60):
        step(hour, random)
        hour.check()
        if number == 30:
            before = hour.budget
            hour.reload()
            assert hour.budget is before, "a change of a weight costs no ledger"
            hour.check()
    for _ in list(hour.running):
        hour.end(0, 0, told=True, status=200)
    assert spent(hour.budget)[1] == 0.0
