"""Metrics of ext_proc streams; registered only where they are asked for."""

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from turnout.epp.observe.families import STREAM
from turnout.epp.observe.series import CellFamily, HistogramFamily


class StreamMetrics:
    """Counts streams between the proxy and the Endpoint Picker."""

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        in_flight = CellFamily(GaugeMetricFamily, f"{prefix}extproc_streams_inflight", "Open ext_proc streams.", ())
        duration = HistogramFamily(
            f"{prefix}extproc_stream_duration_seconds", "Time from the opening to the end of a stream.", (), STREAM
        )
        self._by_code = CellFamily(
            CounterMetricFamily, f"{prefix}extproc_streams_total", "Ended streams by gRPC status code.", ("code",)
        )
        self._in_flight = in_flight.child()
        self._duration = duration.child()
        for family in (in_flight, duration, self._by_code):
            registry.register(family)

    def stream_started(self) -> None:
        """A stream began."""
        self._in_flight.value += 1

    def stream_ended(self, code: str, seconds: float) -> None:
        """A stream ended; ``code`` is the name of a gRPC status such as ``OK``. Once for each start."""
        self._in_flight.value -= 1
        self._duration.observe(seconds)
        self._by_code.child(code).value += 1
