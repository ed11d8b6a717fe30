"""Read-only pages for operators and scrapers: metrics, health, endpoints, decisions, configuration.

What is shown is read on the event loop; pages that may be long are written in a thread, from immutable values.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from turnout.epp.admin.answers import error_answer as _error
from turnout.epp.admin.answers import finite as _finite
from turnout.epp.admin.answers import json_answer as _json
from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.decisions import StoredDecision
from turnout.epp.observe.labels import printable
from turnout.epp.observe.page import BusyError, MetricsPage
from turnout.epp.observe.pool import PoolView
from turnout.framework import Diagnosis, Endpoint, Figure

DEFAULT_DECISIONS = 20
MAX_DECISIONS = 200


class Decisions(Protocol):
    """The explained decisions that are kept."""

    def latest(self, count: int) -> Sequence[StoredDecision]:
        """The newest first."""
        ...

    def get(self, request_id: str) -> StoredDecision | None:
        """The latest about this request."""
        ...


@dataclass(frozen=True, slots=True)
class AdminSources:
    """What the pages show; all of it is asked for on the event loop, for each page.

    ``not_ready`` gives why the process cannot take requests, empty if it can. ``config`` gives the effective
    configuration as JSON types, without secrets; ``diagnosis`` what each plugin says about its own work. ``clock``
    is the clock of ``CycleState.now``.
    """

    metrics: MetricsPage
    pool: PoolView
    decisions: Decisions
    config: Callable[[], Mapping[str, object]]
    diagnosis: Callable[[], Mapping[str, Diagnosis]]
    not_ready: Callable[[], str]
    clock: Callable[[], float]


def admin_app(sources: AdminSources) -> web.Application:
    """The pages as an application. They answer GET and HEAD only and read no request body."""
    pages = _Pages(sources)
    app = web.Application(client_max_size=1)
    app.add_routes(
        [
            web.get("/", pages.index),
            web.get("/metrics", pages.metrics),
            web.get("/healthz", pages.healthz),
            web.get("/readyz", pages.readyz),
            web.get("/endpoints", pages.endpoints),
            web.get("/decisions", pages.decisions),
            web.get("/decisions/{request_id:.+}", pages.decision),
            web.get("/config", pages.config),
            web.get("/diagnosis", pages.diagnosis),
        ]
    )
    return app


class _Pages:
    def __init__(self, sources: AdminSources) -> None:
        self._sources = sources

    async def index(self, request: web.Request) -> web.Response:
        return web.Response(text=_INDEX, content_type="text/html")

    async def metrics(self, request: web.Request) -> web.Response:
        try:
            body, content_type = await self._sources.metrics.render(request.headers.get("Accept", ""))
        except BusyError as busy:
            return _error(503, str(busy))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        reason = self._sources.not_ready()
        return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200)

    async def endpoints(self, request: web.Request) -> web.Response:
        pool, now = self._sources.pool, self._sources.clock()
        return await asyncio.to_thread(_endpoints, pool.snapshot(), pool.statuses(), now)

    async def decisions(self, request: web.Request) -> web.Response:
        asked = request.query.get("n", str(DEFAULT_DECISIONS))
        # Three digits are enough for the bound, and int() of a long text is not free.
        if not (asked.isascii() and asked.isdecimal() and len(asked) <= 3 and 1 <= int(asked) <= MAX_DECISIONS):
            return _error(400, f"n must be a number from 1 to {MAX_DECISIONS}, not {printable(asked, 32)!r}")
        return await asyncio.to_thread(_decisions, self._sources.decisions.latest(int(asked)))

    async def decision(self, request: web.Request) -> web.Response:
        request_id = request.match_info["request_id"]
        found = self._sources.decisions.get(request_id)
        if found is None:
            return _error(404, f"no decision is kept about request {printable(request_id)!r}")
        return _json(found.as_dict())

    async def config(self, request: web.Request) -> web.Response:
        return _json(self._sources.config())

    async def diagnosis(self, request: web.Request) -> web.Response:
        return await asyncio.to_thread(_diagnosis, self._sources.diagnosis())


def _diagnosis(answers: Mapping[str, Diagnosis]) -> web.Response:
    return _json({"plugins": {name: _answer(answer) for name, answer in answers.items()}})


def _answer(answer: Diagnosis) -> dict[str, object]:
    findings = [
        {"endpoint": finding.endpoint, "cause": finding.cause, "message": finding.message}
        for finding in answer.findings
    ]
    return {"findings": findings, "endpoints": {name: _figures(own) for name, own in answer.figures.items()}}


def _figures(own: Mapping[str, Figure]) -> dict[str, Figure]:
    return {name: _finite(value) if isinstance(value, float) else value for name, value in own.items()}


def _endpoints(endpoints: Sequence[Endpoint], statuses: Sequence[EndpointStatus], now: float) -> web.Response:
    by_name = {status.name: status for status in statuses}
    return _json({"endpoints": [_endpoint(endpoint, by_name.get(endpoint.name), now) for endpoint in endpoints]})


def _decisions(decisions: Sequence[StoredDecision]) -> web.Response:
    return _json({"decisions": [decision.as_dict() for decision in decisions]})


def _endpoint(endpoint: Endpoint, status: EndpointStatus | None, now: float) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "address": endpoint.host_port,
        "rank": endpoint.rank,
        "labels": dict(endpoint.labels),
        "in_service": status is not None and status.in_service,
        "reason": "" if status is None else status.reason,
        "in_flight": endpoint.in_flight,
        "metrics": _metrics(endpoint, now),
    }


def _metrics(endpoint: Endpoint, now: float) -> dict[str, dict[str, object]]:
    """Each value with its age in seconds; the age is null where the engine never reported the value."""
    metrics = endpoint.metrics
    values: dict[str, object] = {
        "waiting_queue_size": metrics.waiting_queue_size,
        "running_requests": metrics.running_requests,
        "kv_cache_utilization": _finite(metrics.kv_cache_utilization),
        "active_adapters": sorted(metrics.active_adapters),
        "waiting_adapters": sorted(metrics.waiting_adapters),
        "max_active_adapters": metrics.max_active_adapters,
        "cache_block_size": metrics.cache_block_size,
        "cache_num_blocks": metrics.cache_num_blocks,
        "prefix_cache_queries": _finite(metrics.prefix_cache_queries),
        "prefix_cache_hits": _finite(metrics.prefix_cache_hits),
        "kv_transfers": _finite(metrics.kv_transfers),
        "kv_transfer_seconds": _finite(metrics.kv_transfer_seconds),
    }
    aged = {name: _aged(value, metrics.age(name, now)) for name, value in values.items()}
    custom = {name: _aged(_finite(value), metrics.age(f"custom.{name}", now)) for name, value in metrics.custom.items()}
    return aged | custom


def _aged(value: object, seconds: float) -> dict[str, object]:
    return {"value": value, "age_seconds": _finite(seconds)}


_PAGES = (
    ("/metrics", "metrics for Prometheus"),
    ("/healthz", "whether the process lives"),
    ("/readyz", "whether it can take requests"),
    ("/endpoints", "every endpoint with its state and metrics"),
    ("/decisions", f"the latest explained decisions; ?n=1 to {MAX_DECISIONS}"),
    ("/config", "the effective configuration"),
    ("/queue", "what waits, by priority"),
    ("/diagnosis", "what plugins say about their own work"),
    ("/autoscaling", "how many replicas there should be"),
    ("/sla", "promises, and how they are kept"),
    ("/sla/events", "broken promises as they happen, as server-sent events"),
)
_ROWS = "\n".join(f'<li><a href="{path}">{path}</a> {words}</li>' for path, words in _PAGES)
_INDEX = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Turnout</title></head><body>
<h1>Turnout Endpoint Picker</h1>
<ul>
{_ROWS}
<li>/decisions/REQUEST-ID: the decision about one request</li>
</ul>
</body></html>
"""
