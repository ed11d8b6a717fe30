from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.admin.pages import AdminSources, admin_app
from turnout.epp.admin.server import start_admin
from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.decisions import DecisionLog
from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.page import MetricsPage
from turnout.framework import DecisionRecord, Diagnosis, Endpoint, EndpointMetrics, Finding
from turnout.framework.testing import make_endpoint, make_request

REPORTED = EndpointMetrics(
    waiting_queue_size=2,
    running_requests=5,
    kv_cache_utilization=0.5,
    active_adapters=frozenset({"b", "a"}),
    custom={"spare": float("nan"), "GPUUtilization/dcgm-extractor": 0.25},
    observed_at={"waiting_queue_size": 99.5, "running_requests": 98.0, "custom.GPUUtilization/dcgm-extractor": 97.0},
)


@dataclass
class Site:
    """A running admin port with the things behind it."""

    url: str
    client: aiohttp.ClientSession
    decisions: DecisionLog
    metrics: Metrics
    pool: "FakePool"
    not_ready: list[str] = field(default_factory=list)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.client.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()

    async def json(self, path: str) -> dict[str, Any]:
        async with self.client.get(self.url + path) as response:
            assert response.status == 200
            document: dict[str, Any] = await response.json()
            return document


@dataclass
class FakePool:
    endpoints: Sequence[Endpoint] = (make_endpoint("a", metrics=REPORTED, in_flight=6), make_endpoint("b"))

    def snapshot(self) -> Sequence[Endpoint]:
        return self.endpoints

    def statuses(self) -> Sequence[EndpointStatus]:
        return [
            EndpointStatus("default/a", in_service=True, reason=""),
            EndpointStatus("default/b", in_service=False, reason="connection refused"),
        ]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    metrics, decisions, pool = Metrics(), DecisionLog(), FakePool()
    metrics.watch_pool(pool)
    reasons: list[str] = []
    sources = AdminSources(
        MetricsPage(metrics.registry, metrics.pool_registry),
        pool,
        decisions,
        config=lambda: {"plugins": [{"type": "queue-scorer", "weight": 2}]},
        diagnosis=lambda: {
            "p": Diagnosis((Finding("no-events", "nothing", "default/a"),), {"default/a": {"x": 1, "y": float("nan")}})
        },
        not_ready=lambda: "; ".join(reasons),
        clock=lambda: 100.0,
    )
    running = await start_admin(admin_app(sources), "127.0.0.1", 0)
    async with aiohttp.ClientSession() as client:
        yield Site(f"http://127.0.0.1:{running.port}", client, decisions, metrics, pool, reasons)
    await running.close()


async def test_the_index_links_every_page(site: Site) -> None:
    status, page = await site.get("/")
    assert status == 200
    paths = ["/metrics", "/healthz", "/readyz", "/endpoints", "/decisions", "/config", "/diagnosis"]
    # These two are added where the queue and the promises are known.
    linked = [*paths, "/queue", "/sla"]
    assert [path for path in linked if f'href="{path}"' in page] == linked
    for path in paths:
        assert (await site.get(path))[0] == 200


async def test_metrics_are_served_as_text_and_as_open_metrics(site: Site) -> None:
    site.metrics.dispatched(make_request(model="m"), make_endpoint(), 0.001)
    _, plain = await site.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(plain)}
    assert families["turnout_request"].samples[0].value == 1
    assert families["turnout_ready_endpoints"].samples[0].value == 1
    _, open_metrics = await site.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert open_metrics.endswith("# EOF\n")


async def test_the_process_lives_even_while_it_is_not_ready(site: Site) -> None:
    assert await site.get("/healthz") == (200, "ok\n")
    assert await site.get("/readyz") == (200, "ok\n")
    site.not_ready.append("the pool is empty")
    assert await site.get("/healthz") == (200, "ok\n")
    assert await site.get("/readyz") == (503, "the pool is empty\n")


async def test_endpoints_are_shown_with_state_reason_and_the_age_of_every_value(site: Site) -> None:
    document = await site.json("/endpoints")
    first, second = document["endpoints"]
    metrics = first.pop("metrics")
    assert first == {
        "name": "default/a",
        "address": "10.0.0.98:8000",
        "rank": 0,
        "labels": {},
        "in_service": True,
        "reason": "",
        "in_flight": 6,
    }
    assert metrics["waiting_queue_size"] == {"value": 2, "age_seconds": 0.5}
    assert metrics["running_requests"] == {"value": 5, "age_seconds": 2.0}
    assert metrics["kv_cache_utilization"] == {"value": 0.5, "age_seconds": None}
    assert metrics["active_adapters"] == {"value": ["a", "b"], "age_seconds": None}
    assert metrics["spare"] == {"value": None, "age_seconds": None}
    assert metrics["GPUUtilization/dcgm-extractor"] == {"value": 0.25, "age_seconds": 3.0}
    assert (second["in_service"], second["reason"]) == (False, "connection refused")


async def test_labels_that_are_no_unicode_do_not_break_the_page(site: Site) -> None:
    site.pool.endpoints = [make_endpoint("a", labels={"team": "\ud800"})]
    assert (await site.get("/endpoints"))[0] == 200


async def test_decisions_are_listed_newest_first_and_found_by_request(site: Site) -> None:
    for request_id in ("r1", "r2", "a/b c"):
        site.decisions.add(DecisionRecord(), make_request(request_id), [make_endpoint()], 100.0)
    listed = await site.json("/decisions?n=2")
    assert [decision["request_id"] for decision in listed["decisions"]] == ["a/b c", "r2"]
    assert (await site.json("/decisions/r1"))["request_id"] == "r1"
    assert (await site.json("/decisions/a%2Fb%20c"))["request_id"] == "a/b c"


async def test_no_decisions_are_an_empty_list(site: Site) -> None:
    assert await site.json("/decisions") == {"decisions": []}


@pytest.mark.parametrize("asked", ["0", "201", "-1", "x", "9" * 5000, "%C2%B2", ""])
async def test_a_number_of_decisions_out_of_bounds_is_refused(site: Site, asked: str) -> None:
    status, body = await site.get(f"/decisions?n={asked}")
    assert status == 400
    assert "n must be a number from 1 to 200" in body


@pytest.mark.parametrize("request_id", ["unknown", "%FF%00", "x" * 4000, "<script>"])
async def test_an_unknown_decision_is_not_found(site: Site, request_id: str) -> None:
    async with site.client.get(f"{site.url}/decisions/{request_id}") as response:
        assert response.status == 404
        assert response.content_type == "application/json"
        assert (await response.json())["error"].startswith("no decision is kept about request")


async def test_the_effective_configuration_is_shown(site: Site) -> None:
    assert await site.json("/config") == {"plugins": [{"type": "queue-scorer", "weight": 2}]}


async def test_what_plugins_say_about_their_own_work_is_shown(site: Site) -> None:
    assert await site.json("/diagnosis") == {
        "plugins": {
            "p": {
                "findings": [{"endpoint": "default/a", "cause": "no-events", "message": "nothing"}],
                "endpoints": {"default/a": {"x": 1, "y": None}},
            }
        }
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(site: Site, method: str) -> None:
    async with site.client.request(method, f"{site.url}/config", data=b"x" * 100_000) as response:
        assert response.status == 405
