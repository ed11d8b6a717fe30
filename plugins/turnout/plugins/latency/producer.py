"""Predicts the latency of a request on every candidate, in process."""

import asyncio
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    Figure,
    Finding,
    InferenceRequest,
    PluginName,
    Prompt,
    Reading,
    Response,
    ResponseChunk,
    SchedulingResult,
    StateKey,
    Termination,
)
from turnout.plugins.disagg.keys import KV_TRANSFER_SECONDS, PREFILL_PROFILE
from turnout.plugins.inflight_load.keys import UncachedRequestTokens
from turnout.plugins.latency.answer_length import AnswerLengths
from turnout.plugins.latency.engine_timing import EngineTiming
from turnout.plugins.latency.figures import LatencyFigures, variant_readings
from turnout.plugins.latency.keys import DEFAULT_PRODUCER, LATENCY_PREDICTIONS, SLO_TARGETS, SloTargets
from turnout.plugins.latency.learnt_file import Factors, read_learnt, write_learnt
from turnout.plugins.latency.predictor import Predictor, PredictorSettings, RequestShape, Row, Site, Table
from turnout.plugins.latency.predictor_servers import PredictorServers
from turnout.plugins.latency.run import Run
from turnout.plugins.model_cache.keys import LOAD_SECONDS
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
DEFAULT_TIMING = EngineTiming()

SAVE_SECONDS = 60.0
RESTORED_WEIGHT = 100

LONGEST_PREDICTION_TIMEOUT = timedelta(milliseconds=350)
"""A data producer has 0.4 s, and this process predicts in what is left."""

INACCURATE_ERROR = 0.5
OBSERVATIONS_TO_JUDGE = 50

OK = 200
LONGEST_ANSWER = 1_000_000
"""Tokens. A report of more is a mistake, and would be what answers are expected to be for thousands of requests."""

_EVENT = b"data:"

_log = logging.getLogger(__name__)


