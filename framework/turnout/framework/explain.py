"""Explains a decision by running it with plugins that write down what they did.

The price is paid only when someone asks: ``recording`` wraps the plugins of a scheduler for one request;
the scheduler itself has no trace of it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from turnout.framework.endpoint import Endpoint
from turnout.framework.interfaces import Filter, Picker, ProfileHandler
from turnout.framework.profile import Named, SchedulerProfile, WeightedScorer
from turnout.framework.request import InferenceRequest
from turnout.framework.results import ProfileOutcome, SchedulingResult, ScoredEndpoint, Scores
from turnout.framework.scheduler import Scheduler
from turnout.framework.state import CycleState


@dataclass(frozen=True, slots=True)
class FilterRecord:
    """What a filter kept and dropped, by endpoint name."""

    filter: str
    kept: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScorerRecord:
    """A scorer's raw scores by endpoint name, and the weight they are multiplied by."""

    scorer: str
    weight: float
    scores: dict[str, float]


@dataclass(slots=True)
class ProfileRecord:
    """Everything one profile did for one request, in order."""

    profile: str
    candidates: tuple[str, ...] = ()
    filters: list[FilterRecord] = field(default_factory=list)
    scorers: list[ScorerRecord] = field(default_factory=list)
    totals: dict[str, float] = field(default_factory=dict)
    picker: str = ""
    picked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitRecord:
    """How a request waited for its turn, for ``seconds``, and why it came when it came.

    ``priority`` is its own and ``effective_priority`` the one by which it was treated in the end; an ``overdue`` one
    went before all others. ``saturation`` is that of the pool at its turn, 1 being full.
    """

    seconds: float
    priority: int
    effective_priority: int
    overdue: bool
    level: str
    fairness_id: str
    saturation: float
    reason: str


@dataclass(slots=True)
class DecisionRecord:
    """Why a request went where it went: one record for each profile that ran, in order.

    ``wait`` is None where requests do not wait. ``reasons`` are the profile handler's words, and ``target_model`` is
    the model that it gave the request, empty if it left it.
    """

    request_id: str = ""
    profiles: list[ProfileRecord] = field(default_factory=list)
    wait: WaitRecord | None = None
    reasons: tuple[str, ...] = ()
    target_model: str = ""


def recording(scheduler: Scheduler, record: DecisionRecord) -> Scheduler:
    """A scheduler that decides as the given one does and fills the record on the way. Use it for one request."""
    profiles = [_recorded(profile, record) for profile in scheduler.profiles]
    handler = scheduler.profile_handler
    return Scheduler(profiles, replace(handler, plugin=_RecordedHandler(handler.plugin, record)))


def _recorded(profile: SchedulerProfile, record: DecisionRecord) -> SchedulerProfile:
    log = ProfileRecord(profile.name)
    start: Named[Filter] = Named(_Start(record, log), "candidates")
    filters = tuple(replace(named, plugin=_RecordedFilter(named.name, named.plugin, log)) for named in profile.filters)
    scorers = tuple(
        replace(weighted, scorer=replace(weighted.scorer, plugin=_RecordedScorer(weighted, log)))
        for weighted in profile.scorers
    )
    picker = replace(profile.picker, plugin=_RecordedPicker(profile.picker, log))
    return SchedulerProfile(profile.name, picker, (start, *filters), scorers)


@dataclass(frozen=True, slots=True)
class _Start:
    record: DecisionRecord
    log: ProfileRecord

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        self.record.request_id = request.request_id
        self.log.candidates = _names(endpoints)
        self.record.profiles.append(self.log)
        return endpoints


@dataclass(frozen=True, slots=True)
class _RecordedHandler:
    inner: ProfileHandler
    record: DecisionRecord

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        return self.inner.pick(request, state, profiles, results)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        result = self.inner.process_results(request, state, results)
        self.record.reasons, self.record.target_model = result.reasons, result.target_model
        return result


@dataclass(frozen=True, slots=True)
class _RecordedFilter:
    name: str
    inner: Filter
    log: ProfileRecord

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        kept = self.inner.filter(request, state, endpoints)
        names = _names(kept)
        remaining = set(names)
        dropped = tuple(endpoint.name for endpoint in endpoints if endpoint.name not in remaining)
        self.log.filters.append(FilterRecord(self.name, names, dropped))
        return kept


@dataclass(frozen=True, slots=True)
class _RecordedScorer:
    weighted: WeightedScorer
    log: ProfileRecord

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        scores = self.weighted.scorer.plugin.score(request, state, endpoints)
        by_name = dict(zip(_names(endpoints), scores, strict=False))
        self.log.scorers.append(ScorerRecord(self.weighted.scorer.name, self.weighted.weight, by_name))
        return scores


@dataclass(frozen=True, slots=True)
class _RecordedPicker:
    named: Named[Picker]
    log: ProfileRecord

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        picked = self.named.plugin.pick(request, state, scored)
        self.log.totals = {endpoint.name: score for endpoint, score in scored}
        self.log.picker = self.named.name
        self.log.picked = _names(picked)
        return picked


def _names(endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    return tuple(endpoint.name for endpoint in endpoints)
