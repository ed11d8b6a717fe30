"""Tells how long each endpoint would have to load before it could begin with a request's model or adapter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from turnout.framework import (
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Reading,
    Response,
    ResponseChunk,
    SchedulingResult,
    StateKey,
    Termination,
)
from turnout.plugins.model_cache.adapters import KnownAdapters
from turnout.plugins.model_cache.keys import DEFAULT_PRODUCER, LOAD_SECONDS
from turnout.plugins.model_cache.load_times import LoadSpeeds, LoadTimes
from turnout.plugins.model_cache.residency import Residency
from turnout.plugins.model_cache.stated import names_in, seconds_in
from turnout.plugins.model_cache.tiers import Tier

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
DEFAULT_SPEEDS = LoadSpeeds()
DEFAULT_KEEP = timedelta(minutes=10)
_OK = range(200, 300)


@dataclass(slots=True)
class _Sent:
    """A request on its way; ``waited`` if others were before it, so that its first token says nothing of a load."""

    endpoint: str
    model: str
    tier: Tier
    at: float
    waited: bool
    first_token: bool = False


class ModelCacheProducer:
    """Publishes the seconds until each endpoint could begin with the request's target model.

    A model is loaded where the engine reports it as an active adapter, where ``loaded_label`` lists it, or where it
    has answered within ``keep_loaded`` and fewer other adapters came since than the engine has room for. It is being
    loaded where the engine reports it as a waiting adapter, or where a request for it was sent that has not been
    answered; the time since then is taken off. It is on disk where ``disk_label`` lists it, and nowhere else. An
    endpoint is known to have to load a model only if it has a ``loaded_label``, or if the model is an adapter:
    one of ``adapters``, or reported by some engine. All others are ready.

    ``speeds`` says how long loading takes, ``load_seconds_label`` the label with which an endpoint says so itself. With
    ``learn`` the times follow what first requests take longer than others: streamed ones whose responses pass the
    Endpoint Picker and that met an empty queue.

    Memory: 1,024 models, 1,024 adapters, and 64 models (or what the engine has room for) at each of 4,096 endpoints.

    Raises:
        ValueError: a label has no name, or ``keep_loaded`` is not positive.
    """

    # Learning is not worth a proxy that sends every byte of every answer.
    needs_response_body = False

    def __init__(
        self,
        loaded_label: str = "models",
        disk_label: str = "models-on-disk",
        load_seconds_label: str = "model-load-seconds",
        adapters: Sequence[str] = (),
        speeds: LoadSpeeds = DEFAULT_SPEEDS,
        keep_loaded: timedelta = DEFAULT_KEEP,
        learn: bool = True,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        labels = {"loaded_label": loaded_label, "disk_label": disk_label, "load_seconds_label": load_seconds_label}
        for parameter, label in labels.items():
            if not label:
                raise ValueError(f"{parameter} must not be empty, got {label!r}")
        if keep_loaded <= timedelta():
            raise ValueError(f"keep_loaded must be positive, got {keep_loaded}")
        self._loaded_label, self._disk_label, self._seconds_label = loaded_label, disk_label, load_seconds_label
        self._learns = learn
        self._times = LoadTimes(speeds)
        self._residency = Residency(keep_loaded.total_seconds())
        self._adapters = KnownAdapters(adapters)
        self._key = LOAD_SECONDS.of(name)
        self._sent_key = StateKey[_Sent]("model-sent", producer=name)
        self.writes = (self._key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the seconds, for the endpoints that are not ready."""
        model, now = request.target_model, state.now
        is_adapter = self._adapters.look(model, endpoints)
        label = self._loaded_label
        loads: dict[str, float] = {}
        for endpoint in endpoints if model else ():
            # Most pools serve one model everywhere and say nothing of it, which should cost nothing.
            if (is_adapter or label in endpoint.labels) and model not in endpoint.metrics.active_adapters:
                _, seconds = self._where(model, endpoint, now)
                if seconds > 0.0:
                    loads[endpoint.name] = seconds
        state.write(self._key, loads)

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        """Takes note of the model that the destination will have."""
        endpoint, model, now = result.endpoint, request.target_model, state.now
        if model and self._has_to_load(model, endpoint):
            tier, seconds = self._where(model, endpoint, now)
            waited = endpoint.metrics.waiting_queue_size > 0
            state.write(self._sent_key, _Sent(endpoint.name, model, tier, now, waited))
            load = None if tier is Tier.LOADED else seconds
            self._residency.sent(endpoint.name, model, now, load, endpoint.metrics.max_active_adapters)
        return None

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """At the first piece the model is loaded."""
        sent = state.get(self._sent_key)
        if sent is None or not chunk.first or response.status not in _OK:
            return
        sent.first_token = True
        self._residency.served(sent.endpoint, sent.model, state.now)
        if self._learns and response.streaming and not sent.waited:
            self._times.first_token(sent.model, sent.tier, max(0.0, state.now - sent.at))

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """A request that was answered shows that the model is loaded."""
        sent = state.get(self._sent_key)
        if sent is None:
            return
        elsewhere = completion.served_by not in (None, completion.endpoint.host_port)
        answered = completion.cause is Termination.NATURAL and completion.status in _OK and not elsewhere
        if answered and not sent.first_token:
            self._residency.served(sent.endpoint, sent.model, state.now)
        self._residency.ended(sent.endpoint, sent.model)

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets the endpoints that left."""
        self._residency.keep_only({endpoint.name for endpoint in endpoints})

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Labels that state no load time."""
        label = self._seconds_label
        stated = ((endpoint.name, endpoint.labels.get(label)) for endpoint in endpoints)
        wrong = [name for name, text in stated if text is not None and seconds_in(text) is None]
        message = f"its label {label} is no number of seconds from 0 to 86400, and is ignored."
        return Diagnosis([Finding("bad-load-seconds", message, name) for name in wrong])

    def readings(self) -> Iterable[Reading]:
        """The load times that were learnt."""
        for model, tier, seconds in self._times.learnt():
            what = "Load time of a model as observed, by where it was."
            yield GaugeReading("model_load_seconds", what, seconds, {"model": model, "tier": tier.value})

    def _has_to_load(self, model: str, endpoint: Endpoint) -> bool:
        """Whether the endpoint may be without the model; the others serve one from their start."""
        return self._loaded_label in endpoint.labels or model in self._adapters

    def _where(self, model: str, endpoint: Endpoint, now: float) -> tuple[Tier, float]:
        """Where the endpoint has the model, and the seconds until it could begin with it."""
        metrics, labels = endpoint.metrics, endpoint.labels
        if model in metrics.active_adapters or _lists(labels.get(self._loaded_label), model):
            return Tier.LOADED, 0.0
        left = self._residency.seconds_left(endpoint.name, model, now)
        if left is not None:
            return (Tier.LOADING, left) if left else (Tier.LOADED, 0.0)
        stated = labels.get(self._seconds_label)
        whole = None if stated is None else seconds_in(stated)
        if model in metrics.waiting_adapters:
            # Somebody else's request makes it load; half of that is over on average.
            return Tier.LOADING, (self._times.seconds(model, Tier.LOADING) if whole is None else whole) / 2.0
        tier = Tier.DISK if _lists(labels.get(self._disk_label), model) else Tier.NOWHERE
        return tier, self._times.seconds(model, tier) if whole is None else whole


def _lists(text: str | None, model: str) -> bool:
    return text is not None and model in names_in(text)
