"""The figures of the precise producer on the metrics page."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from turnout.framework import CounterReading, GaugeReading, Reading
from turnout.plugins.prefix_cache.engine_index import EngineIndex, Followed
from turnout.plugins.prefix_cache.held import BYTES_PER_BLOCK

MAX_SHOWN_ENDPOINTS = 200
"""Endpoints that are shown one by one: the page takes 2,000 figures of a plugin."""


def index_readings(index: EngineIndex) -> Iterable[Reading]:
    """Of the whole index."""
    held = len(index.held)
    believed = sum(1 for followed in index.followed.values() if followed.is_believed)
    yield GaugeReading("prefix_indexer_size", "Blocks remembered, summed over endpoints.", held)
    yield GaugeReading("kv_cache_index_bytes", "Memory of the index, at most.", held * BYTES_PER_BLOCK)
    yield CounterReading("kv_cache_index_refused_total", "Blocks that did not fit into the index.", index.held.refused)
    yield GaugeReading("kv_cache_events_active_subscribers", "Endpoints whose events are current.", believed)
    skipped = Counter[str]()
    for followed in index.followed.values():
        skipped.update(followed.blocks.skipped)
    for reason, count in skipped.items():
        yield CounterReading(
            "kv_cache_events_stores_skipped_total", "Blocks of events that were passed over.", count, {"reason": reason}
        )


def event_readings(index: EngineIndex) -> Iterable[Reading]:
    """Of the events of each endpoint, for the first 200."""
    for name, followed in islice(index.followed.items(), MAX_SHOWN_ENDPOINTS):
        namespace, _, short = name.rpartition("/")
        labels = {"endpoint_name": short, "namespace": namespace}
        for stem, text, value in _totals(followed):
            yield CounterReading(f"kv_cache_events_{stem}_total", text, value, labels)
        yield GaugeReading("kv_cache_index_blocks", "Blocks that the engine holds.", followed.blocks.blocks, labels)


def _totals(followed: Followed) -> Iterable[tuple[str, str, int]]:
    counters = followed.stream.counters
    yield "messages_received", "Batches of events that were applied.", counters.batches
    yield "gaps", "Times that batches were missing.", counters.gaps
    yield "publisher_restarts", "Times that the publisher began anew.", counters.restarts
    yield "resets", "Times that everything an endpoint had announced was dropped.", counters.resets
    yield "undecodable", "Batches that could not be read.", sum(counters.undecodable.values())
