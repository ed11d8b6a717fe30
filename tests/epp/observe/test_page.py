import asyncio

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.page import BusyError, MetricsPage
from turnout.framework import Completion, Endpoint, Termination, Usage
from turnout.framework.testing import make_endpoint, make_request


class OneEndpoint:
    def snapshot(self) -> list[Endpoint]:
        return [make_endpoint("a", waiting=3)]

    def statuses(self) -> list[EndpointStatus]:
        return [EndpointStatus("default/a", in_service=True, reason="")]


def page_of_one_request() -> MetricsPage:
    metrics = Metrics()
    metrics.watch_pool(OneEndpoint())
    metrics.dispatched(make_request(), make_endpoint(), 0.001)
    metrics.finished(make_request(), Completion(make_endpoint(), Termination.NATURAL, 200, usage=Usage(10, 5)))
    return MetricsPage(metrics.registry, metrics.pool_registry)


async def test_plain_text_has_both_registries() -> None:
    body, content_type = await page_of_one_request().render("")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"turnout_request", "turnout_ready_endpoints", "turnout_request_input_tokens"} <= names
    assert content_type.startswith("text/plain")


async def test_open_metrics_is_one_valid_document() -> None:
    body, content_type = await page_of_one_request().render("application/openmetrics-text; version=1.0.0")
    families = openmetrics_families(body.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"turnout_request", "turnout_ready_endpoints", "turnout_info"} <= names
    assert content_type.startswith("application/openmetrics-text")
    assert body.count(b"# EOF") == 1


@pytest.mark.parametrize(
    "accept",
    [
        pytest.param("application/openmetrics-text; version=x.y", id="a version that is no number"),
        pytest.param("application/openmetrics-text; version=99.0.0", id="a version of the future"),
        pytest.param("text/plain; version=\N{SUPERSCRIPT TWO}", id="a version that only looks like a number"),
        pytest.param(";;;,,,=", id="garbage"),
        pytest.param("application/openmetrics-text; version=", id="no version"),
        pytest.param("text/plain; version=1.0.0; escaping=nonsense", id="an unknown escaping"),
    ],
)
async def test_a_strange_accept_header_gets_a_page(accept: str) -> None:
    body, _ = await page_of_one_request().render(accept)
    assert b"turnout_request_total{" in body


async def test_more_than_eight_pages_at_once_are_refused() -> None:
    page = page_of_one_request()
    outcomes = await asyncio.gather(*(page.render("") for _ in range(9)), return_exceptions=True)
    assert [isinstance(outcome, BusyError) for outcome in outcomes] == [False] * 8 + [True]
    body, _ = await page.render("")
    assert body
