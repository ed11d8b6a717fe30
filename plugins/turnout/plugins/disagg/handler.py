"""Runs the profiles of a disaggregated request, stage after stage."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnout.framework import (
    CounterReading,
    CycleState,
    Endpoint,
    InferenceRequest,
    NoEndpointsError,
    PluginName,
    ProfileOutcome,
    ProfileResult,
    Reading,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.disagg.keys import (
    DEFAULT_HANDLER,
    DISAGG_DECISION,
    PEER_ENDPOINT,
    PEER_STAGE,
    PREFILL_PROFILE,
    Decision,
    ReasonedDecision,
    Stage,
)
from turnout.plugins.disagg.routing_headers import routing_headers

StageOrder: TypeAlias = Literal["decode-first", "prefill-first"]
DEFAULT_NAME = PluginName(DEFAULT_HANDLER)

MAX_MODELS = 100
OTHER = "other"


@dataclass(frozen=True, slots=True)
class StageProfiles:
    """The scheduling profile of each stage."""

    decode: str = "decode"
    prefill: str = "prefill"
    encode: str = "encode"


@dataclass(frozen=True, slots=True)
class StageDeciders:
    """The plugin that decides whether a stage runs; empty: it always does where its profile exists."""

    prefill: str = ""
    encode: str = ""


DEFAULT_PROFILES = StageProfiles()
DEFAULT_DECIDERS = StageDeciders()


class DisaggProfileHandler:
    """Picks endpoints for the stages of a request: one that decodes, perhaps one that prefills and some that encode.

    With ``decode-first`` the endpoint that decodes is picked first, then those that encode, then the one that prefills;
    each stage but the first runs if it has a profile and its decider says so. With ``prefill-first`` prefill is picked
    first, then encode, then decode, and no decider is asked about prefill. The picks of later stages know the first
    one's endpoint (``PEER_ENDPOINT``). The request goes to the endpoint that decodes; headers tell it the others.

    A stage other than decode that has no endpoint is left out: the endpoint that decodes does its work.

    ``decode_profile``, ``prefill_profile``, ``encode_profile``, ``prefill_decider_plugin_name`` (or
    ``decider_plugin_name``) and ``encode_decider_plugin_name`` are older spellings.

    Raises:
        ValueError: a prefill decider with ``prefill-first``, two spellings of one parameter, or one profile for two
            stages.
    """

    def __init__(
        self,
        stage_order: StageOrder = "decode-first",
        profiles: StageProfiles = DEFAULT_PROFILES,
        deciders: StageDeciders = DEFAULT_DECIDERS,
        decode_profile: str = "",
        prefill_profile: str = "",
        encode_profile: str = "",
        prefill_decider_plugin_name: str = "",
        encode_decider_plugin_name: str = "",
        decider_plugin_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        decode = _one("profiles.decode", profiles.decode, "decode", decode_profile)
        prefill = _one("profiles.prefill", profiles.prefill, "prefill", prefill_profile)
        encode = _one("profiles.encode", profiles.encode, "encode", encode_profile)
        if len({decode, prefill, encode}) < 3:
            raise ValueError(f"profiles must be different for each stage, got {decode}, {prefill} and {encode}")
        older = prefill_decider_plugin_name or decider_plugin_name
        prefill_decider = _one("deciders.prefill", deciders.prefill, "", older)
        encode_decider = _one("deciders.encode", deciders.encode, "", encode_decider_plugin_name)
        if stage_order == "prefill-first" and prefill_decider:
            raise ValueError(f"deciders.prefill must be empty with stage_order prefill-first, got {prefill_decider}")
        self._decode, self._prefill, self._encode = decode, prefill, encode
        self._order = (decode, encode, prefill) if stage_order == "decode-first" else (prefill, encode, decode)
        self._deciders = {
            profile: DISAGG_DECISION.of(decider)
            for profile, decider in ((prefill, prefill_decider), (encode, encode_decider))
            if decider
        }
        self.profile_names = (decode,)
        self.reads: tuple[StateKey[Decision], ...] = tuple(self._deciders.values())
        self._peer_key, self._peer_stage_key = PEER_ENDPOINT.of(name), PEER_STAGE.of(name)
        # By model.
        self._decisions: dict[str, Counter[str]] = {}

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        """The next stage that is to run."""
        if isinstance(results.get(self._decode), NoEndpointsError):
            return ()
        first = next((found for found in map(results.get, self._order) if isinstance(found, ProfileResult)), None)
        if first is not None:
            state.write(self._peer_key, first.picked[0])
            state.write(self._peer_stage_key, self._stage_of(first.profile))
        for profile in self._order:
            if profile not in results and profile in profiles and self._runs(profile, state, first):
                return (profile,)
        return ()

    def _runs(self, profile: str, state: CycleState, first: ProfileResult | None) -> bool:
        key = self._deciders.get(profile)
        if key is None:
            return True
        if first is None:
            # There is nobody to decide about yet: a stage that needs no decision goes first.
            return False
        # A decider that failed costs its stage, not the request.
        decision = state.get(key)
        return decision is not None and decision(first.picked[0])

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        """The endpoint that decodes, with the others. Raises ``NoEndpointsError`` when nobody can decode."""
        decode = results[self._decode]
        if isinstance(decode, NoEndpointsError):
            raise decode
        found = {profile: result for profile, result in results.items() if isinstance(result, ProfileResult)}
        state.write(PREFILL_PROFILE, self._prefill)
        prefill = found.get(self._prefill)
        if prefill is not None and prefill.picked[0].name == decode.picked[0].name:
            # Nobody can work for itself: the endpoint that decodes computes the prompt, as it would without the stage.
            del found[self._prefill]
        reasons = [_reason(profile, results.get(profile)) + self._why(profile, state) for profile in self._order]
        return SchedulingResult(self._decode, found, reasons=tuple(reasons))

    def _why(self, profile: str, state: CycleState) -> str:
        """What the profile's decider says about it, if it says anything."""
        key = self._deciders.get(profile)
        decision = None if key is None else state.get(key)
        first = state.get(self._peer_key)
        if first is None or not isinstance(decision, ReasonedDecision):
            return ""
        return f" ({decision.reason(first)})"

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> Mapping[str, str]:
        """Tells the engine that decodes who works for it."""
        stages = [stage for stage, profile in self._stages() if profile in result.profiles]
        model = request.model
        if model not in self._decisions and len(self._decisions) >= MAX_MODELS:
            model = OTHER
        self._decisions.setdefault(model, Counter())[_kind(stages)] += 1
        return routing_headers(result, self._prefill, self._encode)

    def _stage_of(self, profile: str) -> Stage:
        return next(stage for stage, stage_profile in self._stages() if stage_profile == profile)

    def _stages(self) -> Sequence[tuple[Stage, str]]:
        return (("encode", self._encode), ("prefill", self._prefill), ("decode", self._decode))

    def readings(self) -> Iterable[Reading]:
        """How requests were split up."""
        for model, kinds in self._decisions.items():
            for kind, count in kinds.items():
                labels = {"model_name": model, "decision_type": kind}
                yield CounterReading("disagg_decision_total", "Requests by the stages that were apart.", count, labels)


def _kind(stages: Sequence[str]) -> str:
    """The field's words: decode-only, prefill-decode, encode-decode, encode-prefill-decode."""
    return "decode-only" if list(stages) == ["decode"] else "-".join(stages)


def _reason(profile: str, outcome: ProfileOutcome | None) -> str:
    match outcome:
        case None:
            return f"{profile}: not needed"
        case NoEndpointsError():
            return f"{profile}: no endpoint"
        case ProfileResult():
            return f"{profile} at {_names(outcome.picked)}"


def _names(endpoints: Sequence[Endpoint]) -> str:
    return ", ".join(endpoint.name for endpoint in endpoints)


def _one(what: str, stated: str, default: str, older: str) -> str:
    if older and stated not in (default, older):
        raise ValueError(f"{what} must not be given in two spellings, got {stated} and {older}")
    return older or stated
