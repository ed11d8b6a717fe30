from collections.abc import Collection, Mapping, Sequence

import pytest

from framework.fakes import Keep, Score, all_at_once, profile
from turnout.framework import (
    CycleState,
    DecisionRecord,
    FilterRecord,
    InferenceRequest,
    NoEndpointsError,
    PluginError,
    ProfileOutcome,
    ProfileRecord,
    ProfileResult,
    Scheduler,
    SchedulingResult,
    ScorerRecord,
    recording,
)
from turnout.framework.testing import make_endpoint, make_request, make_state

POOL = tuple(make_endpoint(name) for name in "abc")

DECODE = ProfileRecord(
    profile="decode",
    candidates=("default/a", "default/b", "default/c"),
    filters=[FilterRecord("decode-filter-0", kept=("default/b", "default/c"), dropped=("default/a",))],
    scorers=[
        ScorerRecord("decode-scorer-0", 2.0, {"default/b": 0.5, "default/c": 0.25}),
        ScorerRecord("decode-scorer-1", 1.0, {"default/b": 0.0, "default/c": 1.0}),
    ],
    totals={"default/b": 1.0, "default/c": 1.5},
    picker="decode-picker",
    picked=("default/c",),
)

SCHEDULER = Scheduler(
    [
        profile("decode", Keep("bc"), scorers=[(Score([0.5, 0.25]), 2.0), (Score([0.0, 1.0]), 1.0)]),
        profile("prefill", Keep("abc"), Keep("")),
    ],
    all_at_once("decode", "prefill"),
)


def test_a_record_tells_what_every_plugin_did() -> None:
    record = DecisionRecord()
    recording(SCHEDULER, record).schedule(make_request("r7"), make_state(), POOL, now=1.0)
    assert record.request_id == "r7"
    assert record.profiles == [
        DECODE,
        ProfileRecord(
            profile="prefill",
            candidates=("default/a", "default/b", "default/c"),
            filters=[
                FilterRecord("prefill-filter-0", kept=("default/a", "default/b", "default/c"), dropped=()),
                FilterRecord("prefill-filter-1", kept=(), dropped=("default/a", "default/b", "default/c")),
            ],
        ),
    ]


class Reasoning:
    """Gives the one profile's result another model, and says why."""

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        return () if results else ("decode",)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        found = {name: result for name, result in results.items() if isinstance(result, ProfileResult)}
        return SchedulingResult("decode", found, "small", ("too dear", "smaller model"))


def test_a_record_has_the_handler_s_reasons_and_the_model_that_it_chose() -> None:
    scheduler = Scheduler([profile("decode", Keep("bc"))], Reasoning())
    record = DecisionRecord()
    explained = recording(scheduler, record).schedule(make_request(), make_state(), POOL, now=1.0)
    assert (record.target_model, record.reasons) == ("small", ("too dear", "smaller model"))
    assert explained == scheduler.schedule(make_request(), make_state(), POOL, now=1.0)


def test_an_explained_decision_is_the_same_decision() -> None:
    plain = SCHEDULER.schedule(make_request(), make_state(), POOL, now=1.0)
    explained = recording(SCHEDULER, DecisionRecord()).schedule(make_request(), make_state(), POOL, now=1.0)
    assert explained == plain


def test_a_refusal_is_explained_and_names_the_same_filter() -> None:
    scheduler = Scheduler([profile("only", Keep("ab"), Keep("c"))], all_at_once("only"))
    record = DecisionRecord()
    with pytest.raises(NoEndpointsError) as raised:
        recording(scheduler, record).schedule(make_request(), make_state(), POOL, now=1.0)
    assert (raised.value.profile, raised.value.filter) == ("only", "only-filter-1")
    assert [entry.kept for entry in record.profiles[0].filters] == [("default/a", "default/b"), ()]


def test_a_broken_scorer_is_explained_and_named_as_without_a_record() -> None:
    scheduler = Scheduler([profile("only", scorers=[(Score([0.5]), 1.0)])], all_at_once("only"))
    record = DecisionRecord()
    with pytest.raises(PluginError) as raised:
        recording(scheduler, record).schedule(make_request(), make_state(), POOL, now=1.0)
    assert raised.value.problem == "it returned 1 scores for 3 endpoints"
    assert record.profiles[0].scorers == [ScorerRecord("only-scorer-0", 1.0, {"default/a": 0.5})]
