"""Predicts TTFT and TPOT of one request on each of many endpoints, and learns from what happened.

Theory of operation. For each endpoint the parts of both times are worked out by the engine's form (``EngineTiming``)
from what is known of the request, of the work that was sent there, and of the engine's report; all endpoints at once.
Each part is multiplied by what the endpoint's variant has learnt of it, and the sum by the endpoint's own factor. What
the prediction was made of is kept for the endpoint that the request goes to, until its times are known.

The parts of TTFT: what every request takes; the weights, which a step reads; what the prompt's own computation takes
beyond that; what is ahead of it, prompts or a place in a full batch; the batch that decodes meanwhile; an adapter that
is to be loaded. Those of TPOT: the weights; the batch; prompts of others, which hold up the steps of all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from turnout.framework import Endpoint
from turnout.plugins.latency.engine_timing import MILLISECOND, EngineTiming, Floats
from turnout.plugins.latency.keys import LatencyPrediction
from turnout.plugins.latency.variant import TTFT_PARTS, Variant
from turnout.plugins.latency.work import EndpointWork

MAX_VARIANTS = 64
OTHER = "other"
FEWEST_PLACES = 8
"""No engine is taken for full while it runs fewer."""

PREFILL = slice(TTFT_PARTS.index("weights"), TTFT_PARTS.index("prompt") + 1)
"""The parts that compute the prompt itself."""


@dataclass(frozen=True, slots=True)
class RequestShape:
    """What of a request decides how long it takes.

    ``uncached`` has a number for each endpoint, in their order; ``adapter`` is the LoRA adapter it asks for, if any.
    """

    prompt_tokens: int
    uncached: Sequence[int]
    output_tokens: int
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class PredictorSettings:
    """``max_running_requests`` is how many requests an engine runs at once; 0: the most that it was seen to run."""

    timing: EngineTiming
    variant_labels: tuple[str, ...] = ()
    max_running_requests: int = 0
    adapter_load_seconds: float = 1.0


class Site:
    """One endpoint: its variant, its own factors and its work. ``levels`` are logarithms, of TTFT and of TPOT."""

    __slots__ = ("levels", "most_running", "variant", "work")

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.levels = (0.0, 0.0)
        self.work = EndpointWork()
        self.most_running = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A prediction and the parts it was made of, by the prior and in seconds; ``load_seconds`` come before all."""

    prediction: LatencyPrediction
    ttft_priors: Sequence[float]
    tpot_priors: Sequence[float]
    load_seconds: float
    prefill_seconds: float


@dataclass(frozen=True, slots=True)
class Table:
    """The predictions for one request, with what they were made of: a column for each endpoint."""

    predictions: Mapping[str, LatencyPrediction]
    ttft_priors: Floats
    tpot_priors: Floats
    load_seconds: Floats
    prefill_seconds: Floats

    def row(self, name: str) -> Row | None:
        """That of one endpoint, if there is one."""
        prediction = self.predictions.get(name)
        if prediction is None:
            return None
        place = list(self.predictions).index(name)
        ttft_priors, tpot_priors = self.ttft_priors[:, place].tolist(), self.tpot_priors[:, place].tolist()
        load_seconds, prefill_seconds = float(self.load_seconds[place]), float(self.prefill_seconds[place])
        return Row(prediction, ttft_priors, tpot_priors, load_seconds, prefill_seconds)


@dataclass(frozen=True, slots=True)
class _Pool:
    """What is known of the endpoints apart from the request."""

    sites: Sequence[Site]
    levels: Floats
    factors: Floats
    """Those of the parts of TTFT and then of TPOT, by what is known of the variants."""
    sequences: Floats
    """That decode or are about to."""
    batch_seconds: Floats
    """What they add to a step."""
    prefill_share: Floats


