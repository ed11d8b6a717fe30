from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from turnout.config import load_pipeline
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.replay.replica import Replica
from turnout.epp.simulator.replay.routers import (
    RULES,
    DirectorRouter,
    Placement,
    Router,
    assigned_router,
    director_router,
    rule_router,
)
from turnout.framework import GaugeReading, Refusal
from turnout.plugins.inflight_load.producer import InFlightLoadProducer

CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: active-request-scorer
- type: random-picker
schedulingProfiles:
- name: default
  plugins: [{pluginRef: active-request-scorer}, {pluginRef: random-picker}]
"""


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Pool:
    """A store with three replicas."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.store = EndpointStore(self.clock)
        self.store.replace([Replica(number, EngineConfig(), seed=0).spec for number in range(3)])

    def in_flight(self) -> list[int]:
        return [endpoint.in_flight for endpoint in self.store.snapshot()]


async def placed(router: Router, request_id: str = "r", prompt: str = "text") -> Placement:
    outcome = await router.place(request_id, prompt)
    assert not isinstance(outcome, Refusal)
    return outcome


async def destinations(router: Router, count: int) -> list[str]:
    return [(await placed(router, f"r{number}")).destination.split(".")[3][0] for number in range(count)]


async def test_round_robin_takes_turns() -> None:
    pool = Pool()
    assert await destinations(rule_router("round-robin", 0)(pool.store, pool.clock), 5) == ["0", "1", "2", "0", "1"]


async def test_least_request_goes_where_fewest_are_in_flight_until_they_end() -> None:
    pool = Pool()
    router = rule_router("least-request", 0)(pool.store, pool.clock)
    first = [await placed(router) for _ in range(3)]
    assert pool.in_flight() == [1, 1, 1]
    first[1].accepted()
    first[1].first_token()
    assert pool.in_flight() == [1, 1, 1]
    first[1].ended(1, 1, 0)
    assert (await placed(router)).destination == first[1].destination
    assert pool.in_flight() == [1, 1, 1]


@pytest.mark.parametrize("name", sorted(RULES))
async def test_every_rule_repeats_itself_with_the_same_seed(name: str) -> None:
    runs = []
    for _ in range(2):
        pool = Pool()
        runs.append(await destinations(rule_router(name, 7)(pool.store, pool.clock), 20))
    assert runs[0] == runs[1]
    assert set(runs[0]) == {"0", "1", "2"}


async def test_ties_of_least_request_fall_to_everyone() -> None:
    pool = Pool()
    rule = RULES["least-request"](Random(0))
    chosen = Counter(rule(pool.store.candidates()).name for _ in range(60))
    assert len(chosen) == 3
    assert min(chosen.values()) > 5


async def test_an_assignment_is_followed_in_order() -> None:
    pool = Pool()
    assert await destinations(assigned_router([2, 0, 2])(pool.store, pool.clock), 3) == ["2", "0", "2"]


async def test_the_director_counts_a_request_until_its_end() -> None:
    pool = Pool()
    router = DirectorRouter(load_pipeline(CONFIG), pool.store, pool.clock, reads_responses=False)
    placement = await placed(router)
    assert sum(pool.in_flight()) == 1
    placement.accepted()
    placement.first_token()
    assert sum(pool.in_flight()) == 1
    placement.ended(1, 2, 0)
    assert sum(pool.in_flight()) == 0
    assert len(router.leases) == 0
    assert router.failures == 0


@pytest.mark.parametrize(
    ("reads_responses", "after_first_token"),
    [pytest.param(False, 26, id="as Envoy would"), pytest.param(True, 0, id="bodies shown")],
)
async def test_plugins_see_the_first_token_only_where_bodies_are_shown(
    reads_responses: bool, after_first_token: int
) -> None:
    pool = Pool()
    pipeline = load_pipeline(CONFIG)
    router = DirectorRouter(pipeline, pool.store, pool.clock, reads_responses=reads_responses)
    placement = await placed(router, prompt="x" * 102)
    placement.accepted()
    placement.first_token()
    load = pipeline.plugins["inflight-load-producer"]
    assert isinstance(load, InFlightLoadProducer)
    tokens = sum(reading.value for reading in load.readings() if isinstance(reading, GaugeReading))
    assert tokens == after_first_token
    placement.ended(25, 2, 16)
    assert list(load.readings()) == []


async def test_a_plugin_that_draws_without_a_seed_gets_one(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG)
    runs = []
    for seed in (1, 1, 2):
        make, _ = director_router(file, seed, reads_responses=False)
        pool = Pool()
        runs.append(await destinations(make(pool.store, pool.clock), 30))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


async def test_each_router_of_a_file_begins_without_memory(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG)
    make, _ = director_router(file, 1, reads_responses=False)
    runs = [await destinations(make(pool.store, pool.clock), 30) for pool in (Pool(), Pool())]
    assert runs[0] == runs[1]


async def test_an_empty_pool_refuses() -> None:
    pool = Pool()
    pool.store.replace([])
    router = DirectorRouter(load_pipeline(CONFIG), pool.store, pool.clock, reads_responses=False)
    outcome = await router.place("r", "text")
    assert isinstance(outcome, Refusal)
    assert outcome.message == "failed to find endpoint candidates for serving the request"


async def test_a_configuration_that_reads_no_bodies_gets_none() -> None:
    pool = Pool()
    blind = CONFIG.replace("plugins:\n", "plugins:\n- type: passthrough-parser\n", 1)
    pipeline = load_pipeline(f"{blind}requestHandler:\n  parsers: [{{pluginRef: passthrough-parser}}]\n")
    placement = await placed(DirectorRouter(pipeline, pool.store, pool.clock, reads_responses=False), prompt="x" * 102)
    load = pipeline.plugins["inflight-load-producer"]
    assert isinstance(load, InFlightLoadProducer)
    assert list(load.readings()) == []
    assert sum(pool.in_flight()) == 1
    placement.ended(26, 1, 0)
    assert sum(pool.in_flight()) == 0
