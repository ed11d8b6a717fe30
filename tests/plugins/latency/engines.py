"""Simulated engines of several speeds on virtual time, and traffic to them that a producer of predictions follows."""

import asyncio
import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from turnout.epp.simulator.driver import EngineDriver
from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.epp.simulator.sequence import GenerationRequest
from turnout.epp.simulator.tokens import generate_words
from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Endpoint,
    EndpointMetrics,
    Headers,
    InferenceRequest,
    ProfileResult,
    Prompt,
    Response,
    ResponseChunk,
    SchedulingResult,
    ScoredEndpoint,
    Termination,
    Usage,
)
from turnout.framework.testing import make_endpoint, make_request
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction
from turnout.plugins.latency.producer import PredictedLatencyProducer

SCRAPE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when and where it was sent, what was predicted, and what it took, in seconds."""

    at: float
    endpoint: str
    variant: str
    predicted: LatencyPrediction
    ttft: float
    tpot: float


class SimulatedEngine:
    """An engine ``slowdown`` times slower than an H100."""

    def __init__(self, name: str, variant: str, slowdown: float) -> None:
        self.name = name
        self.variant = variant
        self.slowdown = slowdown
        self.in_flight = 0
        self._engine = Engine(EngineConfig())
        self.driver = EngineDriver(self._engine, 1.0, lambda: self.slowdown, lambda _: None)
        self._reported = EndpointMetrics()

    def scrape(self) -> None:
        seen = self._engine.snapshot()
        self._reported = EndpointMetrics(
            waiting_queue_size=seen.waiting,
            running_requests=seen.running,
            kv_cache_utilization=seen.kv_cache_usage,
            cache_block_size=16,
            cache_num_blocks=26_500,
        )

    def endpoint(self) -> Endpoint:
        shown = make_endpoint(self.name, labels={"gpu": self.variant}, metrics=self._reported)
        return replace(shown, in_flight=self.in_flight)


@dataclass
class Traffic:
    """``rate`` requests a second at random times, with prompts and answers of random lengths."""

    rate: float
    seed: int = 0
    median_prompt: int = 1000
    answer: tuple[int, int] = (20, 120)
    shows_bodies: bool = True
    streamed: bool = True
    events: list[tuple[float, Callable[[], None]]] = field(default_factory=list)


def serve(
    producer: PredictedLatencyProducer, engines: Sequence[SimulatedEngine], traffic: Traffic, requests: int
) -> list[Seen]:
    """Sends so many requests, each to a random engine, and returns them in order of their first tokens."""
    return run_virtually(_Play(producer, engines, traffic).run(requests))


class _Play:
    def __init__(
        self, producer: PredictedLatencyProducer, engines: Sequence[SimulatedEngine], traffic: Traffic
    ) -> None:
        self._producer = producer
        self._engines = engines
        self._traffic = traffic
        self._random = random.Random(traffic.seed)
        self._seen: list[Seen] = []

    async def run(self, requests: int) -> list[Seen]:
        background = [asyncio.create_task(engine.driver.run()) for engine in self._engines]
        background.append(asyncio.create_task(self._scrape()))
        started = asyncio.get_running_loop().time()
        events = sorted(self._traffic.events, key=lambda event: event[0])
        async with asyncio.TaskGroup() as tasks:
            for number in range(requests):
                await asyncio.sleep(self._random.expovariate(self._traffic.rate))
                while events and asyncio.get_running_loop().time() - started >= events[0][0]:
                    events.pop(0)[1]()
                tasks.create_task(self._serve(number))
        for task in background:
            task.cancel()
        return self._seen

    async def _scrape(self) -> None:
        while True:
            for engine in self._engines:
                engine.scrape()
            await asyncio.sleep(SCRAPE_SECONDS)

    async def _serve(self, number: int) -> None:
        clock, traffic, chosen = asyncio.get_running_loop().time, self._traffic, self._random.choice(self._engines)
        prompt_tokens = min(16_000, max(20, round(self._random.lognormvariate(0.0, 0.8) * traffic.median_prompt)))
        answer_tokens = self._random.randint(*traffic.answer)
        state = CycleState(clock())
        state.write(PROMPT, Prompt(b"", prompt_tokens))
        request = replace(make_request(f"r{number}"), stream=traffic.streamed, received_at=clock())
        endpoints = [engine.endpoint() for engine in self._engines]
        await self._producer.produce(request, state, endpoints)
        (endpoint,) = (each for each in endpoints if each.name.endswith(chosen.name))
        predicted = state.read(LATENCY_PREDICTIONS.of(""))[endpoint.name]
        result = ProfileResult("default", (endpoint,), (ScoredEndpoint(endpoint, 1.0),))
        self._producer.pre_request(request, state, SchedulingResult("default", {"default": result}))
        chosen.in_flight += 1
        sent = clock()
        words = array("I", [self._random.getrandbits(30) for _ in range(prompt_tokens)])
        generation = chosen.driver.open(GenerationRequest(f"r{number}", words, generate_words(number, answer_tokens)))
        await generation.reach(1)
        first = clock()
        response = Response(200, Headers(), endpoint, streaming=traffic.streamed)
        if traffic.shows_bodies and traffic.streamed:
            state.now = first
            self._producer.response_body(
                request, state, response, ResponseChunk(b"data: x\n\n", first=True, last=False)
            )
        await generation.reach(answer_tokens)
        chosen.driver.close(generation)
        chosen.in_flight -= 1
        self._end(request, state, endpoint, sent, answer_tokens, response)
        tpot = (clock() - first) / (answer_tokens - 1)
        self._seen.append(Seen(sent, chosen.name, chosen.variant, predicted, first - sent, tpot))

    def _end(
        self,
        request: InferenceRequest,
        state: CycleState,
        endpoint: Endpoint,
        sent: float,
        answer_tokens: int,
        response: Response,
    ) -> None:
        state.now = asyncio.get_running_loop().time()
        usage = None
        if self._traffic.shows_bodies:
            body = b"data: x\n\n" * (answer_tokens - 1)
            self._producer.response_body(request, state, response, ResponseChunk(body, first=False, last=True))
            usage = Usage(0, answer_tokens)
        completion = Completion(
            endpoint,
            Termination.NATURAL,
            200,
            usage=usage,
            duration_seconds=state.now - sent,
            response_bytes=230 * answer_tokens if self._traffic.streamed else 500 + round(4.5 * answer_tokens),
        )
        self._producer.response_complete(request, state, completion)
