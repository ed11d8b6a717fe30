"""Endpoints whose engines reported something at a time."""

from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint


def reporting(
    name: str = "a",
    *,
    at: float = 100.0,
    waiting: int = 0,
    running: int = 0,
    cache: float = 0.0,
    in_flight: int = 0,
    cache_at: float | None = None,
) -> Endpoint:
    """What the engine reported at ``at`` (its cache at ``cache_at``); ``waiting`` is what plugins see of its queue."""
    observed = {"waiting_queue_size": at, "kv_cache_utilization": at if cache_at is None else cache_at}
    metrics = EndpointMetrics(waiting, running, cache, observed_at=observed)
    return make_endpoint(name, metrics=metrics, in_flight=in_flight)


SILENT = make_endpoint("silent")
"""Its engine never reported anything."""
