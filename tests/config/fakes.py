"""Plugins of an imagined third party, and registries that offer them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import EntryPoint
from typing import Literal

from turnout.config import ConfigError, Pipeline, load_pipeline
from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Endpoint,
    EndpointMetrics,
    InferenceRequest,
    KeyFamily,
    NoEndpointsError,
    ParsedBody,
    PluginName,
    ProfileOutcome,
    ProfileResult,
    Registry,
    Response,
    ResponseChunk,
    SchedulingResult,
    ScoredEndpoint,
    Scores,
    StateKey,
    Usage,
)

LOAD: KeyFamily[int] = KeyFamily("load", "load-producer")
TOKENS: StateKey[int] = StateKey("tokens", producer="token-maker")
LEFT: StateKey[int] = StateKey("left", producer="left-producer")
RIGHT: StateKey[int] = StateKey("right", producer="right-producer")
ORPHAN: StateKey[int] = StateKey("orphan")
LATE: StateKey[int] = StateKey("late", producer="late-writer")


class QueueScorer:
    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return [1.0] * len(endpoints)


class LoadScorer(QueueScorer):
    def __init__(self, producer_name: str = "") -> None:
        self.reads = (LOAD.of(producer_name),)


class ContentScorer(QueueScorer):
    def __init__(self, producer_name: str = "") -> None:
        self.optional_reads = (LOAD.of(producer_name),)


class EitherScorer(QueueScorer):
    optional_reads = (LOAD.of("first"), LOAD.of("second"))


class OrphanScorer(QueueScorer):
    reads = (ORPHAN,)


class EarlyScorer(QueueScorer):
    reads = (LATE,)


class PromptScorer(QueueScorer):
    reads = (PROMPT,)


class LeftScorer(QueueScorer):
    reads = (LEFT,)


class SloppyScorer(QueueScorer):
    reads = "load"


class AllFilter:
    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return endpoints


class FilterAndScorer(AllFilter, QueueScorer):
    pass


@dataclass(frozen=True)
class Rule:
    key: str
    operator: Literal["In", "NotIn"] = "In"
    values: Sequence[str] = ()
    at_most: int = 9

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("key must not be empty")
        if self.at_most < 0:
            raise ValueError(f"at_most must be at least 0, got {self.at_most}")


@dataclass(frozen=True)
class Limits:
    time_limit: timedelta = timedelta(seconds=5)
    retries: int | None = None


class RuleFilter(AllFilter):
    def __init__(
        self,
        name: PluginName,
        rules: Sequence[Rule],
        max_ttft_penalty_ms: float = 18000.0,
        limits: Limits = Limits(),
        labels: Mapping[str, str] | None = None,
        hidden: object = None,
    ) -> None:
        if max_ttft_penalty_ms < 0:
            raise ValueError(f"max_ttft_penalty_ms must be at least 0, got {max_ttft_penalty_ms}")
        if limits.time_limit > timedelta(hours=1):
            raise ValueError("limits.time_limit must be at most an hour")
        self.name, self.rules, self.penalty, self.limits, self.labels = name, rules, max_ttft_penalty_ms, limits, labels


class BrokenFilter(AllFilter):
    def __init__(self) -> None:
        raise RuntimeError("no luck")


class WrongFilter:
    def filter(self, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return endpoints


class FirstPicker:
    def __init__(self, max_num_of_endpoints: int = 1) -> None:
        self.count = max_num_of_endpoints

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return [candidate.endpoint for candidate in scored[: self.count]]


class Handler:
    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        return [] if results else list(profiles)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        found = {name: result for name, result in results.items() if isinstance(result, ProfileResult)}
        if not found:
            raise NoEndpointsError("any", "")
        return SchedulingResult(next(iter(found)), found)


class TreeHandler(Handler):
    profile_names = ("a", "fast")


class LoadProducer:
    def __init__(self, name: PluginName) -> None:
        self.writes = (LOAD.of(name),)

    reads = (TOKENS,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        pass


class TokenMaker:
    writes: tuple[StateKey[int], ...] = (TOKENS,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        state.write(TOKENS, 1)


class LeftProducer(TokenMaker):
    reads: tuple[StateKey[int], ...] = (RIGHT,)
    writes = (LEFT,)


class RightProducer(TokenMaker):
    reads: tuple[StateKey[int], ...] = (LEFT,)
    writes = (RIGHT,)


class EagerProducer(TokenMaker):
    optional_reads = (TOKENS,)
    writes: tuple[StateKey[int], ...] = ()


class TokensFromLeft(TokenMaker):
    optional_reads = (LEFT,)


class LeftFromTokens(TokenMaker):
    reads: tuple[StateKey[int], ...] = (TOKENS,)
    writes = (LEFT,)


class InFlightProducer:
    writes: tuple[StateKey[int], ...] = ()
    needs_response_body = False

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        pass

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        pass

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        pass


class BodyReader:
    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        pass


class Notifications:
    pass


class Listener:
    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        pass


class LateWriter:
    writes = (LATE,)

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        return None


class BodyParser:
    paths: Collection[str] = ("chat/completions",)

    def parse(self, path: str, body: bytes) -> ParsedBody:
        return ParsedBody()

    def rewrite_model(self, body: bytes, model: str) -> bytes:
        return body

    def usage(self, body: bytes) -> Usage | None:
        return None


class Fallback(BodyParser):
    paths: Collection[str] = ()


class Source:
    interval_seconds: float | None = None

    def __init__(self, path: str = "/metrics", interval: timedelta | None = None) -> None:
        self.path = path

    async def fetch(self, endpoint: Endpoint) -> bytes:
        return b""

    async def close(self) -> None:
        pass


class PageExtractor:
    def extract(self, page: bytes, endpoint: Endpoint, now: float) -> EndpointMetrics:
        return endpoint.metrics


class Discovery:
    def __init__(self, path: str, watch_file: bool = False) -> None:
        self.path = path

    async def discover(self, publish: object) -> None:
        pass


class Detector:
    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        return 0.0


OFFERED = {
    "queue-scorer": "QueueScorer",
    "load-scorer": "LoadScorer",
    "orphan-scorer": "OrphanScorer",
    "early-scorer": "EarlyScorer",
    "prompt-scorer": "PromptScorer",
    "left-scorer": "LeftScorer",
    "sloppy-scorer": "SloppyScorer",
    "content-scorer": "ContentScorer",
    "all-filter": "AllFilter",
    "either-scorer": "EitherScorer",
    "filter-and-scorer": "FilterAndScorer",
    "rule-filter": "RuleFilter",
    "broken-filter": "BrokenFilter",
    "wrong-filter": "WrongFilter",
    "missing-filter": "NoSuchClass",
    "max-score-picker": "FirstPicker",
    "single-profile-handler": "Handler",
    "many-profile-handler": "Handler",
    "tree-handler": "TreeHandler",
    "load-producer": "LoadProducer",
    "token-maker": "TokenMaker",
    "left-producer": "LeftProducer",
    "right-producer": "RightProducer",
    "eager-producer": "EagerProducer",
    "late-writer": "LateWriter",
    "inflight-load-producer": "InFlightProducer",
    "openai-parser": "BodyParser",
    "passthrough-parser": "Fallback",
    "metrics-data-source": "Source",
    "core-metrics-extractor": "PageExtractor",
    "file-discovery": "Discovery",
}


def registry(*without: str, **more: str) -> Registry:
    """Every fake under its type; ``more`` adds types, with underscores for hyphens."""
    offered = {**OFFERED, **{name.replace("_", "-"): target for name, target in more.items()}}
    return Registry.from_entry_points(
        EntryPoint(name, f"config.fakes:{target}", "turnout.plugins")
        for name, target in offered.items()
        if name not in without
    )


HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
OWN_HEAD = "apiVersion: turnout/v1\nkind: EndpointPickerConfig\n"


def load(body: str, *without: str, head: str = HEAD, previous: Pipeline | None = None, **more: str) -> Pipeline:
    """The pipeline of a document of which only what follows apiVersion and kind is given."""
    return load_pipeline(head + body, registry=registry(*without, **more), previous=previous)


def problems(body: str, *without: str, head: str = HEAD, previous: Pipeline | None = None, **more: str) -> list[str]:
    """The lines of the error that loading such a document raises; line 3 is the first of ``body``."""
    try:
        load(body, *without, head=head, previous=previous, **more)
    except ConfigError as error:
        return str(error).replace("<text>:", "").splitlines()
    return []


def warnings(body: str, *without: str, head: str = HEAD, previous: Pipeline | None = None, **more: str) -> list[str]:
    """The warnings of a document that loads."""
    return [str(warning) for warning in load(body, *without, head=head, previous=previous, **more).warnings]
