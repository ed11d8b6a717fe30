"""Decides between profiles by promise, price and budget."""

from collections.abc import Collection, Mapping, Sequence

from turnout.framework import (
    REQUEST_BODY,
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    InferenceRequest,
    PluginName,
    ProfileOutcome,
    Response,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.cost.decision_steps import NextProfileError, Situation, Step, Tree, Walk
from turnout.plugins.cost.keys import BUDGET_CHECK, EXPECTED_COSTS
from turnout.plugins.cost.scorer import NO_COSTS, NO_PREDICTIONS
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, targets_left

DEFAULT_NAME = PluginName("cost-decision-handler")
FALLBACK_HEADER = "x-turnout-model-fallback"


class CostDecisionHandler:
    """Runs ``start`` and, depending on its pick, other profiles, until one has what the request should get.

    1. If the pick meets what is left of the request's targets with at least ``least_probability``, the ``cheaper``
       steps are tried in order; the first whose pick meets them too, costs less and is within budget is taken. Without
       one, or without steps, the pick is kept. A request without targets meets them.
    2. If it does not, the ``faster`` steps are tried; the first whose pick meets them and is within budget is taken,
       and without one the most likely of all.
    3. If nothing is predicted of it, it is kept. If ``start`` has no endpoint, the first of ``faster`` with one is
       taken.
    4. What the budgets of ``cost_budget_name`` do not allow is given up for the first of the ``over_budget`` steps that
       they do; without one it is kept, for ``cost-budget`` to refuse.

    A step may name a model: the request is then rewritten to it, and its response has the header
    ``x-turnout-model-fallback: MODEL; reason=REASON`` with ``cost``, ``slo`` or ``budget``. No step does so by itself.
    The profile of such a step has to pick among endpoints that serve the model.

    Every decision has its steps in its reasons.

    Raises:
        ValueError: a step runs ``start`` again, or ``least_probability`` is not within (0, 1].
    """

    def __init__(
        self,
        start: str = "default",
        cheaper: Sequence[Step] = (),
        faster: Sequence[Step] = (),
        over_budget: Sequence[Step] = (),
        least_probability: float = 0.9,
        expected_cost_producer_name: str = "",
        predicted_latency_producer_name: str = "",
        cost_budget_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if not 0.0 < least_probability <= 1.0:
            raise ValueError(f"least_probability must be above 0 and at most 1, got {least_probability}")
        steps = (*cheaper, *faster, *over_budget)
        if any(step.profile == start for step in steps):
            raise ValueError(f"profile of a step must not be that of start, got {start!r}")
        self._tree = Tree(Step(start), tuple(cheaper), tuple(faster), tuple(over_budget), least_probability)
        self.profile_names = tuple(dict.fromkeys((start, *(step.profile for step in steps))))
        self._costs_key = EXPECTED_COSTS.of(expected_cost_producer_name)
        self._predictions_key = LATENCY_PREDICTIONS.of(predicted_latency_producer_name)
        self._targets_key = SLO_TARGETS.of(predicted_latency_producer_name)
        self._budget_key = BUDGET_CHECK.of(cost_budget_name)
        self._fallback_key = StateKey[str]("model-fallback", producer=name)
        self.optional_reads = (
            REQUEST_BODY,
            self._costs_key,
            self._predictions_key,
            self._targets_key,
            self._budget_key,
        )
        self._lacks_budget = False
        if any(step.model for step in steps):
            # Only then: the proxy has to send the heads of responses to whoever has this method.
            self.response_headers = self._tell_fallback

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        """The next profile whose result matters."""
        if not results:
            return (self._tree.start.profile,)
        try:
            self._walk(request, state, results).choose()
        except NextProfileError as missing:
            return (missing.profile,)
        return ()

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        """The decision with its reasons. Raises ``NoEndpointsError`` when no step has an endpoint."""
        walk = self._walk(request, state, results)
        self._lacks_budget = bool(self._tree.over_budget) and walk.situation.budget is None
        choice = walk.choose()
        model = choice.step.target_model(request)
        if model:
            state.write(self._fallback_key, f"{model}; reason={choice.cause}")
        # Of the profiles only the one that was chosen: what others picked is not asked for anything.
        return SchedulingResult(choice.step.profile, {choice.step.profile: choice.result}, model, tuple(walk.reasons))

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Steps that are never taken, for want of a budget."""
        if not self._lacks_budget:
            return Diagnosis()
        budget = self._budget_key.producer
        message = f"it has steps for what is over budget, and no {budget} says what is; add one, or remove the steps"
        return Diagnosis([Finding("no-budget", message)])

    def _tell_fallback(
        self, request: InferenceRequest, state: CycleState, response: Response
    ) -> Mapping[str, str] | None:
        told = state.get(self._fallback_key)
        return None if told is None else {FALLBACK_HEADER: told}

    def _walk(self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]) -> Walk:
        situation = Situation(
            request,
            state,
            state.get(self._costs_key, NO_COSTS).costs,
            state.get(self._predictions_key, NO_PREDICTIONS),
            targets_left(request, state, self._targets_key),
            state.get(self._budget_key),
            can_rewrite=bool(request.model) and REQUEST_BODY in state,
        )
        return Walk(self._tree, situation, results)
