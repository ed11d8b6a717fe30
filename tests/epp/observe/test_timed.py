from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count

import pytest

from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.timed import timed_scheduler
from turnout.framework import (
    CycleState,
    Endpoint,
    InferenceRequest,
    Named,
    PluginError,
    ProfileOutcome,
    ProfileResult,
    Scheduler,
    SchedulerProfile,
    SchedulingResult,
    ScoredEndpoint,
    Scores,
    WeightedScorer,
)
from turnout.framework.testing import make_endpoint, make_request


class Times:
    """Collects (extension point, type, name, seconds)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, float]] = []

    def plugin_timer(self, plugin: str, plugin_type: str, extension_point: str) -> Callable[[float], None]:
        return lambda seconds: self.seen.append((extension_point, plugin_type, plugin, seconds))


class KeepAll:
    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return endpoints


class LastIsBest:
    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return [position / len(endpoints) for position in range(len(endpoints))]


class Broken:
    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        raise RuntimeError("broken")


class Best:
    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return [max(scored, key=lambda candidate: candidate.score).endpoint]


class Single:
    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        return [] if results else ["default"]

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        outcome = results["default"]
        assert isinstance(outcome, ProfileResult)
        return SchedulingResult("default", {"default": outcome})


def scheduler(scorer: LastIsBest | Broken, *, optional: bool = False) -> Scheduler:
    weighted = WeightedScorer(Named(scorer, "last", optional), 2.0)
    profile = SchedulerProfile("default", Named(Best(), "best"), (Named(KeepAll(), "all"),), (weighted,))
    return Scheduler([profile], Named(Single(), "single"))


def ticking() -> Callable[[], float]:
    """A clock that is a second later each time it is read."""
    ticks = count()
    return lambda: float(next(ticks))


def test_every_call_of_a_plugin_is_measured_under_its_name_and_type() -> None:
    times = Times()
    types = {"last": "last-scorer", "best": "max-score-picker", "all": "keep-all-filter"}
    timed = timed_scheduler(scheduler(LastIsBest()), times, types, ticking())
    result = timed.schedule(make_request(), CycleState(), [make_endpoint("a"), make_endpoint("b")], 0.0)
    assert result.endpoint.name == "default/b"
    assert times.seen == [
        ("ProfilePicker", "single", "single", 1.0),
        ("Filter", "keep-all-filter", "all", 1.0),
        ("Scorer", "last-scorer", "last", 1.0),
        ("Picker", "max-score-picker", "best", 1.0),
        ("ProfilePicker", "single", "single", 1.0),
        ("ProcessProfilesResults", "single", "single", 1.0),
    ]


def test_a_timed_scheduler_keeps_names_weights_and_whether_a_plugin_is_optional() -> None:
    timed = timed_scheduler(scheduler(Broken(), optional=True), Times(), {}, ticking())
    (profile,) = timed.profiles
    (weighted,) = profile.scorers
    assert (weighted.weight, weighted.scorer.name, weighted.scorer.optional) == (2.0, "last", True)
    result = timed.schedule(make_request(), CycleState(), [make_endpoint("a")], 0.0)
    assert result.endpoint.name == "default/a"


def test_a_failed_call_is_measured_and_its_error_names_the_plugin() -> None:
    times = Times()
    timed = timed_scheduler(scheduler(Broken()), times, {}, ticking())
    with pytest.raises(PluginError, match="plugin 'last' failed as Scorer: RuntimeError: broken"):
        timed.schedule(make_request(), CycleState(), [make_endpoint("a")], 0.0)
    assert ("Scorer", "last", "last", 1.0) in times.seen


def test_the_times_arrive_in_the_metrics() -> None:
    metrics = Metrics()
    timed = timed_scheduler(scheduler(LastIsBest()), metrics, {"last": "last-scorer"}, ticking())
    timed.schedule(make_request(), CycleState(), [make_endpoint("a")], 0.0)
    labels = {"plugin_name": "last", "plugin_type": "last-scorer", "extension_point": "Scorer"}
    assert metrics.registry.get_sample_value("turnout_plugin_duration_seconds_sum", labels) == 1.0
