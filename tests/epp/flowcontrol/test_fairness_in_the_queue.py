"""Fairness policies in the real queue: their bounds hold whatever else comes, leaves or is moved."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from epp.flowcontrol.fakes import policies_of, request, settings
from turnout.epp.flowcontrol.controller import FlowController
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.turns import LaneView, next_turn
from turnout.framework import PROMPT, CycleState, PluginError, Prompt, QueuedRequest
from turnout.framework.testing import make_endpoint
from turnout.plugins.fairness.round_robin import RoundRobinFairnessPolicy
from turnout.plugins.token_fairness.token_fairness import TokenFairnessPolicy

POOL = (make_endpoint("a"),)
WEIGHTS = {"f": 1.0, "g": 3.0}
LONGEST = 1000
# One output token at the weight of two, whatever the prompt.
OUTPUT = 2.0

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("dispatch")),
        st.tuples(st.just("arrive"), st.sampled_from("fgh"), st.integers(1, LONGEST)),
        st.tuples(st.just("abort"), st.integers(0, 99)),
        st.tuples(st.just("reload")),
    ),
    min_size=10,
    max_size=120,
)


class Tenants:
    """A queue in which ``f`` and ``g`` always have requests waiting."""

    def __init__(self, fairness: Any) -> None:
        self.failures: list[PluginError] = []
        self._made = settings(fairness=fairness)
        limits, policies = policies_of(self._made, self.failures.append)
        self.core = FlowController(limits, policies)
        self.now = 0.0
        self.served: list[tuple[str, float]] = []

    def arrive(self, tenant: str, tokens: int) -> None:
        self.now += 0.01
        state = CycleState(self.now)
        state.write(PROMPT, Prompt(tokens=tokens))
        sent = replace(request("r", flow=tenant), max_output_tokens=1)
        self.core.add(QueuedRequest(sent, self.now, state=state), "all", self.now, pool_empty=False)

    def keep_waiting(self) -> None:
        """Two requests of each at least, so that no abort empties a flow."""
        for tenant in WEIGHTS:
            while sum(entry.waiting.request.fairness_id == tenant for entry in self.core) < 3:
                self.arrive(tenant, LONGEST)

    def dispatch(self) -> None:
        self.now += 0.01
        views = [(lane, LaneView(POOL, 0.0)) for lane in self.core.lanes]
        turn = next_turn(views, self.core.policies, self.now)
        assert isinstance(turn, Entry)
        item = self.core.dispatch(turn, self.now)
        self.served.append((item.request.fairness_id, item.state.get(PROMPT, Prompt()).tokens + OUTPUT))

    def abort(self, number: int) -> None:
        entries = sorted(self.core, key=lambda entry: entry.sequence)
        self.core.withdraw(entries[number % len(entries)], self.now)

    def reload(self) -> None:
        limits, policies = policies_of(self._made, self.failures.append)
        self.core.rebuild(limits, policies, lambda entry: entry.lane, self.now)

    def play(self, steps: list[tuple[Any, ...]]) -> None:
        for step, *values in steps:
            self.keep_waiting()
            getattr(self, step)(*values)
        assert self.failures == []


@hypothesis_settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_of_two_backlogged_tenants_none_gets_more_than_the_bound_of_start_time_fair_queueing(
    steps: list[tuple[Any, ...]],
) -> None:
    """|W_f/w_f - W_g/w_g| <= l_f/w_f + l_g/w_g in every interval (Goyal, Vin, Cheng: SIGCOMM 1996, theorem 1)."""
    tenants = Tenants(TokenFairnessPolicy(weights=WEIGHTS, default_weight=2.0))
    tenants.play(steps)
    ahead, least, most = 0.0, 0.0, 0.0
    for tenant, cost in tenants.served:
        if tenant in WEIGHTS:
            ahead += cost / WEIGHTS[tenant] * (1 if tenant == "f" else -1)
            least, most = min(least, ahead), max(most, ahead)
    assert most - least <= sum((LONGEST + OUTPUT) / weight for weight in WEIGHTS.values()) + 1e-6


@hypothesis_settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_in_turns_two_backlogged_flows_are_never_more_than_a_request_apart(steps: list[tuple[Any, ...]]) -> None:
    tenants = Tenants(RoundRobinFairnessPolicy())
    tenants.play(steps)
    turns = [tenant for tenant, _ in tenants.served if tenant in WEIGHTS]
    assert all(one != other for one, other in itertools.pairwise(turns))


def test_weights_hold_over_a_long_time() -> None:
    tenants = Tenants(TokenFairnessPolicy(weights=WEIGHTS))
    tenants.play([("dispatch",)] * 2_000)
    got = {name: sum(cost for tenant, cost in tenants.served if tenant == name) for name in WEIGHTS}
    assert got["g"] / got["f"] == pytest.approx(3.0, rel=0.01)
