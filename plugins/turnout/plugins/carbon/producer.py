"""Publishes the carbon intensity of each endpoint, and keeps account of what requests emit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from turnout.framework import (
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    Figure,
    Finding,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Reading,
    SchedulingResult,
    StateKey,
    WallClock,
)
from turnout.plugins.carbon.emissions import MAX_REGIONS_SHOWN, Emissions
from turnout.plugins.carbon.intensity import Intensities, IntensityFeed
from turnout.plugins.carbon.keys import CARBON_INTENSITIES, DEFAULT_PRODUCER, CarbonIntensities
from turnout.plugins.carbon.power import Power
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
REGION_LABEL = "topology.kubernetes.io/region"


@dataclass(frozen=True, slots=True)
class _Charge:
    """What was known of a request when it was sent."""

    region: str
    intensity: float | None
    watts: float | None
    sent_at: float
    busy_seconds: float | None
    sharing: int


class CarbonIntensityProducer:
    """Knows the carbon intensity of the electricity in each region, in grams of CO2 equivalents per kWh.

    ``regions`` is a table, ``feed`` a document that another program keeps up to date; the feed's value holds while it
    is fresh. An endpoint's region is its label ``region_label``.

    What a request emits is entered when it ends: the power of its endpoint (``power``) times the time that it took from
    it times the intensity when it was sent. That time is the ``busy_seconds`` that ``latency_producer_name`` predicted
    (empty means ``predicted-latency-producer``), at most what the request really took; without a prediction it is what
    the request took, divided by the requests that its endpoint had in flight when it was sent, itself included.

    Raises:
        ValueError: an intensity is none, the feed's file is bad, or a label is empty.
    """

    def __init__(
        self,
        clock: WallClock,
        regions: Mapping[str, float] | None = None,
        feed: IntensityFeed | None = None,
        region_label: str = REGION_LABEL,
        power: Power = Power(),  # noqa: B008 - frozen
        latency_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if not region_label:
            raise ValueError(f"region_label must not be empty, got {region_label!r}")
        self._intensities = Intensities(regions, feed, clock)
        self._region_label = region_label
        self._power = power
        self._predictions = LATENCY_PREDICTIONS.of(latency_producer_name)
        self._key = CARBON_INTENSITIES.of(name)
        self._charge_key = StateKey[_Charge]("carbon-charge", producer=name)
        self.writes = (self._key,)
        self._emissions = Emissions()
        self._published = CarbonIntensities({}, region_label)

    async def run(self) -> None:
        """Follows the feed."""
        await self._intensities.run()

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the intensities as they are known now."""
        state.write(self._key, self._known(state.now))

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Notes what is known of the request's endpoint."""
        endpoint = result.endpoint
        known = self._known(state.now)
        predicted = (state.get(self._predictions) or {}).get(endpoint.name)
        charge = _Charge(
            region=known.region(endpoint),
            intensity=known.of(endpoint),
            watts=self._power.watts(endpoint),
            sent_at=state.now,
            busy_seconds=None if predicted is None else predicted.busy_seconds,
            sharing=max(0, endpoint.in_flight) + 1,
        )
        state.write(self._charge_key, charge)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Enters what the request emitted."""
        charge = state.get(self._charge_key)
        if charge is None:
            return
        took = max(0.0, state.now - charge.sent_at)
        seconds = took / charge.sharing if charge.busy_seconds is None else min(took, charge.busy_seconds)
        joules = None if charge.watts is None else charge.watts * seconds
        self._emissions.add(charge.region, joules, charge.intensity)

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """What is wrong with the feed, endpoints without an intensity, and labels that are no power."""
        known = self._known(now)
        age = self._intensities.age(now)
        figures: dict[str, Mapping[str, Figure]] = {}
        for endpoint in endpoints:
            figures[endpoint.name] = {
                "region": known.region(endpoint),
                "grams_per_kwh": known.of(endpoint),
                "watts": self._power.watts(endpoint),
                "feed_age_seconds": age,
            }
        return Diagnosis([*self._intensities.findings(now), *self._unknown(endpoints, known)], figures)

    def readings(self) -> Iterable[Reading]:
        """Intensities as of the last request or diagnosis, the feed's age, and what was emitted."""
        help_text = "Grams of CO2 equivalents per kWh, by region."
        for region, grams in list(self._published.by_region.items())[:MAX_REGIONS_SHOWN]:
            yield GaugeReading("carbon_intensity_grams_per_kwh", help_text, grams, {"region": region})
        yield from self._intensities.readings()
        yield from self._emissions.readings()

    def _known(self, now: float) -> CarbonIntensities:
        by_region = self._intensities.by_region(now)
        if by_region is not self._published.by_region:
            self._published = CarbonIntensities(by_region, self._region_label)
        return self._published

    def _unknown(self, endpoints: Sequence[Endpoint], known: CarbonIntensities) -> Iterable[Finding]:
        if self._intensities.is_empty:
            yield Finding("no-source", f"{DEFAULT_PRODUCER} has neither regions nor a feed")
            return
        for endpoint in endpoints:
            if known.of(endpoint) is None:
                region = known.region(endpoint)
                message = f"no intensity of region {region!r}" if region else f"has no label {self._region_label}"
                yield Finding("no-intensity", message, endpoint.name)
            for label in self._power.bad_labels(endpoint):
                yield Finding(
                    "bad-power-label", f"the label {label} is no number above 0; it is ignored", endpoint.name
                )
