from plugins.prefix_cache.events import payload, stored
from plugins.prefix_cache.test_engine_index import A, B, following, hear
from turnout.framework import CounterReading
from turnout.plugins.prefix_cache.precise_readings import event_readings, index_readings


def test_the_index_shows_its_size_its_memory_and_what_it_passed_over() -> None:
    index = following(A, B)
    hear(index, A, payload(stored([1, 2]), stored([9], parent=77)))
    shown = {reading.name: reading for reading in index_readings(index)}
    values = {name: reading.value for name, reading in shown.items() if hasattr(reading, "value")}
    assert values == {
        "prefix_indexer_size": 2,
        "kv_cache_index_bytes": 600,
        "kv_cache_index_refused_total": 0,
        "kv_cache_events_active_subscribers": 1,
        "kv_cache_events_stores_skipped_total": 1,
    }
    skipped = shown["kv_cache_events_stores_skipped_total"]
    assert isinstance(skipped, CounterReading)
    assert skipped.labels == {"reason": "unknown-parent"}


def test_events_are_shown_by_endpoint() -> None:
    index = following(A)
    hear(index, A, payload(stored([1, 2])), b"\xc1", payload(stored([1])))
    shown = {reading.name: reading for reading in event_readings(index)}
    assert {name: reading.value for name, reading in shown.items() if hasattr(reading, "value")} == {
        "kv_cache_events_messages_received_total": 3,
        "kv_cache_events_gaps_total": 0,
        "kv_cache_events_publisher_restarts_total": 0,
        "kv_cache_events_resets_total": 1,
        "kv_cache_events_undecodable_total": 1,
        "kv_cache_index_blocks": 1,
    }
    assert {tuple(reading.labels.items()) for reading in shown.values()} == {
        (("endpoint_name", "a"), ("namespace", "default"))
    }
