"""A run of the scenario on virtual time: the server's director and flow control, simulated engines, no processes.

It leaves out what Envoy, Python and the machine add, and comes out the same each time.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

from turnout.config import load_pipeline
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.demo.overload.answers import Answer, Answers
from turnout.epp.demo.overload.client import LEVEL_HEADER
from turnout.epp.demo.overload.engines import SERVERS, SLOTS, TIME_SCALE
from turnout.epp.demo.overload.workload import Arrival
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
from turnout.epp.wire_names import FAIRNESS_ID
from turnout.framework import Headers, PluginError, Refusal, Termination

SCRAPE_SECONDS = 0.05
ENGINE = EngineConfig(
    max_num_seqs=SLOTS, timing=StepTiming(**{name: ms * TIME_SCALE for name, ms in asdict(StepTiming()).items()})
)


def run(profile: str, requests: Sequence[Arrival]) -> Answers:
    """What becomes of the requests under a profile, whose picker gets a seed."""
    seeded = profile.replace("- type: max-score-picker", "- type: max-score-picker\n  parameters: {seed: 1}")
    return run_virtually(_run(seeded, requests))


async def _run(profile: str, requests: Sequence[Arrival]) -> Answers:
    pool, seen = _Pool(profile), Answers()
    with pool.at_work():
        async with asyncio.TaskGroup() as sending:
            for request in requests:
                await asyncio.sleep(pool.started + request.at - pool.clock())
                seen.late.append(0.0)
                sending.create_task(pool.send(request, seen))
    seen.seconds = pool.clock() - pool.started
    return seen


class _Pool:
    def __init__(self, profile: str) -> None:
        self.clock = asyncio.get_running_loop().time
        self.started = self.clock()
        self._replicas = {replica.destination: replica for replica in (Replica(n, ENGINE, n) for n in range(SERVERS))}
        self._store = EndpointStore(self.clock)
        self._store.replace([replica.spec for replica in self._replicas.values()])
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

    async def send(self, request: Arrival, seen: Answers) -> None:
        """Routes a request and lets its engine answer it."""
        routed = await self._director.route(_head(request), _body(request))
        if isinstance(routed, Refusal):
            waited = self.clock() - self.started - request.at
            seen.answers.append(Answer(request, "refused", waited, waited, routed.dropped_reason))
            return
        prompt = generate_words(request.number, request.prompt_tokens)
        first: list[float] = []
        note = partial(self._note, first)
        destination = routed.routed.destination
        await self._replicas[destination].answer(str(request.number), prompt, request.answer_tokens, note)
        self._end(routed, destination)
        due = self.started + request.at
        seen.answers.append(Answer(request, "served", first[0] - due, self.clock() - due))

    def _note(self, times: list[float]) -> None:
        times.append(self.clock())

    def _end(self, routed: Exchange, destination: str) -> None:
        end = LoggedEnd(
            cause=Termination.NATURAL,
            status=200,
            served_by=destination,
            attempts=1,
            failed_upstream=False,
            first_byte_seconds=0.0,
            response_bytes=0,
        )
        self._leases.ended(routed.routed.lease, end)


def _unwanted(error: PluginError) -> None:
    raise AssertionError(str(error))


def _head(request: Arrival) -> RequestHead:
    named = [("x-request-id", str(request.number)), (LEVEL_HEADER, request.level), (FAIRNESS_ID[0], request.tenant)]
    usual = [(":method", "POST"), (":path", "/v1/completions"), ("content-type", "application/json")]
    return RequestHead(Headers(usual + named), lease=str(request.number))


def _body(request: Arrival) -> RequestBody:
    return RequestBody(json.dumps({"model": "m", "prompt": "word" * request.prompt_tokens, "stream": True}).encode())
