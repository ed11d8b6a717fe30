"""Pickers in various states of health, as their pages show them."""

import json
from collections.abc import Mapping

from aiohttp import web

READY = "ok\n"


def endpoint(name: str = "default/a", **changes: object) -> dict[str, object]:
    """One endpoint that serves, as ``/endpoints`` shows it."""
    return {
        "name": name,
        "address": "10.0.0.1:8000",
        "rank": 0,
        "labels": {},
        "in_service": True,
        "reason": "",
        "in_flight": 6,
        "metrics": {
            "waiting_queue_size": {"value": 2, "age_seconds": 0.05},
            "running_requests": {"value": 1200, "age_seconds": 0.25},
            "kv_cache_utilization": {"value": 0.5, "age_seconds": None},
            "spare": {"value": ["x"], "age_seconds": None},
        },
        **changes,
    }


OUT = endpoint("default/b", in_service=False, reason="connection refused", in_flight=0, metrics={})

QUEUE: Mapping[str, object] = {
    "enabled": True,
    "queued": 12,
    "bytes": 3_400_000,
    "saturation": 0.95,
    "strategy": "slo-first",
    "expected_wait_seconds": 1.25,
    "bands": [
        {
            "priority": 10,
            "level": "gold",
            "queued": 2,
            "bytes": 400_000,
            "oldest_seconds": 0.5,
            "max_requests": 5000,
            "flows": 1,
        },
        {
            "priority": -5,
            "level": "",
            "queued": 10,
            "bytes": 3_000_000,
            "oldest_seconds": 200.0,
            "max_requests": None,
            "flows": 4,
        },
    ],
}


def target(short: float = 0.5, long: float = 0.5, **changes: object) -> dict[str, object]:
    """One target with these burn rates, as ``/sla`` shows it."""
    return {
        "plugin": "sla-tracker",
        "target": "chat",
        "metric": "ttft",
        "percentile": 99.0,
        "selects": {"level": "gold"},
        "target_seconds": 0.5,
        "short": {"seconds": 300.0, "requests": 1000, "compliance": 0.99954, "burn_rate": short},
        "long": {"seconds": 3600.0, "requests": 12000, "compliance": 0.995, "burn_rate": long},
        "observed_seconds": {"0.5": 0.2, "0.99": 0.4321},
        "burning": False,
        **changes,
    }


def advice(**changes: object) -> dict[str, object]:
    """What one group should have, as ``/autoscaling`` shows it."""
    return {
        "plugin": "autoscaling-advisor",
        "group": "llama",
        "basis": "tokens",
        "desired": 4,
        "current": 2,
        "needed": 3.25,
        "min": 1,
        "max": 10,
        "reason": "load",
        "figures": {"queued_tokens": 1.0},
        **changes,
    }


def picker(
    *,
    readyz: tuple[int, str] = (200, READY),
    endpoints: object = (endpoint(), OUT),
    queue: object = QUEUE,
    targets: object = (target(),),
    advised: object = None,
) -> web.Application:
    """Its pages; a page that is None does not exist."""
    app = web.Application()
    add(app, "/readyz", readyz[1].encode(), readyz[0])
    add(app, "/endpoints", encoded({"endpoints": endpoints}))
    if queue is not None:
        add(app, "/queue", encoded(queue))
    if targets is not None:
        add(app, "/sla", encoded({"targets": targets}))
    if advised is not None:
        add(app, "/autoscaling", encoded({"advice": advised}))
    return app


def encoded(document: object) -> bytes:
    """JSON as Python writes it, NaN and all."""
    return json.dumps(document).encode()


def add(app: web.Application, path: str, body: bytes, status: int = 200) -> None:
    """Adds a page to the application."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    app.add_routes([web.get(path, answer)])
