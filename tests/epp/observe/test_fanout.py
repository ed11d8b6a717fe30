from turnout.epp.observe.fanout import Observers
from turnout.epp.observe.metrics import Metrics
from turnout.framework import Completion, ExtensionPoint, PluginError, Refusal, RefusalKind, Termination
from turnout.framework.testing import make_endpoint, make_request


def everything_that_happens(observers: Observers) -> None:
    request, endpoint = make_request(), make_endpoint()
    observers.scheduled(request, endpoint, 0.001)
    observers.scheduling_failed(request, 0.001)
    observers.plugin_ran("q", "queue-scorer", "Scorer", 0.001)
    observers.dispatched(request, endpoint, 0.001)
    observers.refused("r1", "m", Refusal(RefusalKind.INTERNAL, "no"))
    observers.plugin_failed("r1", PluginError("q", ExtensionPoint.SCORER, "it raised"))
    observers.finished(request, Completion(endpoint, Termination.NATURAL, 200))


def counted(metrics: Metrics) -> dict[str, float]:
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return {sample.name: sample.value for sample in samples if sample.name.endswith(("_total", "_count"))}


def test_every_observer_hears_of_every_step() -> None:
    first, second = Metrics(), Metrics()
    everything_that_happens(Observers(first, second))
    assert counted(first) == counted(second)
    assert {
        "turnout_request_total",
        "turnout_request_error_total",
        "turnout_scheduler_attempts_total",
        "turnout_plugin_errors_total",
        "turnout_plugin_duration_seconds_count",
        "turnout_response_size_bytes_count",
    } <= counted(first).keys()