class Predictor:
    """Knows the endpoints by name. Memory is that of the endpoints in the pool, and of at most 64 variants."""

    def __init__(self, settings: PredictorSettings) -> None:
        self._settings = settings
        self._timing = settings.timing
        self.variants: dict[str, Variant] = {}
        self.sites: dict[str, Site] = {}

    def keep_only(self, names: frozenset[str]) -> None:
        """Forgets endpoints that left, except those with work on its way."""
        self.sites = {name: site for name, site in self.sites.items() if name in names or site.work.requests}

    def variant(self, name: str) -> Variant:
        """The variant of this name; beyond 64 all others are one."""
        found = self.variants.get(name)
        if found is None:
            name = name if len(self.variants) < MAX_VARIANTS else OTHER
            found = self.variants.setdefault(name, Variant(name))
        return found

    def site(self, endpoint: Endpoint) -> Site:
        """What is known of an endpoint."""
        found = self.sites.get(endpoint.name)
        if found is None:
            labels = (endpoint.labels.get(label, "") for label in self._settings.variant_labels)
            found = self.sites[endpoint.name] = Site(self.variant("/".join(labels)))
        return found

    def predict(
        self, shape: RequestShape, endpoints: Sequence[Endpoint], loading: Mapping[str, float], now: float
    ) -> Table:
        """The times at each endpoint; ``loading`` is how long one is busy before it can begin with such a request."""
        names = [endpoint.name for endpoint in endpoints]
        pool = self._pool(endpoints, now)
        load_seconds = np.array([loading.get(name, 0.0) for name in names])
        tpot_priors = self._tpot_priors(pool)
        tpot = pool.levels[1] * (pool.factors[len(TTFT_PARTS) :] * tpot_priors).sum(axis=0)
        ttft_priors = self._ttft_priors(shape, endpoints, pool, tpot, now)
        ttft = load_seconds + pool.levels[0] * (pool.factors[: len(TTFT_PARTS)] * ttft_priors).sum(axis=0)
        prefill = pool.levels[0] * (pool.factors[PREFILL] * ttft_priors[PREFILL]).sum(axis=0)
        busy = prefill + self._decoding(shape, pool, tpot / tpot_priors.sum(axis=0))
        judged = {name: (*variant.spreads, variant.confidence) for name, variant in self.variants.items()}
        predictions = {}
        for name, site, *times in zip(names, pool.sites, ttft.tolist(), tpot.tolist(), busy.tolist(), strict=True):
            ttft_spread, tpot_spread, confidence = judged[site.variant.name]
            ttft_seconds, tpot_seconds, busy_seconds = times
            predictions[name] = LatencyPrediction(
                ttft_seconds, tpot_seconds, ttft_spread, tpot_spread, busy_seconds, confidence
            )
        return Table(predictions, ttft_priors, tpot_priors, load_seconds, prefill)

    def _pool(self, endpoints: Sequence[Endpoint], now: float) -> _Pool:
        sites = [self.site(endpoint) for endpoint in endpoints]
        seen = [(endpoint, endpoint.metrics, site) for endpoint, site in zip(endpoints, sites, strict=True)]
        sequences = [
            max(endpoint.in_flight, metrics.running_requests + metrics.waiting_queue_size)
            for endpoint, metrics, _ in seen
        ]
        context = [
            max(
                metrics.kv_cache_utilization * metrics.cache_num_blocks * metrics.cache_block_size,
                site.work.context_tokens,
            )
            for _, metrics, site in seen
        ]
        running = np.array(sequences, dtype=np.float64)
        places = {variant.name: place for place, variant in enumerate(self.variants.values())}
        factors = [(*variant.ttft.factors.values, *variant.tpot.factors.values) for variant in self.variants.values()]
        return _Pool(
            sites=sites,
            factors=np.array(factors).T[:, [places[site.variant.name] for site in sites]],
            levels=np.exp(np.array([site.levels for site in sites]).T),
            sequences=running,
            batch_seconds=self._timing.batch_seconds(running, np.array(context)),
            prefill_share=np.array([site.work.prefill_share(now) for site in sites]),
        )

    def _tpot_priors(self, pool: _Pool) -> Floats:
        weights = np.full_like(pool.batch_seconds, self._timing.weights_ms * MILLISECOND)
        step = weights + pool.batch_seconds
        return np.stack([weights, pool.batch_seconds, step * pool.prefill_share / (1.0 - pool.prefill_share)])

    def _ttft_priors(
        self, shape: RequestShape, endpoints: Sequence[Endpoint], pool: _Pool, tpot: Floats, now: float
    ) -> Floats:
        uncached = np.array(shape.uncached, dtype=np.float64)
        ahead = [
            max(site.work.prefill_ahead(now), self._wait_for_a_place(endpoint, site, shape, step, now))
            for endpoint, site, step in zip(endpoints, pool.sites, tpot.tolist(), strict=True)
        ]
        adapter, load = shape.adapter, self._settings.adapter_load_seconds
        return np.stack(
            [
                np.full_like(uncached, self._timing.overhead_ms * MILLISECOND),
                *self._timing.prefill_seconds(uncached, shape.prompt_tokens),
                # In seconds as they will be, which the endpoint's own factor must not multiply once more.
                np.array(ahead) / pool.levels[0],
                self._timing.steps(uncached) * pool.batch_seconds,
                np.array([load * (adapter not in endpoint.metrics.active_adapters) for endpoint in endpoints])
                if adapter
                else np.zeros_like(uncached),
            ]
        )

    def _wait_for_a_place(
        self, endpoint: Endpoint, site: Site, shape: RequestShape, tpot_seconds: float, now: float
    ) -> float:
        """By the engine's word so many wait for their prompts to be computed or, in a full engine, for a place."""
        waiting, running = endpoint.metrics.waiting_queue_size, endpoint.metrics.running_requests
        site.most_running = max(site.most_running, running)
        if not waiting:
            return 0.0
        # Where others wait while more run than ever before, the engine is most likely full.
        places = self._settings.max_running_requests or max(FEWEST_PLACES, site.most_running)
        if running >= places:
            if site.work.requests >= running:
                return site.work.place_in(places, now)
            # Most of what runs was sent by others.
            return (waiting + 1) * shape.output_tokens * tpot_seconds / running
        return waiting * site.work.usual_prefill

    def _decoding(self, shape: RequestShape, pool: _Pool, factor: Floats) -> Floats:
        """What of the engine's time the answer takes: its share of the weights, and its own context in each step."""
        own = float(shape.prompt_tokens + shape.output_tokens / 2)
        weights = self._timing.weights_ms * MILLISECOND / (pool.sequences + 1.0)
        return shape.output_tokens * factor * (weights + self._timing.batch_seconds(np.ones(1), np.array([own])))

    # --- learning ----------------------------------------------------------------------------------------

    def saw_ttft(self, site: Site, row: Row, seconds: float) -> None:
        """A first token came after so many seconds."""
        observed, predicted = seconds - row.load_seconds, row.prediction.ttft_seconds - row.load_seconds
        level = site.variant.ttft.learn(row.ttft_priors, observed, predicted, site.levels[0])
        site.levels = (level, site.levels[1])

    def saw_tpot(self, site: Site, row: Row, seconds: float) -> None:
        """The tokens of an answer came so far apart on average."""
        level = site.variant.tpot.learn(row.tpot_priors, seconds, row.prediction.tpot_seconds, site.levels[1])
        site.levels = (site.levels[0], level)

    def saw_duration(self, site: Site, row: Row, output_tokens: int, seconds: float) -> None:
        """A whole answer of about so many tokens took so long; which part of it was slow is not known."""
        ttft = math.exp(site.levels[0]) * site.variant.ttft.by_variant(row.ttft_priors)
        tpot = math.exp(site.levels[1]) * site.variant.tpot.by_variant(row.tpot_priors)
        predicted = ttft + max(0, output_tokens - 1) * tpot
        observed = seconds - row.load_seconds
        if predicted > 0.0 and observed > 0.0:
            ratio = observed / predicted
            site.levels = (
                site.variant.ttft.scale(ratio, site.levels[0]),
                site.variant.tpot.scale(ratio, site.levels[1]),
            )
