from collections.abc import Sequence
from typing import cast

import pytest

from framework.fakes import Best, Keep, Raising, RaisingPicker, Score, profile
from turnout.framework import (
    CycleState,
    Endpoint,
    ExtensionPoint,
    Filter,
    InferenceRequest,
    Named,
    NoEndpointsError,
    Picker,
    PluginError,
    ProfileResult,
    SchedulerProfile,
    ScoredEndpoint,
    Scorer,
    Scores,
    WeightedScorer,
    plugin_boundary,
)
from turnout.framework.testing import make_endpoint, make_request, make_state

A, B, C = (make_endpoint(name) for name in "abc")
POOL = (A, B, C)


def run(tested: SchedulerProfile, endpoints: Sequence[Endpoint] = POOL) -> ProfileResult:
    return tested.run(make_request(), make_state(), endpoints)


def test_filters_narrow_in_order_and_weighted_scores_add_up() -> None:
    result = run(profile("p", Keep("abc"), Keep("bc"), scorers=[(Score([0.5, 1.0]), 2.0), (Score([1.0, 0.0]), 0.5)]))
    assert result.scored == (ScoredEndpoint(B, 1.5), ScoredEndpoint(C, 2.0))
    assert (result.profile, result.picked) == ("p", (C,))


def test_without_filters_and_scorers_the_picker_sees_all_at_zero() -> None:
    result = run(profile("p"))
    assert result.scored == (ScoredEndpoint(A, 0.0), ScoredEndpoint(B, 0.0), ScoredEndpoint(C, 0.0))


def test_a_weight_may_be_negative() -> None:
    assert run(profile("p", scorers=[(Score([1.0, 0.5, 1.0]), -1.0)])).picked == (B,)


@pytest.mark.parametrize(
    ("filters", "endpoints", "culprit"),
    [
        pytest.param([Keep("ab"), Keep("c"), Keep("abc")], POOL, "p-filter-1", id="the filter that removed the last"),
        pytest.param([Keep("ab")], (), "", id="no candidates"),
    ],
)
def test_nothing_left_names_profile_and_filter(
    filters: list[Filter], endpoints: Sequence[Endpoint], culprit: str
) -> None:
    with pytest.raises(NoEndpointsError) as raised:
        run(profile("p", *filters), endpoints)
    assert (raised.value.profile, raised.value.filter) == ("p", culprit)


class ForgetsToReturn:
    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return cast("Sequence[Endpoint]", None)


def wrong_scores(*scores: object) -> Scorer:
    return Score(cast("Scores", scores))


@pytest.mark.parametrize(
    ("scorer", "problem"),
    [
        pytest.param(Score([0.5, 1.1, 0.0]), "it scored default/b 1.1; a score is within [0, 1]", id="above one"),
        pytest.param(Score([0.5, 0.0, -0.1]), "it scored default/c -0.1; a score is within [0, 1]", id="below zero"),
        pytest.param(
            Score([float("nan"), 0.0, 0.0]), "it scored default/a nan; a score is within [0, 1]", id="not a number"
        ),
        pytest.param(
            Score([0.0, 0.0, float("inf")]), "it scored default/c inf; a score is within [0, 1]", id="infinite"
        ),
        pytest.param(Score([0.5, 0.5]), "it returned 2 scores for 3 endpoints", id="too few"),
        pytest.param(Score([0.5] * 4), "it returned 4 scores for 3 endpoints", id="too many"),
        pytest.param(Raising(KeyError("x")), "KeyError: 'x'", id="raises"),
        pytest.param(
            wrong_scores(0.1, None, 0.2),
            "TypeError: '<=' not supported between instances of 'float' and 'NoneType'",
            id="no score",
        ),
        pytest.param(
            Score(cast("Scores", None)), "TypeError: object of type 'NoneType' has no len()", id="forgot to return"
        ),
    ],
)
def test_a_scorer_that_breaks_its_contract_is_named(scorer: Scorer, problem: str) -> None:
    tested = profile("p", scorers=[(Score([0.1, 0.1, 0.1]), 1.0), (scorer, 1.0)])
    with pytest.raises(PluginError) as raised:
        run(tested)
    error = raised.value
    assert (error.plugin, error.extension_point, error.problem) == ("p-scorer-1", ExtensionPoint.SCORER, problem)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        pytest.param(Raising(OSError("disk")), "OSError: disk", id="raises"),
        pytest.param(ForgetsToReturn(), "TypeError: object of type 'NoneType' has no len()", id="forgot to return"),
    ],
)
def test_a_filter_that_breaks_its_contract_is_named_and_is_no_refusal(broken: Filter, problem: str) -> None:
    with pytest.raises(PluginError) as raised:
        run(profile("p", Keep("ab"), broken))
    error = raised.value
    assert (error.plugin, error.extension_point, error.problem) == ("p-filter-1", ExtensionPoint.FILTER, problem)


