"""The Endpoint Picker's own metrics."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry

from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.observe.diagnoses import Diagnoses, FindingGauges
from turnout.epp.observe.families import Families
from turnout.epp.observe.flow_control import CapacityGauges, FlowMetrics
from turnout.epp.observe.labels import OTHER, DistinctValues, LabelSets, printable
from turnout.epp.observe.pool import PoolGauges, PoolView
from turnout.epp.observe.readings import PluginReadings
from turnout.epp.observe.request_series import RequestSeries
from turnout.epp.observe.scaling import AdviceGauges, ScalingAdvices
from turnout.epp.observe.scrapes import ScrapeErrors, ScrapeView
from turnout.epp.observe.series import Cell
from turnout.framework import Completion, Endpoint, InferenceRequest, PluginError, Refusal

DEFAULT_PREFIX = "turnout_"
FIELD_PREFIX = "llm_d_epp_"

MAX_MODEL_NAMES = 1000
MAX_FAIRNESS_IDS = 1000
MAX_LABEL_SETS = 1000
MAX_ATTEMPT_SETS = 10_000

Labels = tuple[str, str, str, int]


class Metrics:
    """Counts what the director reports; a ``RequestObserver``.

    ``prefix`` stands before every name: ``llm_d_epp_`` makes the dashboards of the field's Endpoint Picker work.
    ``pool_name`` is the ``name`` label of the pool's gauges. Values live as long as the process.

    Bounds: 1000 different model names (requested and target names together), 1000 fairness ids, 1000
    combinations of the four request labels (about 5 KiB each when all their families are in use) and 10,000
    of a scheduling attempt's; what goes beyond is counted under ``other``.
    """

    def __init__(
        self,
        prefix: str = DEFAULT_PREFIX,
        registry: CollectorRegistry | None = None,
        *,
        pool_name: str = "",
        commit: str = "unknown",
        max_label_sets: int = MAX_LABEL_SETS,
    ) -> None:
        self.prefix = prefix
        self.registry = CollectorRegistry() if registry is None else registry
        self.pool_registry = CollectorRegistry()
        self._pool_name = pool_name
        self._families = Families(prefix, self.registry)
        self._models = DistinctValues(MAX_MODEL_NAMES)
        self._fairness_ids = DistinctValues(MAX_FAIRNESS_IDS)
        self.flow = FlowMetrics(self._families, pool_name, self._models.fold, self._fairness_ids.fold, max_label_sets)
        """What flow control reports to."""
        # One more than the bound for each priority; priorities come from the configuration, not from clients.
        self._requests: LabelSets[Labels, RequestSeries] = LabelSets(
            max_label_sets, self._fold, lambda key: (OTHER, OTHER, OTHER, key[3]), self._new_series
        )
        self._attempts: dict[tuple[str, str, int], Cell] = {}
        self._plugin_times: dict[tuple[str, str, str], Callable[[float], None]] = {}
        self._cycle = self._families.histograms["scheduler_e2e_duration_seconds"].child().observe
        self._processing = self._families.histograms["request_processing_duration_seconds"].child().observe
        self._families.gauges["info"].child(commit, version("turnout")).value = 1

    def watch_scrapes(self, view: ScrapeView, types: Callable[[str], str]) -> None:
        """Shows the data layer's error counts; ``types`` gives a plugin's type for its name. Call once."""
        self.pool_registry.register(ScrapeErrors(self.prefix, view, types))

    def watch_plugins(self, plugins: Callable[[], Mapping[str, object]], types: Callable[[str], str]) -> None:
        """Shows the readings of these plugins; ``types`` gives a plugin's type for its name. Call once."""
        failed = partial(self.plugin_failed, "")
        self.pool_registry.register(PluginReadings(self.prefix, plugins, types, failed))

    def watch_findings(self, diagnoses: Diagnoses, types: Callable[[str], str]) -> None:
        """Shows how many findings plugins have; ``types`` gives a plugin's type for its name. Call once."""
        self.pool_registry.register(FindingGauges(self.prefix, diagnoses, types))

    def watch_advice(self, advices: ScalingAdvices, types: Callable[[str], str]) -> None:
        """Shows how many replicas there should be; ``types`` gives a plugin's type for its name. Call once."""
        self.pool_registry.register(AdviceGauges(self.prefix, advices, types))

    def watch_queue(self, limits: Callable[[], Limits | None]) -> None:
        """Shows how full the queue is, where there is one; call once."""
        self.pool_registry.register(CapacityGauges(self.prefix, self._pool_name, limits))

    def watch_pool(self, view: PoolView) -> None:
        """Shows the pool's gauges, read from the view during each scrape; call once.

        They are in ``pool_registry``, because the view may only be read on the event loop.
        """
        self.pool_registry.register(PoolGauges(self.prefix, self._pool_name, view))

    # --- RequestObserver ---------------------------------------------------------------------------------

    def scheduled(self, request: InferenceRequest, endpoint: Endpoint, seconds: float) -> None:
        """Counts a cycle that chose the endpoint."""
        self._cycle(seconds)
        key = (request.target_model, endpoint.name, endpoint.port)
        cell = self._attempts.get(key)
        if cell is None:
            cell = self._new_attempt(key)
        cell.value += 1

    def scheduling_failed(self, request: InferenceRequest, seconds: float) -> None:
        """Counts a cycle without an endpoint."""
        self._cycle(seconds)
        model = self._models.fold(request.target_model)
        self._families.counters["scheduler_attempts_total"].child("failure", model, "", "", "").value += 1

    def plugin_ran(self, plugin: str, plugin_type: str, extension_point: str, seconds: float) -> None:
        """Observes the time of one call."""
        key = (extension_point, plugin_type, plugin)
        observe = self._plugin_times.get(key)
        if observe is None:
            observe = self._plugin_times[key] = self.plugin_timer(plugin, plugin_type, extension_point)
        observe(seconds)

    def dispatched(self, request: InferenceRequest, endpoint: Endpoint, processing_seconds: float) -> None:
        """Counts a request that goes to the endpoint."""
        self._processing(processing_seconds)
        self._of(request).dispatched(request)

    def refused(self, request_id: str, model: str, refusal: Refusal) -> None:
        """Counts an error; a refused request has no target model, fairness id or priority."""
        self._requests.of((model, "", "", 0)).failed(refusal.kind.value)

    def plugin_failed(self, request_id: str, error: PluginError) -> None:
        """Counts a plugin's failure."""
        self._families.counters["plugin_errors_total"].child(error.extension_point.value, error.plugin).value += 1

    def streamed(self, request: InferenceRequest, gap_seconds: float) -> None:
        """Observes the time between two pieces of a streamed response."""
        self._of(request).streamed(gap_seconds)

    def finished(self, request: InferenceRequest, completion: Completion) -> None:
        """Observes how a dispatched request ended."""
        self._of(request).finished(request, completion)

    # --- other sources -----------------------------------------------------------------------------------

    def plugin_timer(self, plugin: str, plugin_type: str, extension_point: str) -> Callable[[float], None]:
        """Takes the seconds of each call of one plugin at one extension point; resolve it once, at assembly."""
        return self._families.histograms["plugin_duration_seconds"].child(extension_point, plugin_type, plugin).observe

    # --- labels ------------------------------------------------------------------------------------------

    def _of(self, request: InferenceRequest) -> RequestSeries:
        return self._requests.of((request.model, request.target_model, request.fairness_id, request.priority))

    def _fold(self, key: Labels) -> Labels:
        model, target, fairness_id, priority = key
        return self._models.fold(model), self._models.fold(target), self._fairness_ids.fold(fairness_id), priority

    def _new_series(self, key: Labels) -> RequestSeries:
        model, target, fairness_id, priority = key
        return RequestSeries(self._families, (model, target, fairness_id, str(priority)))

    def _new_attempt(self, key: tuple[str, str, int]) -> Cell:
        target, endpoint, port = key
        family = self._families.counters["scheduler_attempts_total"]
        if len(family) >= MAX_ATTEMPT_SETS:
            return family.child("success", OTHER, OTHER, OTHER, OTHER)
        namespace, _, name = endpoint.rpartition("/")
        model = self._models.fold(target)
        cell = family.child("success", model, printable(name), printable(namespace), str(port))
        if model == target:
            self._attempts[key] = cell
        return cell
