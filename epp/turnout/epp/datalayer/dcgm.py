"""How busy the GPUs of endpoints are, by the page of NVIDIA's DCGM exporter.

Metrics and labels: github.com/NVIDIA/dcgm-exporter. In Kubernetes a series has the labels ``pod`` and ``namespace`` of
who uses the GPU. Series of slices of a GPU (MIG) have ``GPU_I_ID``; how busy a slice is they do not say.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from turnout.epp.datalayer.discovery.hosts import is_host
from turnout.epp.datalayer.exposition import Sample, read_samples
from turnout.epp.datalayer.scraper import MetricsDataSource
from turnout.epp.datalayer.shared_pages import SharedPages
from turnout.framework import Endpoint, EndpointMetrics

GPU_UTILIZATION = "GPUUtilization/dcgm-extractor"
"""Where ``EndpointMetrics.custom`` has it: the field's name of the attribute, with that of its producer."""

# The exporter collects every 30 s by default.
DEFAULT_INTERVAL = timedelta(seconds=1)

_FAMILY = "DCGM_FI_DEV_GPU_UTIL"
_MAX_PERCENT = 100.0


class DcgmDataSource:
    """GETs the page of the DCGM exporter at the address of each endpoint, or of its host with ``use_node_address``.

    The host is what the endpoint's label ``node_address_label`` says: an IP address, or a name that can be looked up.
    An endpoint whose label says neither is asked at its own address. A host is asked once in an ``interval`` for all
    endpoints on it, so a page may be as old as that. Limits of a page are those of ``metrics-data-source``.

    Raises:
        ValueError: a parameter is out of range.
    """

    # The exporter is no part of the engine.
    shows_health = False

    def __init__(
        self,
        scheme: str = "http",
        path: str = "/metrics",
        port: int = 9400,
        insecure_skip_verify: bool = True,
        use_node_address: bool = False,
        interval: timedelta = DEFAULT_INTERVAL,
        node_address_label: str = "kubernetes.io/hostname",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if use_node_address and not node_address_label:
            raise ValueError("node_address_label: must not be empty with use_node_address, got ''")
        self._source = MetricsDataSource(
            scheme, path, port, insecure_skip_verify=insecure_skip_verify, interval=interval
        )
        self._label = node_address_label if use_node_address else ""
        self._shared = SharedPages(interval.total_seconds(), clock)

    @property
    def interval_seconds(self) -> float | None:
        """Seconds between two fetches for one endpoint."""
        return self._source.interval_seconds

    async def fetch(self, endpoint: Endpoint) -> bytes:
        """The page of the endpoint's exporter.

        Raises:
            OSError: no connection, a status other than 200, or a page over 4 MiB.
            TimeoutError: the page was not complete after 1 s.
        """
        stated = endpoint.labels.get(self._label, "") if self._label else ""
        # A label must not lead to another path or port; a zone of IPv6 may be any text.
        if "%" in stated or not is_host(stated):
            return await self._source.fetch(endpoint)
        return await self._shared.page(stated, lambda: self._source.fetch(replace(endpoint, address=stated)))

    async def close(self) -> None:
        """Closes the connections."""
        self._shared.close()
        await self._source.close()


class DcgmExtractor:
    """Reads the utilization of the GPUs of an endpoint, 0 to 1, the highest where it has several.

    Its GPUs are those of the series whose labels ``namespace`` and ``pod`` make its name; a series without
    ``namespace`` counts by ``pod``. On a page on which no series names a pod, all are.
    """

    def extract(self, page: bytes, endpoint: Endpoint, now: float) -> EndpointMetrics:
        """The endpoint's metrics with ``GPU_UTILIZATION`` replaced, if the page says it.

        A value that is no percentage (the exporter writes one near 2^63 for none) is missing.

        Raises:
            ValueError: the page is not an exposition, or a wanted line is malformed.
        """
        series = _own(endpoint.name, read_samples(page, (_FAMILY,))[_FAMILY])
        busy = max((sample.value for sample in series if 0.0 <= sample.value <= _MAX_PERCENT), default=None)
        known = endpoint.metrics
        if busy is None:
            return known
        return replace(
            known,
            custom={**known.custom, GPU_UTILIZATION: busy / _MAX_PERCENT},
            observed_at={**known.observed_at, f"custom.{GPU_UTILIZATION}": now},
        )


def _own(name: str, samples: Sequence[Sample]) -> Iterable[Sample]:
    namespace, _, pod = name.rpartition("/")
    whole = [sample for sample in samples if not sample.labels.get("GPU_I_ID")]
    if not any(sample.labels.get("pod") for sample in samples):
        return whole
    return (
        sample
        for sample in whole
        if sample.labels.get("pod") == pod and sample.labels.get("namespace") in (None, "", namespace)
    )
