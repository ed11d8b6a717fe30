"""Which requests make up a lane, and which endpoints serve it."""

from collections.abc import Sequence

from turnout.config import LaneSettings
from turnout.epp.requests.candidates import in_subset
from turnout.epp.requests.paths import matches
from turnout.framework import Endpoint, InferenceRequest

MAX_SUBSETS = 64
EVERYTHING = "all"


class LaneBook:
    """Names lanes, and knows the endpoints of each.

    Without lanes (``headOfLine: strict``) there is one, whatever the subset. Otherwise a lane is what one rule matches,
    within one subset hint of the proxy; of different hints at most 64 are told apart, and requests with further ones
    wait as if they had none.
    """

    def __init__(self, rules: Sequence[LaneSettings], *, strict: bool) -> None:
        self._rules = {rule.name: rule for rule in rules} if not strict else {}
        self._strict = strict
        self._lanes: dict[str, tuple[LaneSettings | None, tuple[str, ...] | None]] = {}
        self._subsets: dict[tuple[str, ...], str] = {}
        self._seen: dict[str, tuple[Sequence[Endpoint], Sequence[Endpoint]]] = {}

    def rule_of(self, request: InferenceRequest) -> LaneSettings | None:
        """The first rule that matches the request."""
        return next((rule for rule in self._rules.values() if _matches(rule, request)), None)

    def lane_of(self, request: InferenceRequest, subset: tuple[str, ...] | None) -> str:
        """The name of the request's lane."""
        if self._strict:
            return EVERYTHING
        rule = self.rule_of(request)
        number = self._number(subset)
        # A rule may be named as it likes, also "all".
        name = (f"rule {rule.name}" if rule else EVERYTHING) + number
        self._lanes.setdefault(name, (rule, subset if number else None))
        return name

    def endpoints(self, lane: str, candidates: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Those of the candidates that serve the lane."""
        rule, subset = self._lanes.get(lane, (None, None))
        if rule is None and subset is None:
            return candidates
        known = self._seen.get(lane)
        if known is not None and known[0] is candidates:
            return known[1]
        found = in_subset(candidates if rule is None else served_by(rule, candidates), subset)
        self._seen[lane] = (candidates, found)
        return found

    def _number(self, subset: tuple[str, ...] | None) -> str:
        if subset is None:
            return ""
        known = self._subsets.get(subset)
        if known is None and len(self._subsets) < MAX_SUBSETS:
            known = self._subsets[subset] = f"#{len(self._subsets) + 1}"
        return known or ""


def served_by(rule: LaneSettings, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """The endpoints that have the labels of the rule."""
    wanted = rule.endpoints.items()
    return tuple(endpoint for endpoint in endpoints if all(endpoint.labels.get(key) == value for key, value in wanted))


def _matches(rule: LaneSettings, request: InferenceRequest) -> bool:
    if rule.models and request.target_model not in rule.models:
        return False
    if rule.paths and not any(matches(request.path, path) for path in rule.paths):
        return False
    return all(request.headers.get(name) == value for name, value in rule.headers.items())
