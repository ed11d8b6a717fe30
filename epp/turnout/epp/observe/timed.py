"""Measures plugins by wrapping each of them once, so that the scheduling cycle itself has no trace of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from turnout.framework import (
    CycleState,
    Endpoint,
    ExtensionPoint,
    Filter,
    InferenceRequest,
    Named,
    Picker,
    ProfileHandler,
    ProfileOutcome,
    Scheduler,
    SchedulerProfile,
    SchedulingResult,
    ScoredEndpoint,
    Scorer,
    Scores,
    WeightedScorer,
)

Clock: TypeAlias = Callable[[], float]
"""Seconds on a clock that never goes back."""

Observe: TypeAlias = Callable[[float], None]
"""Takes the seconds of one call."""


class PluginTimers(Protocol):
    """Where the measured times go."""

    def plugin_timer(self, plugin: str, plugin_type: str, extension_point: str) -> Observe:
        """Takes the seconds of each call of one plugin at one extension point."""
        ...


def timed_scheduler(scheduler: Scheduler, timers: PluginTimers, types: Mapping[str, str], clock: Clock) -> Scheduler:
    """A scheduler that decides as the given one does and measures every call of a plugin, failed ones included.

    ``types`` maps a plugin's name to its type; a plugin that it lacks has its name for a type.
    """
    timing = _Timing(timers, types, clock)
    profiles = [timing.profile(profile) for profile in scheduler.profiles]
    return Scheduler(profiles, timing.handler(scheduler.profile_handler))


@dataclass(frozen=True, slots=True)
class _Timing:
    timers: PluginTimers
    types: Mapping[str, str]
    clock: Clock

    def profile(self, profile: SchedulerProfile) -> SchedulerProfile:
        return SchedulerProfile(
            profile.name,
            self._picker(profile.picker),
            tuple(self._filter(named) for named in profile.filters),
            tuple(self._scorer(weighted) for weighted in profile.scorers),
        )

    def handler(self, named: Named[ProfileHandler]) -> Named[ProfileHandler]:
        choosing = self._timer(named.name, ExtensionPoint.PROFILE_HANDLER)
        processing = self._timer(named.name, ExtensionPoint.PROCESS_RESULTS)
        return replace(named, plugin=_TimedHandler(named.plugin, self.clock, choosing, processing))

    def _filter(self, named: Named[Filter]) -> Named[Filter]:
        observe = self._timer(named.name, ExtensionPoint.FILTER)
        return replace(named, plugin=_TimedFilter(named.plugin, self.clock, observe))

    def _scorer(self, weighted: WeightedScorer) -> WeightedScorer:
        named = weighted.scorer
        observe = self._timer(named.name, ExtensionPoint.SCORER)
        return replace(weighted, scorer=replace(named, plugin=_TimedScorer(named.plugin, self.clock, observe)))

    def _picker(self, named: Named[Picker]) -> Named[Picker]:
        observe = self._timer(named.name, ExtensionPoint.PICKER)
        return replace(named, plugin=_TimedPicker(named.plugin, self.clock, observe))

    def _timer(self, plugin: str, point: ExtensionPoint) -> Observe:
        return self.timers.plugin_timer(plugin, self.types.get(plugin, plugin), point.value)


@dataclass(frozen=True, slots=True)
class _TimedFilter:
    inner: Filter
    clock: Clock
    observe: Observe

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        started = self.clock()
        try:
            return self.inner.filter(request, state, endpoints)
        finally:
            self.observe(self.clock() - started)


@dataclass(frozen=True, slots=True)
class _TimedScorer:
    inner: Scorer
    clock: Clock
    observe: Observe

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        started = self.clock()
        try:
            return self.inner.score(request, state, endpoints)
        finally:
            self.observe(self.clock() - started)


@dataclass(frozen=True, slots=True)
class _TimedPicker:
    inner: Picker
    clock: Clock
    observe: Observe

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        started = self.clock()
        try:
            return self.inner.pick(request, state, scored)
        finally:
            self.observe(self.clock() - started)


@dataclass(frozen=True, slots=True)
class _TimedHandler:
    inner: ProfileHandler
    clock: Clock
    observe_pick: Observe
    observe_processing: Observe

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        started = self.clock()
        try:
            return self.inner.pick(request, state, profiles, results)
        finally:
            self.observe_pick(self.clock() - started)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        started = self.clock()
        try:
            return self.inner.process_results(request, state, results)
        finally:
            self.observe_processing(self.clock() - started)
