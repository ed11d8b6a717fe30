from prometheus_client import CollectorRegistry, generate_latest

from turnout.epp.datalayer.scraper import ScrapeCounters
from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.scrapes import ScrapeErrors

TYPES = {"mine": "metrics-data-source", "core": "core-metrics-extractor"}


def test_errors_are_counted_by_type_and_added_up() -> None:
    counters = ScrapeCounters()
    counters.poll_errors.update({"mine": 2, "metrics-data-source": 1})
    counters.extract_errors.update({("mine", "core"): 4})
    registry = CollectorRegistry()
    registry.register(ScrapeErrors("p_", counters, lambda name: TYPES.get(name, name)))
    page = generate_latest(registry).decode().splitlines()
    assert 'p_datalayer_poll_errors_total{source_type="metrics-data-source"} 3.0' in page
    assert (
        "p_datalayer_extract_errors_total"
        '{extractor_type="core-metrics-extractor",source_type="metrics-data-source"} 4.0'
    ) in page


def test_the_counts_are_read_when_the_page_is() -> None:
    metrics, counters = Metrics(), ScrapeCounters()
    metrics.watch_scrapes(counters, lambda name: name)
    counters.poll_errors["late"] += 1
    assert metrics.pool_registry.get_sample_value("turnout_datalayer_poll_errors_total", {"source_type": "late"}) == 1