class PredictedLatencyProducer:
    """Publishes for each candidate the TTFT and the TPOT to expect, with an uncertainty, and what is left of targets.

    At the first request predictions are those of ``engine``, the form and the figures of one engine. They are corrected
    by what is observed, for each variant (the endpoints with the same values of ``variant_labels`` and of
    ``endpoint_role_label``) and each endpoint. First tokens are seen where the first piece of each response passes the
    Endpoint Picker, which ``streaming_mode`` asks for; otherwise only the duration of requests corrects predictions.
    Requests without targets of their own have ``default_ttft_target`` and ``default_tpot_target``, if any;
    ``slo_buffer_factor`` multiplies targets.

    Where the profile that prefills picked another endpoint than the destination, the prompt is that one's work, and the
    first token, less a step of the destination and the transfer, teaches about it; without first pieces nothing does.

    Answers are expected to be as long as those that were seen, ``expected_output_tokens`` until there are some, and at
    most what the request allows. ``max_running_requests`` is how many requests an engine runs at once, 0 for the most
    that it was seen to run; ``adapter_load_time`` is what a LoRA adapter that is not loaded costs. With ``state_file``
    a restarted picker begins with what was learnt.

    What is cached tells ``prefix_match_info_producer_name``; empty means ``approx-prefix-cache-producer``. How long an
    endpoint would load the request's model first tells ``model_cache_producer_name``, if it is configured; empty means
    ``model-cache-producer``. With ``predict_in_produce`` false nothing is published, and it only learns.
    ``in_flight_load_producer_name``, ``context_ttl`` (nanoseconds), ``use_encoder_cache_features``,
    ``encoder_cache_match_info_producer_name``, ``sampling_mean`` and ``max_decode_token_samples_for_prediction`` are
    accepted and have no effect.

    ``prediction_servers`` (URLs without a path) speak the HTTP API of llm-d's latency predictor, and are asked in turn
    for each request: what one of them answers within ``prediction_timeout`` is published in place of the prediction of
    this process, which stands in otherwise and goes on to learn. ``training_server`` is told what was observed.

    Memory is that of the requests in flight, the endpoints in the pool, at most 64 variants and 1,000 observations.

    Raises:
        OSError: ``state_file`` cannot be read.
        ValueError: a number is out of its range, a URL is none, or ``state_file`` holds something else.
    """

    # Whole bodies tell the time between tokens more exactly; not worth a proxy that sends every byte of every answer.
    needs_response_body = False

    def __init__(
        self,
        slo_buffer_factor: float = 1.0,
        context_ttl: int = 300_000_000_000,
        streaming_mode: bool = False,
        endpoint_role_label: str = "",
        predict_in_produce: bool = True,
        prefix_match_info_producer_name: str = "",
        in_flight_load_producer_name: str = "",
        use_encoder_cache_features: bool = False,
        encoder_cache_match_info_producer_name: str = "",
        sampling_mean: float = 0.0,
        max_decode_token_samples_for_prediction: int = 0,
        engine: EngineTiming = DEFAULT_TIMING,
        variant_labels: Sequence[str] = (),
        expected_output_tokens: int = 256,
        max_running_requests: int = 0,
        adapter_load_time: timedelta = timedelta(seconds=1),
        default_ttft_target: timedelta | None = None,
        default_tpot_target: timedelta | None = None,
        state_file: str = "",
        model_cache_producer_name: str = "",
        prediction_servers: Sequence[str] = (),
        training_server: str = "",
        prediction_timeout: timedelta = timedelta(milliseconds=200),
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        _check(slo_buffer_factor, expected_output_tokens, max_running_requests, adapter_load_time)
        self._buffer = slo_buffer_factor
        self._defaults = (_target("ttft", default_ttft_target), _target("tpot", default_tpot_target))
        self._publishes = predict_in_produce
        self.needs_first_piece = streaming_mode
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self._loading_key = LOAD_SECONDS.of(model_cache_producer_name)
        self._predictions_key = LATENCY_PREDICTIONS.of(name)
        self._targets_key = SLO_TARGETS.of(name)
        self._table_key = StateKey[Table]("latency-table", producer=name)
        self._run_key = StateKey[Run]("latency-run", producer=name)
        self.reads = (self._matches_key,)
        self.optional_reads = (PROMPT, self._loading_key)
        self.writes = (self._predictions_key, self._targets_key)
        labels = (*variant_labels, endpoint_role_label) if endpoint_role_label else tuple(variant_labels)
        load_seconds = adapter_load_time.total_seconds()
        self._predictor = Predictor(PredictorSettings(engine, labels, max_running_requests, load_seconds))
        self._answers = AnswerLengths(expected_output_tokens)
        self._sees_bodies = False
        self._numbers = count()
        self._figures = LatencyFigures()
        self._servers = _servers(prediction_servers, training_server, prediction_timeout, endpoint_role_label)
        self._asks = bool(prediction_servers)
        self._state_file = Path(state_file) if state_file else None
        self._restore()

    # --- predicting --------------------------------------------------------------------------------------

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the predictions for all endpoints."""
        state.write(self._targets_key, self._targets(request, state.now))
        if not self._publishes:
            return
        shape, stated = self._shape(request, state, endpoints), None
        if self._servers is not None and self._asks:
            stated = await self._servers.ask(shape, endpoints, state.now)
        table = self._predict(shape, state, endpoints)
        state.write(self._table_key, table)
        published = table.predictions
        if self._servers is not None and stated is not None:
            published = self._servers.published(stated, endpoints, table)
        state.write(self._predictions_key, published)

    def _targets(self, request: InferenceRequest, now: float) -> SloTargets:
        ttft, tpot = self._promised(request)
        waited = max(0.0, now - request.received_at)
        return SloTargets(
            None if ttft is None else ttft * self._buffer - waited, None if tpot is None else tpot * self._buffer
        )

    def _promised(self, request: InferenceRequest) -> tuple[float | None, float | None]:
        default_ttft, default_tpot = self._defaults
        return (
            default_ttft if request.ttft_target is None else request.ttft_target,
            default_tpot if request.tpot_target is None else request.tpot_target,
        )

    def _predict(self, shape: RequestShape, state: CycleState, endpoints: Sequence[Endpoint]) -> Table:
        return self._predictor.predict(shape, endpoints, state.get(self._loading_key, _NOTHING_LOADS), state.now)

    def _shape(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> RequestShape:
        prompt_tokens = max(0, state.get(PROMPT, Prompt()).tokens)
        uncached = UncachedRequestTokens(prompt_tokens, state.get(self._matches_key)).at_each(endpoints)
        return RequestShape(prompt_tokens, uncached, self._answers.expected(request), self._adapter(request, endpoints))

    def _adapter(self, request: InferenceRequest, endpoints: Sequence[Endpoint]) -> str:
        """The model that the request asks for, if some endpoint has it as an adapter."""
        wanted = request.target_model
        known = any(
            wanted in metrics.active_adapters or wanted in metrics.waiting_adapters
            for metrics in (endpoint.metrics for endpoint in endpoints)
        )
        return wanted if known else ""

    # --- following ---------------------------------------------------------------------------------------

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Counts the work that goes to the destination."""
        endpoint, table = result.endpoint, state.get(self._table_key)
        row = self._row(request, state, endpoint)
        if row is None:
            return
        prefill = self._prefill(request, state, result)
        published = row.prediction
        if table is not None:
            # The state lives as long as the response: what was predicted of a thousand others need not.
            state.discard(self._table_key)
            picked = {profile.picked[0].name for profile in result.profiles.values()}
            predictions = state.read(self._predictions_key)
            state.write(self._predictions_key, {name: predictions[name] for name in picked if name in predictions})
            published = predictions.get(endpoint.name, published)
        site = self._predictor.site(endpoint)
        number, tokens = next(self._numbers), self._answers.expected(request)
        context = state.get(PROMPT, Prompt()).tokens + tokens / 2
        run = Run(number, site, row, context, state.now, prefill)
        run.begin(tokens, shows_first_token=request.stream and self._sees_bodies)
        if self._servers is not None:
            served = None if published is row.prediction else published
            shape = self._shape(request, state, [endpoint])
            run.followed = self._servers.dispatched(shape, endpoint, served, row.load_seconds)
        state.write(self._run_key, run)
        if prefill is not None:
            published = published._replace(ttft_seconds=run.ttft_seconds)
        self._figures.predicted(request, published)

    def _row(self, request: InferenceRequest, state: CycleState, endpoint: Endpoint) -> Row | None:
        """What was predicted of an endpoint; what is predicted now if it was no candidate."""
        table = state.get(self._table_key)
        row = table.row(endpoint.name) if table is not None else None
        if row is not None:
            return row
        return self._predict(self._shape(request, state, [endpoint]), state, [endpoint]).row(endpoint.name)

    def _prefill(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> tuple[Site, Row] | None:
        """Where another endpoint than the destination computes the prompt, and what was predicted of that."""
        profile = result.profiles.get(state.get(PREFILL_PROFILE, "prefill"))
        if profile is None or profile.picked[0].name == result.endpoint.name:
            return None
        row = self._row(request, state, profile.picked[0])
        return None if row is None else (self._predictor.site(profile.picked[0]), row)

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """The first piece of a stream has the first token."""
        self._sees_bodies = True
        run = state.get(self._run_key)
        if run is None or not response.streaming or response.status != OK:
            return
        now = state.now
        if run.first_token_at is None and chunk.data:
            run.first_token(self._predictor, now, state.get(KV_TRANSFER_SECONDS, 0.0))
            # What servers know of an endpoint would not tell that another one's prompt is in the time.
            if self._servers is not None and run.followed is not None and run.prefill is None:
                self._servers.saw_ttft(run.followed, now - run.sent_at)
            self._judge(request, "ttft", self._promised(request)[0], now - request.received_at)
        run.events += chunk.data.count(_EVENT)
        run.seen_bytes += len(chunk.data)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Learns from what is known at the end."""
        run = state.get(self._run_key)
        if run is None:
            return
        state.discard(self._run_key)
        run.end(state.now)
        if self._servers is not None and run.followed is not None:
            self._servers.ended(run.followed)
        if completion.cause is not Termination.NATURAL or completion.status != OK:
            return
        reported = completion.usage.completion_tokens if completion.usage is not None else 0
        tokens = min(reported, LONGEST_ANSWER)
        if tokens > 0:
            self._answers.saw(tokens)
        tokens = tokens or self._answers.estimated(request, run.events, run.seen_bytes, completion.response_bytes)
        if run.first_token_at is None and run.prefill is None:
            self._predictor.saw_duration(run.site, run.row, tokens, state.now - run.sent_at)
        elif run.first_token_at is not None and tokens > 1 and state.now > run.first_token_at:
            tpot = (state.now - run.first_token_at) / (tokens - 1)
            self._predictor.saw_tpot(run.site, run.row, tpot)
            if self._servers is not None and run.followed is not None:
                self._servers.saw_tpot(run.followed, tpot)
            self._judge(request, "tpot", self._promised(request)[1], tpot)

    def _judge(self, request: InferenceRequest, kind: str, target: float | None, seconds: float) -> None:
        if target is not None and seconds > target:
            self._figures.violated(request, kind)

    # --- about itself ------------------------------------------------------------------------------------

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets those that left."""
        self._predictor.keep_only(frozenset(endpoint.name for endpoint in endpoints))

    def readings(self) -> Iterable[Reading]:
        """The field's metrics of predictions, and how good they are."""
        yield from self._figures.readings()
        yield from variant_readings(self._predictor.variants.values())
        if self._servers is not None:
            yield from self._servers.readings()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Variants that are predicted badly; the factors of each endpoint."""
        findings = list(self._servers.findings()) if self._servers is not None else []
        for variant in self._predictor.variants.values():
            for kind, learnt in (("TTFT", variant.ttft), ("TPOT", variant.tpot)):
                accuracy = learnt.accuracy
                if accuracy.observations >= OBSERVATIONS_TO_JUDGE and accuracy.mape > INACCURATE_ERROR:
                    message = _INACCURATE.format(kind, variant.name, accuracy.mape)
                    findings.append(Finding(f"inaccurate-{kind.lower()}", message))
        sites = self._predictor.sites
        figures = {each.name: _figures(sites[each.name]) for each in endpoints if each.name in sites}
        return Diagnosis(findings, figures)

    async def run(self) -> None:
        """Saves what was learnt every minute and at the end, if there is a file for it; tells the training server."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._save_regularly())
            if self._servers is not None:
                tasks.create_task(self._servers.run())

    async def _save_regularly(self) -> None:
        try:
            while True:
                await asyncio.sleep(SAVE_SECONDS)
                await asyncio.to_thread(self._save, self._learnt())
        finally:
            self._save(self._learnt())

    def _learnt(self) -> Mapping[str, Factors]:
        return {name: each.factors() for name, each in self._predictor.variants.items()}

    def _save(self, learnt: Mapping[str, Factors]) -> None:
        if self._state_file is None:
            return
        try:
            write_learnt(self._state_file, learnt)
        except OSError as error:
            _log.warning("latencies that were learnt are not saved: %s", error)

    def _restore(self) -> None:
        if self._state_file is not None:
            for name, factors in read_learnt(self._state_file).items():
                self._predictor.variant(name).restore(factors, RESTORED_WEIGHT)


_NOTHING_LOADS: Mapping[str, float] = {}
_INACCURATE = (
    "{0} predictions of variant {1!r} are {2:.0%} off on average. Endpoints of different speed may share the variant "
    "(variantLabels), or other traffic reaches them that this picker does not send."
)


def _figures(site: Site) -> Mapping[str, Figure]:
    ttft, tpot = (math.exp(level) for level in site.levels)
    return {"variant": site.variant.name, "ttft_factor": round(ttft, 3), "tpot_factor": round(tpot, 3)}


def _target(kind: str, target: timedelta | None) -> float | None:
    if target is not None and target <= timedelta():
        raise ValueError(f"default_{kind}_target must be above 0, got {target}")
    return None if target is None else target.total_seconds()


def _check(buffer: float, output_tokens: int, running: int, load_time: timedelta) -> None:
    if not 0.0 < buffer < math.inf:
        raise ValueError(f"slo_buffer_factor must be positive and finite, got {buffer}")
    if output_tokens < 1:
        raise ValueError(f"expected_output_tokens must be at least 1, got {output_tokens}")
    if running < 0:
        raise ValueError(f"max_running_requests must be at least 0, got {running}")
    if load_time < timedelta():
        raise ValueError(f"adapter_load_time must be at least 0, got {load_time}")


def _servers(
    prediction_servers: Sequence[str], training_server: str, timeout: timedelta, role_label: str
) -> PredictorServers | None:
    if not timedelta(0) < timeout <= LONGEST_PREDICTION_TIMEOUT:
        raise ValueError(f"prediction_timeout must be above 0 and at most {LONGEST_PREDICTION_TIMEOUT}, got {timeout}")
    for url in (*prediction_servers, *((training_server,) if training_server else ())):
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"prediction_servers and training_server must begin with http:// or https://, got {url!r}")
    if not prediction_servers and not training_server:
        return None
    from turnout.plugins.latency.http_predictor import HttpPredictor  # noqa: PLC0415 - others do without its packages

    return PredictorServers(HttpPredictor(prediction_servers, training_server, timeout), role_label)
