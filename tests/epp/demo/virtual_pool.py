"""A pool on virtual time: the server's director and flow control, simulated engines, no processes.

It leaves out what Envoy, Python and the machine add, and comes out the same each time.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Generic, Protocol

from turnout.config import load_pipeline
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.demo.timed.answers import Answer, Answers, R, TimedRequest
from turnout.epp.flowcontrol.admissions import Admissions
from turnout.epp.flowcontrol.observer import Unobserved
from turnout.epp.observe.decisions import DecisionLog
from turnout.epp.observe.fanout import Observers
from turnout.epp.requests.director import Director, DirectorOptions
from turnout.epp.requests.dispatch import LoggedEnd
from turnout.epp.requests.exchange import Exchange, RequestBody, RequestHead
from turnout.epp.requests.leases import LeaseBook
from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.replay.replica import Replica
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.epp.simulator.timing import StepTiming
from turnout.epp.simulator.tokens import generate_words
from turnout.framework import Headers, PluginError, Refusal, Termination

SCRAPE_SECONDS = 0.05
PIECE = b'data: {"choices":[]}\n\n'


class SizedTimedRequest(TimedRequest, Protocol):
    """What a virtual run needs of a request."""

    @property
    def number(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...


def engine(slots: int, time_scale: float) -> EngineConfig:
    """So many slots, and so many times slower than an H100."""
    timing = StepTiming(**{name: ms * time_scale for name, ms in asdict(StepTiming()).items()})
    return EngineConfig(max_num_seqs=slots, timing=timing)


Servers = Sequence[tuple[EngineConfig, Mapping[str, str]]]


def run(profile: str, servers: Servers, requests: Sequence[R], *, bodies: bool = False) -> "VirtualRun[R]":
    """What becomes of the requests under a profile, whose picker gets a seed; ``bodies``: it sees first pieces."""
    seeded = profile.replace("- type: max-score-picker", "- type: max-score-picker\n  parameters: {seed: 1}")
    pool: VirtualRun[R] = VirtualRun()
    run_virtually(pool.run(seeded, servers, requests, bodies=bodies))
    return pool


class VirtualRun(Generic[R]):
    """What came of a run; ``served_by`` has the number of the server of each request that was served."""

    def __init__(self) -> None:
        self.answers: Answers[R] = Answers()
        self.served_by: dict[int, int] = {}

    async def run(self, profile: str, servers: Servers, requests: Sequence[R], *, bodies: bool) -> None:
        """Sends each request at its time."""
        pool = _Pool(profile, servers, bodies=bodies)
        with pool.at_work():
            async with asyncio.TaskGroup() as sending:
                for request in requests:
                    await asyncio.sleep(pool.started + request.at - pool.clock())
                    self.answers.late.append(0.0)
                    sending.create_task(pool.send(request, self))
        self.answers.seconds = pool.clock() - pool.started


class _Pool:
    def __init__(self, profile: str, servers: Servers, *, bodies: bool) -> None:
        self.clock = asyncio.get_running_loop().time
        self.started = self.clock()
        self._bodies = bodies
        made = [Replica(number, config, number) for number, (config, _) in enumerate(servers)]
        self._numbers = {replica.destination: number for number, replica in enumerate(made)}
        self._replicas = {replica.destination: replica for replica in made}
        self._store = EndpointStore(self.clock)
        specs = [replace(replica.spec, labels=labels) for replica, (_, labels) in zip(made, servers, strict=True)]
        self._store.replace(specs)
        self._leases = LeaseBook()
        pipeline = load_pipeline(profile)
        admissions = Admissions(self._store, Unobserved(), _unwanted, self.clock, pipeline)
        self._store.on_load_change(admissions.wake)
        log = DecisionLog(sample_rate=0.0)
        rest = (Observers(), log, self._leases, admissions.current, self.clock, DirectorOptions())
        self._director = Director(pipeline, self._store, *rest)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The engines run, and are scraped."""
        work = (each for replica in self._replicas.values() for each in (replica.run(), self._scrape(replica)))
        tasks = [asyncio.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()

    async def _scrape(self, replica: Replica) -> None:
        while True:
            self._store.update(replica.spec.name, replica.metrics(self.clock()))
            await asyncio.sleep(SCRAPE_SECONDS)

    async def send(self, request: R, seen: VirtualRun[R]) -> None:
        """Routes a request and lets its engine answer it."""
        sized: SizedTimedRequest = request  # type: ignore[assignment]
        routed = await self._director.route(_head(sized), _body(sized))
        if isinstance(routed, Refusal):
            waited = self.clock() - self.started - request.at
            seen.answers.answers.append(Answer(request, "refused", waited, waited, routed.dropped_reason))
            return
        prompt = generate_words(sized.number, sized.prompt_tokens)
        first: list[float] = []
        note = partial(self._note, routed, first)
        destination = routed.routed.destination
        seen.served_by[sized.number] = self._numbers[destination]
        await self._replicas[destination].answer(str(sized.number), prompt, request.answer_tokens, note)
        self._end(routed, destination, request.answer_tokens)
        due = self.started + request.at
        seen.answers.answers.append(Answer(request, "served", first[0] - due, self.clock() - due))

    def _note(self, routed: Exchange, times: list[float]) -> None:
        times.append(self.clock())
        if self._bodies:
            routed.response_headers(Headers([(":status", "200"), ("content-type", "text/event-stream")]))
            routed.response_body(PIECE, last=False)

    def _end(self, routed: Exchange, destination: str, tokens: int) -> None:
        end = LoggedEnd(
            cause=Termination.NATURAL,
            status=200,
            served_by=destination,
            attempts=1,
            failed_upstream=False,
            first_byte_seconds=0.0,
            response_bytes=tokens * len(PIECE),
        )
        self._leases.ended(routed.routed.lease, end)


def _unwanted(error: PluginError) -> None:
    raise AssertionError(str(error))


def _head(request: SizedTimedRequest) -> RequestHead:
    number = str(request.number)
    named = [("x-request-id", number), *request.headers.items()]
    usual = [(":method", "POST"), (":path", "/v1/completions"), ("content-type", "application/json")]
    return RequestHead(Headers(usual + named), lease=number)


def _body(request: SizedTimedRequest) -> RequestBody:
    return RequestBody(
        json.dumps(
            {"model": "m", "prompt": request.prompt(0), "max_tokens": request.answer_tokens, "stream": True}
        ).encode()
    )
