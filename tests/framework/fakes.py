"""Small plugins for tests of the framework."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from turnout.framework import (
    CycleState,
    Endpoint,
    Filter,
    InferenceRequest,
    Named,
    NoEndpointsError,
    ProfileOutcome,
    SchedulerProfile,
    SchedulingResult,
    ScoredEndpoint,
    Scorer,
    Scores,
    WeightedScorer,
)


@dataclass(frozen=True)
class Keep:
    """Keeps the endpoints with these names."""

    names: Collection[str]

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if endpoint.name.removeprefix("default/") in self.names]


@dataclass(frozen=True)
class Score:
    """Gives these scores, whatever the endpoints."""

    scores: Scores

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return self.scores


@dataclass(frozen=True)
class Best:
    """Picks the highest score, the first of equals."""

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return [max(scored, key=lambda candidate: candidate.score).endpoint]


@dataclass(frozen=True)
class Raising:
    """Raises in every method."""

    error: Exception

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        raise self.error

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        raise self.error


@dataclass(frozen=True)
class RaisingPicker:
    """Raises."""

    error: Exception

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        raise self.error


Choose = Callable[[Mapping[str, ProfileOutcome]], Sequence[str]]


@dataclass(frozen=True)
class Handler:
    """Runs what ``choose`` says, seeing the results so far; the profile ``primary`` decides."""

    choose: Choose
    primary: str = "decode"
    seen: list[list[str]] = field(default_factory=list)

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        self.seen.append(sorted(results))
        return self.choose(results)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        outcome = results[self.primary]
        if isinstance(outcome, NoEndpointsError):
            raise outcome
        ran = {name: result for name, result in results.items() if not isinstance(result, NoEndpointsError)}
        return SchedulingResult(self.primary, ran)


def all_at_once(*names: str) -> Handler:
    """Runs the profiles in one round; the first decides."""
    return Handler(lambda results: () if results else names, names[0])


def profile(name: str, *filters: Filter, scorers: Sequence[tuple[Scorer, float]] = ()) -> SchedulerProfile:
    """A profile whose plugins are called ``<profile>-filter-0``, ``<profile>-scorer-0`` and so on."""
    return SchedulerProfile(
        name,
        Named(Best(), f"{name}-picker"),
        tuple(Named(plugin, f"{name}-filter-{place}") for place, plugin in enumerate(filters)),
        tuple(
            WeightedScorer(Named(plugin, f"{name}-scorer-{place}"), weight)
            for place, (plugin, weight) in enumerate(scorers)
        ),
    )
