import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from turnout.framework import CounterReading, EndpointMetrics, Finding, GaugeReading, Reading
from turnout.framework.testing import make_endpoint
from turnout.plugins.latency.engine_timing import EngineTiming
from turnout.plugins.latency.predictor import Predictor, PredictorSettings, RequestShape
from turnout.plugins.latency.predictor_api import Features, Sample, Stated
from turnout.plugins.latency.predictor_servers import PredictorServers

BUSY = make_endpoint(
    "busy",
    labels={"role": "decode"},
    in_flight=7,
    metrics=EndpointMetrics(waiting_queue_size=2, running_requests=4, kv_cache_utilization=0.5),
)
IDLE = make_endpoint("idle")
SHAPE = RequestShape(1000, [250, 1000], 100)
ONE = replace(SHAPE, uncached=[250])


class Recorded:
    """Servers that predict the same of every row. Implements ``Servers``."""

    def __init__(self, stated: Stated | None = None) -> None:
        self._stated = stated
        self.rows: list[Features] = []
        self.samples: list[Sample] = []

    async def predict(self, rows: Sequence[Features], now: float) -> Sequence[Stated] | None:
        self.rows.extend(rows)
        return None if self._stated is None else [self._stated] * len(rows)

    def learn(self, sample: Sample) -> None:
        self.samples.append(sample)

    async def run(self) -> None:
        return

    def findings(self) -> Iterable[Finding]:
        return ()

    def readings(self) -> Iterable[Reading]:
        return ()


def values(servers: PredictorServers, name: str) -> dict[str, float]:
    return {
        "".join(each.labels.values()): each.value
        for each in servers.readings()
        if each.name == name and isinstance(each, CounterReading | GaugeReading)
    }


def test_servers_are_asked_by_what_the_picker_knows_of_each_endpoint() -> None:
    recorded = Recorded()
    servers = PredictorServers(recorded, "role")
    assert asyncio.run(servers.ask(SHAPE, [BUSY, IDLE], 0.0)) is None
    assert recorded.rows == [Features(0.5, 1000, 2, 7, 0.75, "decode"), Features(0.0, 1000, 0, 0, 0.0)]


def test_prompts_whose_first_token_has_not_come_are_in_flight() -> None:
    recorded = Recorded()
    servers = PredictorServers(recorded, "")

    def in_flight() -> list[int]:
        recorded.rows.clear()
        asyncio.run(servers.ask(SHAPE, [BUSY, IDLE], 0.0))
        return [row.prefill_tokens_in_flight for row in recorded.rows]

    first, second = (servers.dispatched(ONE, BUSY, None, 0.0) for _ in range(2))
    assert (first.features.prefill_tokens_in_flight, second.features.prefill_tokens_in_flight) == (0, 1000)
    assert in_flight() == [2000, 0]
    servers.saw_ttft(first, 0.1)
    servers.ended(first)
    assert in_flight() == [1000, 0]
    servers.ended(second)
    assert in_flight() == [0, 0]


def test_a_stated_quantile_is_published_as_the_median_with_what_only_this_process_knows() -> None:
    servers = PredictorServers(Recorded(), "")
    own = Predictor(PredictorSettings(EngineTiming())).predict(SHAPE, [BUSY, IDLE], {IDLE.name: 30.0}, 0.0)
    found = servers.published([Stated(0.2, 0.02, 0.9), Stated(0.4, 0.02, 0.5)], [BUSY, IDLE], own)
    # At first, times are taken to scatter by half.
    assert found[BUSY.name].ttft_seconds == pytest.approx(0.2 * 0.527, rel=0.01)
    assert found[BUSY.name].tpot_seconds == pytest.approx(0.02 * 0.527, rel=0.01)
    assert found[IDLE.name].ttft_seconds == pytest.approx(30.4)
    assert found[BUSY.name].busy_seconds == own.predictions[BUSY.name].busy_seconds
    assert found[BUSY.name].confidence == 1.0


def test_what_was_observed_is_told_without_what_loading_the_model_took() -> None:
    recorded = Recorded()
    servers = PredictorServers(recorded, "")
    followed = servers.dispatched(ONE, BUSY, None, 30.0)
    servers.saw_ttft(followed, 30.25)
    servers.saw_tpot(followed, 0.02)
    assert [(told.actual_ttft_ms, told.actual_tpot_ms) for told in recorded.samples] == [
        (pytest.approx(250.0), 0.0),
        (0.0, pytest.approx(20.0)),
    ]
    assert recorded.samples[0].prefix_cache_score == 0.75


def test_servers_that_were_wrong_lately_are_trusted_less_and_their_error_is_shown() -> None:
    servers = PredictorServers(Recorded(), "")
    own = Predictor(PredictorSettings(EngineTiming())).predict(ONE, [BUSY], {}, 0.0)
    for number in range(100):
        predicted = servers.published([Stated(0.2, 0.02, 0.5)], [BUSY], own)[BUSY.name]
        followed = servers.dispatched(ONE, BUSY, predicted, 0.0)
        servers.saw_ttft(followed, 0.01 if number % 2 else 0.2)
        servers.saw_tpot(followed, 0.02)
    found = servers.published([Stated(0.2, 0.02, 0.5)], [BUSY], own)[BUSY.name]
    assert found.confidence == 0.0
    assert found.ttft_spread > 1.0
    assert found.tpot_spread < 0.2
    assert values(servers, "latency_predictor_error_ratio")["ttft"] > 5.0
    assert values(servers, "latency_predictions_total") == {"server": 100, "in-process": 0}
    servers.dispatched(ONE, BUSY, None, 0.0)
    assert values(servers, "latency_predictions_total") == {"server": 100, "in-process": 1}
