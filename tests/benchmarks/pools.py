"""Synthetic endpoints and requests for measuring decisions without a server."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from turnout.config import DEFAULT_CONFIG, load_pipeline
from turnout.epp.requests.openai import OpenAIParser
from turnout.framework import (
    PROMPT,
    CycleState,
    Endpoint,
    EndpointMetrics,
    InferenceRequest,
    ParsedBody,
    ProfileResult,
    SchedulingResult,
)

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CHAT = "/v1/chat/completions"
RANDOM_ONLY = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: random-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: random-picker
"""
_WORDS = (
    "the",
    "a",
    "model",
    "server",
    "queue",
    "block",
    "token",
    "cache",
    "prefix",
    "answer",
    "of",
    "and",
    "to",
    "in",
)


def endpoints(count: int) -> tuple[Endpoint, ...]:
    """Busy endpoints, no two alike."""
    draw = random.Random(7)
    return tuple(
        Endpoint(
            f"default/vllm-{number}",
            f"10.0.{number // 250}.{number % 250 + 1}",
            8000,
            metrics=EndpointMetrics(draw.randrange(20), draw.randrange(64), draw.random()),
        )
        for number in range(count)
    )


def chat_body(size_bytes: int, number: int, conversations: int = 16) -> bytes:
    """A chat of about this size: half of it is the system prompt of its conversation, the rest its own."""
    system = _text(size_bytes // 2, number % conversations)
    question = _text(size_bytes - len(system) - 180, 1000 + number)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return msgspec.json.encode({"model": MODEL, "messages": messages, "max_tokens": 16, "temperature": 0.7})


def chat_requests(size_bytes: int, count: int) -> list["Asked"]:
    """Different requests of about this size, parsed."""
    parse = OpenAIParser().parse
    bodies = [chat_body(size_bytes, number) for number in range(count)]
    return [Asked(_request(number, len(body)), parse(CHAT, body)) for number, body in enumerate(bodies)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and what its body said."""

    request: InferenceRequest
    parsed: ParsedBody

    def state(self) -> CycleState:
        state = CycleState()
        if self.parsed.prompt is not None:
            state.write(PROMPT, self.parsed.prompt)
        return state


class Decider:
    """Runs the data producers and the cycle of one pipeline, as the director does, for one request after another."""

    def __init__(self, config: str, pool: Sequence[Endpoint], asked: Sequence[Asked]) -> None:
        self.pipeline = load_pipeline(config)
        self.scheduler = self.pipeline.scheduler
        self.pool = pool
        self._asked = asked
        self._next = 0

    def decide(self) -> SchedulingResult:
        asked = self._asked[self._next % len(self._asked)]
        self._next += 1
        return self._run(asked, asked.state())

    def remember(self, draws: int) -> None:
        """Tells the pipeline that each endpoint has served so many of the requests."""
        draw = random.Random(11)
        for endpoint in self.pool:
            for asked in draw.sample(self._asked, draws):
                self._account(asked, endpoint)

    def _run(self, asked: Asked, state: CycleState) -> SchedulingResult:
        self._produce(asked, state)
        return self.scheduler.schedule(asked.request, state, self.pool, 0.0)

    def _produce(self, asked: Asked, state: CycleState) -> None:
        for stage in self.pipeline.producer_stages:
            for named in stage:
                # The built-in producers wait for nothing: the first step is all of it.
                try:
                    named.plugin.produce(asked.request, state, self.pool).send(None)
                except StopIteration:
                    continue
                raise RuntimeError(f"{named.name} waits, and this measures no waiting")

    def _account(self, asked: Asked, endpoint: Endpoint) -> None:
        state = asked.state()
        self._produce(asked, state)
        result = SchedulingResult("default", {"default": ProfileResult("default", (endpoint,), ())})
        for named in self.pipeline.pre_request:
            named.plugin.pre_request(asked.request, state, result)


def default_decider(pool_size: int, prompt_bytes: int = 2048) -> Decider:
    """The default profile over busy endpoints that have cached parts of the prompts."""
    decider = Decider(DEFAULT_CONFIG, endpoints(pool_size), chat_requests(prompt_bytes, 64))
    decider.remember(8)
    return decider


def predicting_decider(pool_size: int) -> Decider:
    """The default profile over the same, with latencies predicted for every candidate."""
    config = DEFAULT_CONFIG.replace("plugins:\n", "plugins:\n- type: predicted-latency-producer\n", 1)
    decider = Decider(config, endpoints(pool_size), chat_requests(2048, 64))
    decider.remember(8)
    return decider


def random_decider(pool_size: int) -> Decider:
    """The same requests and endpoints with nothing but a random choice."""
    return Decider(RANDOM_ONLY, endpoints(pool_size), chat_requests(2048, 64))


def _text(size: int, seed: int) -> str:
    draw = random.Random(seed)
    words = " ".join(draw.choices(_WORDS, k=max(1, size // 4)))
    return words[: max(1, size)]


def _request(number: int, size_bytes: int) -> InferenceRequest:
    return InferenceRequest(f"request-{number}", MODEL, MODEL, CHAT, size_bytes=size_bytes)
