from turnout.epp.simulator.measurements import Histogram


def test_a_value_on_a_bound_counts_in_the_bucket_up_to_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(seconds)
    snapshot = histogram.snapshot()
    assert snapshot.counts == (2, 1, 1)
    assert snapshot.total == 6.0
