from collections.abc import Mapping
from dataclasses import replace

import pytest

from plugins.generated import response_of
from turnout.framework import (
    REQUEST_BODY,
    CycleState,
    DecisionRecord,
    InferenceRequest,
    Named,
    NoEndpointsError,
    Scheduler,
    SchedulerProfile,
    SchedulingResult,
    recording,
)
from turnout.framework.registry import interfaces_of
from turnout.framework.testing import check_signatures, make_endpoint, make_request
from turnout.plugins.cost.decision_handler import CostDecisionHandler
from turnout.plugins.cost.decision_steps import Step
from turnout.plugins.cost.keys import BUDGET_CHECK, EXPECTED_COSTS, ExpectedCosts
from turnout.plugins.labels import LabelSelectorFilter
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, LatencyPrediction, SloTargets
from turnout.plugins.pickers import MaxScorePicker

POOL = [make_endpoint(name, labels={"role": name}) for name in ("keep", "spot", "small")]
SPOT, SMALL = Step("spot"), Step("small", "s")


class Broke:
    """A budget that allows only the endpoint of the small model."""

    def exceeded_by(self, endpoint_name: str, now: float) -> str:
        return "" if endpoint_name == "default/small" else "tenant"


def profile(name: str) -> SchedulerProfile:
    selector = Named(LabelSelectorFilter({"role": name}), "selector")
    return SchedulerProfile(name, Named(MaxScorePicker()), (selector,))


def scheduler(handler: CostDecisionHandler) -> Scheduler:
    return Scheduler([profile("keep"), profile("spot"), profile("small")], Named(handler, "tree"))


def state_with(*, body: bool = True, costs: Mapping[str, float] | None = None) -> CycleState:
    state = CycleState()
    if body:
        state.write(REQUEST_BODY, b"{}")
    if costs is not None:
        named = {f"default/{name}": cost for name, cost in costs.items()}
        state.write(EXPECTED_COSTS.of(""), ExpectedCosts("USD", named))
    return state


def decide(
    handler: CostDecisionHandler, state: CycleState, request: InferenceRequest | None = None
) -> SchedulingResult:
    return scheduler(handler).schedule(request or make_request(), state, POOL, now=1.0)


def test_the_cheaper_profile_s_pick_is_the_decision_and_the_only_one_that_counts() -> None:
    handler = CostDecisionHandler("keep", cheaper=[SPOT])
    result = decide(handler, state_with(costs={"keep": 2.0, "spot": 1.0}))
    assert (result.primary, result.endpoint.name, list(result.profiles)) == ("spot", "default/spot", ["spot"])
    assert result.target_model == ""
    assert result.reasons == (
        "keep at default/keep: SLO met (no target)",
        "spot at default/spot: taken, SLO met (no target) and cheaper (1 for 2)",
    )


def test_the_reasons_are_in_an_explained_decision_with_all_profiles_that_ran() -> None:
    handler = CostDecisionHandler("keep", cheaper=[SPOT])
    record = DecisionRecord()
    state = state_with(costs={"keep": 1.0, "spot": 2.0})
    recording(scheduler(handler), record).schedule(make_request(), state, POOL, now=1.0)
    assert [ran.profile for ran in record.profiles] == ["keep", "spot"]
    assert record.reasons[-1] == "keep at default/keep: kept"


def test_over_budget_the_request_gets_the_smaller_model_and_the_client_is_told() -> None:
    handler = CostDecisionHandler("keep", over_budget=[SMALL])
    state = state_with()
    state.write(BUDGET_CHECK.of(""), Broke())
    result = decide(handler, state)
    assert (result.endpoint.name, result.target_model) == ("default/small", "s")
    told = handler.response_headers(make_request(), state, response_of(result.endpoint))
    assert told == {"x-turnout-model-fallback": "s; reason=budget"}


@pytest.mark.parametrize(
    ("handler", "request_", "reason"),
    [
        pytest.param(CostDecisionHandler("keep", cheaper=[SMALL]), make_request(), "cost", id="cheaper"),
        pytest.param(
            CostDecisionHandler("keep", faster=[SMALL]), replace(make_request(), ttft_target=1.0), "slo", id="faster"
        ),
    ],
)
def test_the_header_says_why(handler: CostDecisionHandler, request_: InferenceRequest, reason: str) -> None:
    state = state_with(costs={"keep": 2.0, "small": 1.0})
    predictions = {"default/keep": LatencyPrediction(9.0, 0.1), "default/small": LatencyPrediction(0.1, 0.01)}
    state.write(LATENCY_PREDICTIONS.of(""), predictions)
    result = decide(handler, state, request_)
    told = handler.response_headers(request_, state, response_of(result.endpoint))
    assert told == {"x-turnout-model-fallback": f"s; reason={reason}"}


