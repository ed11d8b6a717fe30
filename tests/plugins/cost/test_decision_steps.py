from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from turnout.framework import (
    CycleState,
    InferenceRequest,
    NoEndpointsError,
    ProfileOutcome,
    ProfileResult,
    ScoredEndpoint,
)
from turnout.framework.testing import make_endpoint, make_request
from turnout.plugins.cost.decision_steps import NextProfileError, Situation, Step, Tree, Walk
from turnout.plugins.latency.keys import LatencyPrediction, SloTargets

TREE = Tree(
    Step("keep"),
    cheaper=(Step("spot"), Step("small", "s")),
    faster=(Step("demand"), Step("large", "l")),
    over_budget=(Step("small", "s"), Step("tiny", "t")),
)
COSTS = {"default/keep": 5.0, "default/spot": 2.0, "default/small": 1.0, "default/demand": 9.0, "default/large": 20.0}
MEETS, LIKELY, MISSES = LatencyPrediction(0.1, 0.01), LatencyPrediction(1.0, 0.01, 0.5), LatencyPrediction(9.0, 0.01)
IN_A_SECOND = replace(make_request(), ttft_target=1.0)


@dataclass(frozen=True)
class Allowing:
    """A budget that allows some endpoints."""

    names: tuple[str, ...]

    def exceeded_by(self, endpoint_name: str, now: float) -> str:
        return "" if endpoint_name.removeprefix("default/") in self.names else "pool"


def ran(profile: str, *, empty: bool = False) -> ProfileOutcome:
    if empty:
        return NoEndpointsError(profile, "selector")
    endpoint = make_endpoint(profile)
    return ProfileResult(profile, (endpoint,), (ScoredEndpoint(endpoint, 1.0),))


def walk(
    request: InferenceRequest = IN_A_SECOND,
    tree: Tree = TREE,
    *,
    costs: Mapping[str, float] = COSTS,
    empty: tuple[str, ...] = (),
    allowed: tuple[str, ...] | None = None,
    can_rewrite: bool = True,
    **predicted: LatencyPrediction,
) -> tuple[str, str, list[str], list[str]]:
    """Profile, cause, reasons and the profiles that had to run."""
    results: dict[str, ProfileOutcome] = {}
    predictions = {f"default/{name}": prediction for name, prediction in predicted.items()}
    budget = None if allowed is None else Allowing(allowed)
    situation = Situation(
        request,
        CycleState(),
        costs,
        predictions,
        SloTargets(request.ttft_target, request.tpot_target),
        budget,
        can_rewrite,
    )
    while True:
        going = Walk(tree, situation, results)
        try:
            choice = going.choose()
        except NextProfileError as missing:
            results[missing.profile] = ran(missing.profile, empty=missing.profile in empty)
        else:
            return choice.step.profile, choice.cause, going.reasons, list(results)


def test_an_slo_that_is_met_is_tried_more_cheaply() -> None:
    profile, cause, reasons, profiles = walk(keep=MEETS, spot=MEETS)
    assert (profile, cause, profiles) == ("spot", "cost", ["keep", "spot"])
    assert reasons == [
        "keep at default/keep: SLO met (probability 1.00)",
        "spot at default/spot: taken, SLO met (probability 1.00) and cheaper (2 for 5)",
    ]


def test_a_cheaper_step_that_puts_the_slo_at_risk_is_left_for_the_next() -> None:
    profile, _, reasons, profiles = walk(keep=MEETS, spot=LIKELY, small=MEETS)
    assert (profile, profiles) == ("small", ["keep", "spot", "small"])
    assert reasons[1:] == [
        "spot at default/spot: not taken, SLO at risk (probability 0.50)",
        "small with s at default/small: taken, SLO met (probability 1.00) and cheaper (1 for 5)",
    ]


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        pytest.param({"spot": MISSES, "small": MISSES}, "not taken, SLO at risk (probability 0.00)", id="too slow"),
        pytest.param({}, "not taken, SLO not known (no prediction)", id="nothing predicted"),
    ],
)
def test_without_a_cheaper_one_that_meets_it_the_pick_is_kept(
    others: dict[str, LatencyPrediction], reason: str
) -> None:
    profile, _, reasons, _ = walk(keep=MEETS, **others)  # type: ignore[arg-type]  # predictions by name
    assert profile == "keep"
    assert reasons[1:] == [
        f"spot at default/spot: {reason}",
        f"small with s at default/small: {reason}",
        "keep at default/keep: kept",
    ]


def test_a_step_that_is_not_cheaper_is_not_taken() -> None:
    costs = {**COSTS, "default/spot": 5.0, "default/small": 6.0}
    profile, _, reasons, _ = walk(costs=costs, keep=MEETS, spot=MEETS, small=MEETS)
    assert profile == "keep"
    assert reasons[1] == "spot at default/spot: not taken, not cheaper (5 for 5)"


def test_where_costs_are_not_known_the_order_of_the_configuration_is_believed() -> None:
    profile, _, reasons, _ = walk(costs={}, keep=MEETS, spot=MEETS)
    assert profile == "spot"
    assert reasons[1].endswith("cheaper (costs not known)")


