"""Metrics of flow control under the field's names."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.outcomes import Outcome
from turnout.epp.flowcontrol.saturation import Saturation
from turnout.epp.observe.families import Families
from turnout.epp.observe.labels import OTHER, LabelSets
from turnout.framework import InferenceRequest

Labels = tuple[str, int, str, str]


class _QueueSeries:
    """What waits under one combination of labels, and how long it waited."""

    __slots__ = ("_families", "_labels", "_priority", "bytes", "size")

    def __init__(self, families: Families, labels: tuple[str, str, str, str, str]) -> None:
        self._families = families
        self._labels = labels
        self.size = families.gauges["flow_control_queue_size"].child(*labels)
        self.bytes = families.gauges["flow_control_queue_bytes"].child(*labels)

    def waited(self, outcome: Outcome, seconds: float) -> None:
        """A wait ended."""
        fairness_id, priority, pool, model, target = self._labels
        family = self._families.histograms["flow_control_request_queue_duration_seconds"]
        family.child(fairness_id, priority, outcome.value, pool, model, target).observe(seconds)


class FlowMetrics:
    """Counts what flow control reports; a ``FlowObserver``.

    ``fold_model`` and ``fold_fairness_id`` bound the values of labels; at most ``max_label_sets`` combinations are told
    apart, further ones are counted under ``other`` with their priority.
    """

    def __init__(
        self,
        families: Families,
        pool_name: str,
        fold_model: Callable[[str], str],
        fold_fairness_id: Callable[[str], str],
        max_label_sets: int,
    ) -> None:
        self._families = families
        self._pool = pool_name
        self._fold_model = fold_model
        self._fold_fairness_id = fold_fairness_id
        self._series: LabelSets[Labels, _QueueSeries] = LabelSets(
            max_label_sets, self._fold, lambda key: (OTHER, key[1], OTHER, OTHER), self._new_series
        )
        self._cycle = families.histograms["flow_control_dispatch_cycle_duration_seconds"].child().observe

    def entered(self, request: InferenceRequest, seconds: float) -> None:
        """Counts a request that waits."""
        series = self._of(request)
        series.size.value += 1
        series.bytes.value += request.size_bytes
        fairness_id = self._fold_fairness_id(request.fairness_id)
        family = self._families.histograms["flow_control_request_enqueue_duration_seconds"]
        family.child(fairness_id, str(request.priority), "Enqueued").observe(seconds)

    def left(self, request: InferenceRequest, outcome: Outcome, waited_seconds: float, *, was_queued: bool) -> None:
        """Counts the end of a wait."""
        series = self._of(request)
        if was_queued:
            series.size.value -= 1
            series.bytes.value -= request.size_bytes
        series.waited(outcome, waited_seconds)
        total = self._families.counters["flow_control_requests_total"]
        total.child(outcome.value, str(request.priority), self._pool).value += 1

    def moved(self, before: InferenceRequest, after: InferenceRequest) -> None:
        """Counts a queued request under its other priority."""
        for request, amount in ((before, -1), (after, 1)):
            series = self._of(request)
            series.size.value += amount
            series.bytes.value += amount * request.size_bytes

    def cycle(self, seconds: float) -> None:
        """Observes the time of one look for somebody's turn."""
        self._cycle(seconds)

    def saturated(self, saturation: Saturation) -> None:
        """Shows how full the pool was found."""
        family = self._families.gauges["flow_control_pool_saturation"]
        family.child(self._pool, "effective").value = saturation.effective
        family.child(self._pool, "decode").value = saturation.decode
        if saturation.prefill is not None:
            family.child(self._pool, "prefill").value = saturation.prefill

    def revoked(self, priority: int) -> None:
        """Counts a running request that was taken back."""
        family = self._families.counters["flow_control_revocations_issued_total"]
        family.child(str(priority), self._pool).value += 1

    def reclaiming(self, target: int, pending: int) -> None:
        """Shows what is to end, and what was taken back for it."""
        self._families.gauges["flow_control_reclaim_target"].child(self._pool).value = target
        self._families.gauges["flow_control_pending_reclaim"].child(self._pool).value = pending

    def confirmed(self, seconds: float, *, in_time: bool) -> None:
        """Counts evictions whose room was seen, or not."""
        outcome = "confirmed" if in_time else "timed_out"
        self._families.counters["flow_control_revocations_total"].child(outcome, self._pool).value += 1
        family = self._families.histograms["flow_control_revocation_confirmation_seconds"]
        family.child(self._pool).observe(seconds)

    def _of(self, request: InferenceRequest) -> _QueueSeries:
        return self._series.of((request.fairness_id, request.priority, request.model, request.target_model))

    def _fold(self, key: Labels) -> Labels:
        fairness_id, priority, model, target = key
        return self._fold_fairness_id(fairness_id), priority, self._fold_model(model), self._fold_model(target)

    def _new_series(self, key: Labels) -> _QueueSeries:
        fairness_id, priority, model, target = key
        return _QueueSeries(self._families, (fairness_id, str(priority), self._pool, model, target))


class CapacityGauges(Collector):
    """How full the queue is against its limits; ``limits`` gives None while there is no queue."""

    def __init__(self, prefix: str, pool_name: str, limits: Callable[[], Limits | None]) -> None:
        self._prefix = prefix + "flow_control_"
        self._pool = pool_name
        self._limits = limits

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Shares of the limits, 1 being full; a limit that is not set shows no value."""
        limits = self._limits()
        if limits is None:
            return
        settings, total = limits.settings, limits.total
        yield self._of_all("requests", total.requests, settings.max_requests)
        yield self._of_all("bytes", total.size_bytes, settings.max_bytes)
        yield from self._by_priority(limits)
        yield self._deferred(limits)

    def _of_all(self, unit: str, amount: int, limit: int | None) -> GaugeMetricFamily:
        name = f"{self._prefix}global_capacity_utilization_{unit}"
        family = GaugeMetricFamily(name, f"Share of the limit in {unit} that waits.", labels=("inference_pool",))
        if limit:
            family.add_metric((self._pool,), amount / limit)
        return family

    def _deferred(self, limits: Limits) -> GaugeMetricFamily:
        text = "Requests in the queue that do not stand in line yet."
        family = GaugeMetricFamily(f"{self._prefix}deferred_requests", text, labels=("priority", "inference_pool"))
        for priority, count in sorted(limits.deferred.items()):
            family.add_metric((str(priority), self._pool), count)
        return family

    def _by_priority(self, limits: Limits) -> Iterable[GaugeMetricFamily]:
        labels = ("priority", "inference_pool")
        requests, size_bytes = (
            GaugeMetricFamily(
                f"{self._prefix}capacity_utilization_{unit}", f"Share of a priority's limit in {unit}.", labels=labels
            )
            for unit in ("requests", "bytes")
        )
        for priority in sorted({*limits.settings.bands, *limits.by_priority}):
            band, waiting = limits.band(priority), limits.waiting(priority)
            requests.add_metric((str(priority), self._pool), waiting.requests / band.max_requests)
            size_bytes.add_metric((str(priority), self._pool), waiting.size_bytes / band.max_bytes)
        yield requests
        yield size_bytes
