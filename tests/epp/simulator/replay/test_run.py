import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from epp.simulator.replay.traces import conversations, line, written
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.replay.routers import Placement, Router, RouterFactory, director_router, rule_router
from turnout.epp.simulator.replay.run import Outcome, ReplayOptions, replay
from turnout.epp.simulator.replay.trace import TracedRequest, read_trace
from turnout.framework import Endpoint, Refusal, RefusalKind

PREFIX = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: prefix-cache-scorer
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer}]
"""


@pytest.fixture
def chats(tmp_path: Path) -> list[TracedRequest]:
    return read_trace(written(tmp_path, conversations(count=12, turns=4)))


def figures(outcome: Outcome) -> Outcome:
    return dataclasses.replace(outcome, wall_seconds=0.0)


def test_every_request_is_answered_once(chats: list[TracedRequest]) -> None:
    ends: list[None] = []
    outcome = replay(chats, ReplayOptions(endpoints=3), rule_router("round-robin", 0), lambda: ends.append(None))
    assert (len(outcome.ttfts), len(outcome.durations), len(ends)) == (48, 48, 48)
    assert outcome.per_endpoint == [16, 16, 16]
    assert outcome.refused == Counter()
    assert outcome.prompt_tokens == sum(request.input_tokens for request in chats)
    assert all(first <= whole for first, whole in zip(sorted(outcome.ttfts), sorted(outcome.durations), strict=True))
    assert 3.0 < outcome.virtual_seconds < 5.0


def test_following_the_prefix_finds_more_of_it_than_taking_turns(tmp_path: Path, chats: list[TracedRequest]) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(PREFIX)
    by_prefix, _ = director_router(file, 0, reads_responses=False)
    options = ReplayOptions(endpoints=3)
    prefix, turns = replay(chats, options, by_prefix), replay(chats, options, rule_router("round-robin", 0))
    # 12 chats of 4 turns of 2 to 5 blocks of 512 tokens, all of which but the last one were computed before.
    assert prefix.prompt_tokens == turns.prompt_tokens == 12 * (2 + 3 + 4 + 5 - 4 + 4) * 512
    assert prefix.cached_tokens > turns.cached_tokens + 10_000
    assert prefix.plugin_failures == 0


def test_equal_seeds_give_equal_figures(tmp_path: Path, chats: list[TracedRequest]) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(PREFIX)
    make, _ = director_router(file, 5, reads_responses=True)
    options = ReplayOptions(endpoints=3, seed=5)
    assert figures(replay(chats, options, make)) == figures(replay(chats, options, make))


def test_the_latency_of_one_request_is_the_engines() -> None:
    request = TracedRequest(0.0, 2048, 3, (1, 2, 3, 4))
    outcome = replay([request], ReplayOptions(endpoints=1), rule_router("random", 0))
    # 1.5 ms + 2.048 x 20 ms + 2.048^2 x 0.406 ms for the prompt, then two steps of 6.36 ms and some for the context.
    assert outcome.ttfts == pytest.approx([0.04416], abs=0.0002)
    assert outcome.durations == pytest.approx([0.04416 + 2 * 0.00646], abs=0.0002)


class Recorder:
    """Sees what the store shows at each arrival, and refuses every second request."""

    failures = 3

    def __init__(self, store: EndpointStore) -> None:
        self.store = store
        self.seen: list[Endpoint] = []
        self.inner = rule_router("round-robin", 0)(store, lambda: 0.0)

    async def place(self, request_id: str, prompt: str) -> Placement | Refusal:
        self.seen.append(self.store.snapshot()[0])
        if len(self.seen) % 2 == 0:
            return Refusal(RefusalKind.RESOURCE_EXHAUSTED, "too much")
        return await self.inner.place(request_id, prompt)


def recorded() -> tuple[list[Recorder], RouterFactory]:
    made: list[Recorder] = []

    def make(store: EndpointStore, _: Callable[[], float]) -> Router:
        made.append(Recorder(store))
        return made[0]

    return made, make


def test_refusals_are_counted_with_their_reason(chats: list[TracedRequest]) -> None:
    _, make = recorded()
    outcome = replay(chats, ReplayOptions(endpoints=2), make)
    assert outcome.refused == Counter({"too much": 24})
    assert len(outcome.ttfts) == sum(outcome.per_endpoint) == 24
    assert outcome.plugin_failures == 3


def test_routers_see_the_engines_as_last_scraped() -> None:
    # A request that runs for 6 s, and two that arrive before and after the next scrape.
    requests = [TracedRequest(0.0, 512, 900, (1,)), *(TracedRequest(at, 512, 1, (2,)) for at in (0.9, 1.1))]
    made, make = recorded()
    replay(requests, ReplayOptions(endpoints=1, scrape_interval_seconds=1.0), make)
    seen = [(e.metrics.running_requests, e.metrics.waiting_queue_size, e.in_flight) for e in made[0].seen]
    # Before the scrape the dispatched request counts as waiting.
    assert seen == [(0, 0, 0), (0, 1, 1), (1, 0, 1)]
    assert made[0].seen[0].metrics.cache_num_blocks == 26_500


def test_a_request_that_no_engine_takes_is_named_before_anything_runs(tmp_path: Path) -> None:
    requests = read_trace(written(tmp_path, [line(0, [0]), line(0, [0], output_length=600)]))
    options = ReplayOptions(engine=EngineConfig(max_model_len=1000))
    with pytest.raises(ValueError, match="a request of 1112 tokens exceeds max_model_len"):
        replay(requests, options, rule_router("random", 0))


@pytest.mark.parametrize(
    ("endpoints", "interval", "complaint"),
    [
        pytest.param(0, 0.05, "endpoints must be from 1 to 1024, got 0", id="no endpoint"),
        pytest.param(1025, 0.05, "endpoints must be from 1 to 1024, got 1025", id="too many endpoints"),
        pytest.param(1, 0.0, "scrape_interval must be above 0, got 0", id="no interval"),
    ],
)
def test_options_out_of_range_are_refused(endpoints: int, interval: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ReplayOptions(endpoints=endpoints, scrape_interval_seconds=interval)