def test_a_request_without_targets_meets_them() -> None:
    profile, _, reasons, _ = walk(make_request())
    assert profile == "spot"
    assert reasons[0] == "keep at default/keep: SLO met (no target)"


def test_an_slo_at_risk_is_tried_faster() -> None:
    profile, cause, reasons, profiles = walk(keep=MISSES, demand=LIKELY, large=MEETS)
    assert (profile, cause, profiles) == ("large", "slo", ["keep", "demand", "large"])
    assert reasons == [
        "keep at default/keep: SLO at risk (probability 0.00)",
        "demand at default/demand: SLO at risk (probability 0.50)",
        "large with l at default/large: SLO met (probability 1.00)",
    ]


def test_where_nothing_meets_it_the_most_likely_is_taken() -> None:
    profile, _, reasons, _ = walk(keep=MISSES, demand=LIKELY, large=MISSES)
    assert profile == "demand"
    assert reasons[-1] == "demand at default/demand: kept"
    assert walk(keep=LIKELY, demand=MISSES, large=LIKELY)[0] == "keep", "a tie changes nothing"


def test_without_a_prediction_the_pick_is_kept() -> None:
    profile, _, reasons, profiles = walk()
    assert (profile, profiles) == ("keep", ["keep"])
    assert reasons == ["keep at default/keep: SLO not known (no prediction)"]


@pytest.mark.parametrize(("least", "profile"), [(0.5, "spot"), (0.51, "keep")])
def test_how_likely_it_has_to_be_is_a_parameter(least: float, profile: str) -> None:
    tree = replace(TREE, least_probability=least, faster=())
    assert walk(tree=tree, keep=LIKELY, spot=LIKELY)[0] == profile


def test_where_the_start_has_no_endpoint_the_first_faster_one_with_one_is_taken() -> None:
    profile, cause, reasons, _ = walk(empty=("keep", "demand"))
    assert (profile, cause) == ("large", "slo")
    assert reasons == [
        "keep: no endpoint left",
        "demand: no endpoint left",
        "large with l at default/large: taken, the first with an endpoint",
    ]


def test_where_nothing_has_an_endpoint_the_start_says_why() -> None:
    with pytest.raises(NoEndpointsError, match="profile 'keep' has no endpoints: filter 'selector'"):
        walk(empty=("keep", "demand", "large"))


def test_what_a_budget_does_not_allow_is_given_up_for_what_it_does() -> None:
    profile, cause, reasons, _ = walk(allowed=("tiny",), keep=MEETS, spot=MEETS, small=MEETS)
    assert (profile, cause) == ("tiny", "budget")
    assert reasons[-3:] == [
        "keep at default/keep: over budget (pool)",
        "small with s at default/small: not taken, over budget (pool)",
        "tiny with t at default/tiny: taken, within budget",
    ]


def test_a_step_over_budget_is_not_taken_for_cost_or_speed() -> None:
    assert walk(allowed=("keep", "large"), keep=MISSES, demand=MEETS, large=MEETS)[0] == "large"
    assert walk(allowed=("keep", "small"), keep=MEETS, spot=MEETS, small=MEETS)[0] == "small"


def test_where_a_budget_allows_nothing_the_pick_is_kept_to_be_refused() -> None:
    profile, _, reasons, _ = walk(allowed=(), keep=MEETS)
    assert profile == "keep"
    assert reasons[-1] == "keep at default/keep: kept"


def test_a_body_that_cannot_be_rewritten_has_no_other_model() -> None:
    profile, _, reasons, profiles = walk(can_rewrite=False, allowed=("small", "tiny"), keep=MEETS)
    assert (profile, profiles) == ("keep", ["keep", "spot"])
    assert "small: passed over, the body cannot be rewritten" in reasons


def test_a_step_may_be_for_some_models_only() -> None:
    tree = Tree(Step("keep"), over_budget=(Step("small", "s", ("other",)), Step("tiny", "t", ("m", "n"))))
    profile, _, reasons, _ = walk(make_request(model="m"), tree, allowed=("small", "tiny"))
    assert profile == "tiny"
    assert reasons[2] == "small: passed over, not for this model"


def test_a_step_with_the_model_that_is_asked_for_changes_none() -> None:
    assert Step("p", "m").target_model(make_request(model="m")) == ""
    assert Step("p", "s").target_model(make_request(model="m")) == "s"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        pytest.param({"profile": ""}, "profile and from_models must not be empty", id="no profile"),
        pytest.param({"profile": "a", "from_models": ("",)}, "must not be empty", id="an empty model"),
        pytest.param({"profile": "a", "model": "x\r\ny: z"}, "model must be printable ASCII", id="a line break"),
        pytest.param({"profile": "a", "model": " x"}, "model must be printable ASCII", id="space before it"),
        pytest.param({"profile": "a", "model": "größe"}, "model must be printable ASCII", id="more than ASCII"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(step: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Step(**step)  # type: ignore[arg-type]  # fields by name