def test_what_a_plugin_raised_is_kept_as_the_cause() -> None:
    cause = OSError("disk")
    with pytest.raises(PluginError) as raised:
        run(profile("p", Raising(cause)))
    assert raised.value.__cause__ is cause


class PicksNothing:
    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return []


@pytest.mark.parametrize(
    ("picker", "problem"),
    [
        pytest.param(PicksNothing(), "it picked no endpoint", id="picks nothing"),
        pytest.param(RaisingPicker(ValueError("x")), "ValueError: x", id="raises"),
    ],
)
def test_a_picker_that_breaks_its_contract_is_named(picker: Picker, problem: str) -> None:
    with pytest.raises(PluginError) as raised:
        run(SchedulerProfile("p", Named(picker, "chooser")))
    error = raised.value
    assert (error.plugin, error.extension_point, error.problem) == ("chooser", ExtensionPoint.PICKER, problem)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(Raising(OSError("disk")), id="raises"),
        pytest.param(Score([2.0, 0.0, 0.0]), id="scores out of range"),
        pytest.param(Score([1.0]), id="scores too few"),
    ],
)
def test_an_optional_scorer_that_fails_contributes_nothing(broken: Scorer) -> None:
    scorers = (
        WeightedScorer(Named(Score([0.1, 0.2, 0.1]))),
        WeightedScorer(Named(broken, optional=True)),
    )
    assert run(SchedulerProfile("p", Named(Best()), (), scorers)).picked == (B,)


@pytest.mark.parametrize("broken", [Raising(OSError("disk")), ForgetsToReturn()], ids=["raises", "returns nothing"])
def test_an_optional_filter_that_fails_removes_nothing(broken: Filter) -> None:
    result = run(SchedulerProfile("p", Named(Best()), (Named(Keep("ab")), Named(broken, optional=True))))
    assert [candidate.endpoint for candidate in result.scored] == [A, B]


def test_an_optional_filter_that_removes_the_last_candidate_is_a_refusal_all_the_same() -> None:
    with pytest.raises(NoEndpointsError):
        run(SchedulerProfile("p", Named(Best()), (Named(Keep(""), optional=True),)))


def test_a_plugin_without_a_name_has_its_class_s() -> None:
    assert Named(Best()).name == "Best"
    assert Named(Best(), "mine").name == "mine"


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(NoEndpointsError("p", "f"), id="a refusal"),
        pytest.param(PluginError("inner", ExtensionPoint.FILTER, "x"), id="an error that names its plugin"),
        pytest.param(KeyboardInterrupt(), id="an interrupt"),
    ],
)
def test_what_is_no_failure_of_the_plugin_passes_the_boundary(outcome: BaseException) -> None:
    with pytest.raises(type(outcome)) as raised, plugin_boundary("outer", ExtensionPoint.SCORER):
        raise outcome
    assert raised.value is outcome
