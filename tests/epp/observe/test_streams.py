from prometheus_client import CollectorRegistry

from turnout.epp.observe.streams import StreamMetrics


def test_streams_are_counted_while_they_are_open_and_by_code_when_they_end() -> None:
    registry = CollectorRegistry()
    streams = StreamMetrics("turnout_", registry)
    streams.stream_started()
    streams.stream_started()
    streams.stream_ended("OK", 0.75)
    assert registry.get_sample_value("turnout_extproc_streams_inflight") == 1
    assert registry.get_sample_value("turnout_extproc_streams_total", {"code": "OK"}) == 1
    assert registry.get_sample_value("turnout_extproc_stream_duration_seconds_sum") == 0.75
    assert registry.get_sample_value("turnout_extproc_stream_duration_seconds_bucket", {"le": "1.0"}) == 1


def test_the_duration_has_the_fields_buckets() -> None:
    registry = CollectorRegistry()
    StreamMetrics("", registry)
    samples = [sample for family in registry.collect() for sample in family.samples]
    edges = [sample.labels["le"] for sample in samples if sample.name == "extproc_stream_duration_seconds_bucket"]
    expected = "0.001 0.005 0.01 0.05 0.1 0.5 1.0 5.0 10.0 30.0 60.0 120.0 300.0 600.0 +Inf"
    assert edges == expected.split()