def test_what_a_request_has_waited_is_taken_off_its_target() -> None:
    handler, request = CostDecisionHandler("keep", faster=[SMALL]), replace(make_request(), ttft_target=10.0)
    predictions = {"default/keep": LatencyPrediction(9.0, 0.1), "default/small": LatencyPrediction(0.1, 0.01)}
    for left, profile in ((SloTargets(10.0), "keep"), (SloTargets(8.0), "small")):
        state = state_with(costs={"keep": 2.0, "small": 1.0})
        state.write(LATENCY_PREDICTIONS.of(""), predictions)
        state.write(SLO_TARGETS.of(""), left)
        assert decide(handler, state, request).primary == profile


def test_steps_that_no_budget_can_lead_to_are_found() -> None:
    handler, without = CostDecisionHandler("keep", over_budget=[SMALL]), CostDecisionHandler("keep", cheaper=[SMALL])
    assert not handler.diagnose([], 0.0).findings, "nothing was decided yet"
    for each in (handler, without):
        decide(each, state_with(costs={"keep": 2.0, "small": 1.0}))
    assert [finding.cause for finding in handler.diagnose([], 0.0).findings] == ["no-budget"]
    assert not without.diagnose([], 0.0).findings
    state = state_with()
    state.write(BUDGET_CHECK.of(""), Broke())
    decide(handler, state)
    assert not handler.diagnose([], 0.0).findings


def test_a_request_that_keeps_its_model_has_no_header() -> None:
    handler = CostDecisionHandler("keep", over_budget=[SMALL])
    state = state_with()
    result = decide(handler, state)
    assert (result.endpoint.name, result.target_model) == ("default/keep", "")
    assert handler.response_headers(make_request(), state, response_of(result.endpoint)) is None


@pytest.mark.parametrize(
    ("state", "request_"),
    [
        pytest.param(state_with(body=False), make_request(), id="a body that was cut short"),
        pytest.param(state_with(), make_request(model=""), id="a request without a model"),
    ],
)
def test_what_cannot_be_rewritten_keeps_its_model(state: CycleState, request_: InferenceRequest) -> None:
    state.write(BUDGET_CHECK.of(""), Broke())
    result = decide(CostDecisionHandler("keep", over_budget=[SMALL]), state, request_)
    assert (result.endpoint.name, result.target_model) == ("default/keep", "")


def test_heads_of_responses_are_asked_for_only_if_a_step_has_a_model() -> None:
    names = [
        [interface.__name__ for interface in interfaces_of(handler)]
        for handler in (CostDecisionHandler("keep", cheaper=[SPOT]), CostDecisionHandler("keep", cheaper=[SMALL]))
    ]
    asked = [[each for each in found if each.startswith("Response")] for found in names]
    assert asked == [[], ["ResponseHeaders"]]
    check_signatures(CostDecisionHandler("keep", cheaper=[SMALL]))


def test_without_steps_it_runs_one_profile() -> None:
    assert decide(CostDecisionHandler("keep"), state_with()).endpoint.name == "default/keep"


def test_a_start_without_endpoints_and_nothing_beside_it_is_told() -> None:
    state = state_with()
    with pytest.raises(NoEndpointsError, match="profile 'keep' has no endpoints"):
        scheduler(CostDecisionHandler("keep", cheaper=[SPOT])).schedule(make_request(), state, POOL[1:], now=0.0)


def test_it_says_which_profiles_it_runs() -> None:
    handler = CostDecisionHandler("keep", cheaper=[SPOT, SMALL], over_budget=[SMALL])
    assert handler.profile_names == ("keep", "spot", "small")


@pytest.mark.parametrize("probability", [0.0, 1.01, float("nan")])
def test_a_probability_out_of_range_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="least_probability must be above 0 and at most 1"):
        CostDecisionHandler(least_probability=probability)


def test_a_step_must_not_run_the_start_again() -> None:
    with pytest.raises(ValueError, match="profile of a step must not be that of start, got 'default'"):
        CostDecisionHandler(over_budget=[Step("default", "s")])
