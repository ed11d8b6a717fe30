"""Predictions of servers in place of those of this process, and what the servers may learn from."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from turnout.framework import CounterReading, Endpoint, Finding, GaugeReading, Reading
from turnout.plugins.latency.accuracy import Accuracy
from turnout.plugins.latency.keys import LatencyPrediction
from turnout.plugins.latency.predictor import RequestShape, Table
from turnout.plugins.latency.predictor_api import Features, Sample, Stated, median_share, sample

SERVER, IN_PROCESS = SOURCES = ("server", "in-process")


class Servers(Protocol):
    """Those that are asked and told."""

    async def predict(self, rows: Sequence[Features], now: float) -> Sequence[Stated] | None:
        """A prediction of each row, or None if there are none in time."""
        ...

    def learn(self, sample: Sample) -> None:
        """Takes in what came of a request."""
        ...

    async def run(self) -> None:
        """Tells servers until cancelled."""
        ...

    def findings(self) -> Iterable[Finding]:
        """What is wrong with them."""
        ...

    def readings(self) -> Iterable[Reading]:
        """Their own figures."""
        ...


@dataclass(slots=True)
class Followed:
    """A request on its way: what a server knew of it, and what it predicted, if that was used."""

    endpoint: str
    features: Features
    predicted: LatencyPrediction | None
    load_seconds: float
    prefilling: bool = True


class PredictorServers:
    """Memory is that of the endpoints with requests in flight. ``role_label`` tells what kind of work they do."""

    def __init__(self, servers: Servers, role_label: str) -> None:
        self._servers = servers
        self._role_label = role_label
        self._prefill_tokens: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._ttft = Accuracy()
        self._tpot = Accuracy()

    async def ask(self, shape: RequestShape, endpoints: Sequence[Endpoint], now: float) -> Sequence[Stated] | None:
        """What servers predict for each endpoint, in their order, if they do in time."""
        return await self._servers.predict(self._rows(shape, endpoints), now)

    def published(
        self, stated: Sequence[Stated], endpoints: Sequence[Endpoint], own: Table
    ) -> Mapping[str, LatencyPrediction]:
        """The servers' predictions as medians; what they do not tell is from ``own``, those of this process."""
        ttft_spread, tpot_spread = self._ttft.spread, self._tpot.spread
        confidence = min(self._ttft.confidence, self._tpot.confidence)
        return {
            endpoint.name: LatencyPrediction(
                load_seconds + ttft * median_share(quantile, ttft_spread),
                tpot * median_share(quantile, tpot_spread),
                ttft_spread,
                tpot_spread,
                own.predictions[endpoint.name].busy_seconds,
                confidence,
            )
            for endpoint, (ttft, tpot, quantile), load_seconds in zip(
                endpoints, stated, own.load_seconds.tolist(), strict=True
            )
        }

    def dispatched(
        self, shape: RequestShape, endpoint: Endpoint, predicted: LatencyPrediction | None, load_seconds: float
    ) -> Followed:
        """A request goes to the endpoint; ``predicted`` is what a server said of it, None if that was not used."""
        (features,) = self._rows(shape, [endpoint])
        self._prefill_tokens[endpoint.name] += features.input_token_length
        self._used[IN_PROCESS if predicted is None else SERVER] += 1
        return Followed(endpoint.name, features, predicted, load_seconds)

    def saw_ttft(self, followed: Followed, seconds: float) -> None:
        """The first token came after so many seconds."""
        self._prefilled(followed)
        if seconds > followed.load_seconds:
            self._servers.learn(sample(followed.features, ttft_seconds=seconds - followed.load_seconds))
        if followed.predicted is not None:
            _judge(self._ttft, followed.predicted.ttft_seconds, seconds)

    def saw_tpot(self, followed: Followed, seconds: float) -> None:
        """The tokens came so far apart on average."""
        if seconds > 0.0:
            self._servers.learn(sample(followed.features, tpot_seconds=seconds))
        if followed.predicted is not None:
            _judge(self._tpot, followed.predicted.tpot_seconds, seconds)

    def ended(self, followed: Followed) -> None:
        """The request is over, however."""
        self._prefilled(followed)

    async def run(self) -> None:
        """Tells servers until cancelled."""
        await self._servers.run()

    def findings(self) -> Iterable[Finding]:
        """What is wrong with the servers."""
        return self._servers.findings()

    def readings(self) -> Iterable[Reading]:
        """Which source was used, and how good the servers' predictions were."""
        name, text = "latency_predictions_total", "Dispatched requests by where their prediction is from."
        for source in SOURCES:
            yield CounterReading(name, text, self._used[source], {"source": source})
        for kind, accuracy in (("ttft", self._ttft), ("tpot", self._tpot)):
            name, text = "latency_predictor_error_ratio", "Mean absolute error of servers' predictions of late."
            yield GaugeReading(name, text, accuracy.mape, {"type": kind})
        yield from self._servers.readings()

    def _rows(self, shape: RequestShape, endpoints: Sequence[Endpoint]) -> list[Features]:
        tokens, role, prefilling = shape.prompt_tokens, self._role_label, self._prefill_tokens
        rows = []
        for endpoint, uncached in zip(endpoints, shape.uncached, strict=True):
            metrics, name = endpoint.metrics, endpoint.name
            rows.append(
                Features(
                    min(1.0, max(0.0, metrics.kv_cache_utilization)),
                    tokens,
                    max(0, metrics.waiting_queue_size),
                    max(endpoint.in_flight, metrics.running_requests),
                    min(1.0, max(0.0, 1.0 - uncached / tokens)) if tokens else 0.0,
                    endpoint.labels.get(role, "") if role else "",
                    prefilling[name],
                )
            )
        return rows

    def _prefilled(self, followed: Followed) -> None:
        if followed.prefilling:
            followed.prefilling = False
            self._prefill_tokens[followed.endpoint] -= followed.features.input_token_length
            if not self._prefill_tokens[followed.endpoint]:
                del self._prefill_tokens[followed.endpoint]


def _judge(accuracy: Accuracy, predicted: float, observed: float) -> None:
    if predicted > 0.0 and observed > 0.0:
        accuracy.observe(predicted, observed)
