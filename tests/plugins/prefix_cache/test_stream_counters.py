from turnout.plugins.prefix_cache.stream_counters import StreamCounters


def test_batches_that_could_not_be_read_are_counted_by_cause() -> None:
    counters = StreamCounters()
    for cause in ["field", "shape", "field"]:
        counters.count_undecodable(cause)
    assert counters.undecodable == {"field": 2, "shape": 1}


def test_unknown_events_are_counted_by_tag_as_long_as_the_tags_are_few() -> None:
    counters = StreamCounters()
    counters.count_unknown({f"tag-{number}": 1 for number in range(20)})
    counters.count_unknown({"tag-0": 5, "tag-30": 2})
    assert len(counters.unknown_events) == 17
    assert counters.unknown_events["tag-0"] == 6
    assert counters.unknown_events[""] == 4 + 2
