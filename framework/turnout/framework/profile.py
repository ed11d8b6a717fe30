"""A scheduling profile: filters, weighted scorers and a picker, run over the candidates of one request."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from turnout.framework.endpoint import Endpoint
from turnout.framework.errors import ExtensionPoint, NoEndpointsError, PluginError
from turnout.framework.interfaces import Filter, Picker, Scorer
from turnout.framework.request import InferenceRequest
from turnout.framework.results import ProfileResult, ScoredEndpoint, Scores
from turnout.framework.state import CycleState

# Covariant because a Named is immutable: a Named[QueueScorer] is a Named[Scorer].
P_co = TypeVar("P_co", covariant=True)


@dataclass(frozen=True)  # with slots too, `Named[Filter](...)` fails on Python 3.11
class Named(Generic[P_co]):
    """A plugin under the name that the configuration gives it.

    With ``optional`` a failure of the plugin drops its contribution to the request instead of the request.
    """

    plugin: P_co
    name: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", type(self.plugin).__name__)


@dataclass(frozen=True, slots=True)
class WeightedScorer:
    """A scorer and what its scores are multiplied by in this profile."""

    scorer: Named[Scorer]
    weight: float = 1.0


@contextmanager
def plugin_boundary(plugin: str, point: ExtensionPoint) -> Iterator[None]:
    """Turns whatever a plugin raises into a ``PluginError`` that names it.

    Outcomes of scheduling, and errors that name a plugin already, pass unchanged.
    """
    try:
        yield
    except (NoEndpointsError, PluginError):
        raise
    except Exception as error:
        raise PluginError(plugin, point, f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class SchedulerProfile:
    """Filters in order, scorers whose weighted scores are summed, and one picker. Immutable and shared."""

    name: str
    picker: Named[Picker]
    filters: tuple[Named[Filter], ...] = ()
    scorers: tuple[WeightedScorer, ...] = ()

    def run(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> ProfileResult:
        """Filters, scores and picks.

        Raises:
            NoEndpointsError: no candidate was given or left.
            PluginError: a plugin that is not optional raised or broke its contract.
        """
        if not endpoints:
            raise NoEndpointsError(self.name, "")
        for named in self.filters:
            endpoints = self._keep(named, request, state, endpoints)
        totals = self._totals(request, state, endpoints)
        scored = tuple(map(ScoredEndpoint, endpoints, totals))
        return ProfileResult(self.name, self._pick(request, state, scored), scored)

    def _keep(
        self,
        named: Named[Filter],
        request: InferenceRequest,
        state: CycleState,
        endpoints: Sequence[Endpoint],
    ) -> Sequence[Endpoint]:
        try:
            with plugin_boundary(named.name, ExtensionPoint.FILTER):
                kept = named.plugin.filter(request, state, endpoints)
                left = len(kept)  # a filter that forgot to return fails here, and is named
        except PluginError:
            if named.optional:
                return endpoints
            raise
        if not left:
            raise NoEndpointsError(self.name, named.name)
        return kept

    def _totals(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> list[float]:
        totals = [0.0] * len(endpoints)
        for weighted in self.scorers:
            try:
                totals = _add_scores(weighted, request, state, endpoints, totals)
            except PluginError:
                if not weighted.scorer.optional:
                    raise
        return totals

    def _pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> tuple[Endpoint, ...]:
        with plugin_boundary(self.picker.name, ExtensionPoint.PICKER):
            picked = tuple(self.picker.plugin.pick(request, state, scored))
        if not picked:
            raise PluginError(self.picker.name, ExtensionPoint.PICKER, "it picked no endpoint")
        return picked


def _add_scores(
    weighted: WeightedScorer,
    request: InferenceRequest,
    state: CycleState,
    endpoints: Sequence[Endpoint],
    totals: list[float],
) -> list[float]:
    name = weighted.scorer.name
    with plugin_boundary(name, ExtensionPoint.SCORER):
        scores = weighted.scorer.plugin.score(request, state, endpoints)
        _check_scores(name, endpoints, scores)
    weight = weighted.weight
    return [total + weight * score for total, score in zip(totals, scores, strict=True)]


def _check_scores(name: str, endpoints: Sequence[Endpoint], scores: Scores) -> None:
    if len(scores) != len(endpoints):
        problem = f"it returned {len(scores)} scores for {len(endpoints)} endpoints"
        raise PluginError(name, ExtensionPoint.SCORER, problem)
    # The comparison also refuses NaN. A comprehension, because this runs for each endpoint of each scorer.
    wrong = [position for position, score in enumerate(scores) if not 0.0 <= score <= 1.0]
    if wrong:
        problem = f"it scored {endpoints[wrong[0]].name} {scores[wrong[0]]!r}; a score is within [0, 1]"
        raise PluginError(name, ExtensionPoint.SCORER, problem)
