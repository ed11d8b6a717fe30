from turnout.epp.simulator.measurements import Histogram, TransferCounters


def test_a_value_on_a_bound_counts_in_the_bucket_up_to_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(seconds)
    snapshot = histogram.snapshot()
    assert snapshot.counts == (2, 1, 1)
    assert snapshot.total == 6.0


def test_transfers_are_counted_with_their_time_and_size_and_failures_apart() -> None:
    counters = TransferCounters()
    counters.transferred(2**20, 0.004)
    counters.transferred(2**11, 6.0)
    counters.failed()
    snapshot = counters.snapshot()
    assert snapshot.seconds.counts == (1, *[0] * 11, 1)
    assert snapshot.size.counts[:6] == (1, 0, 0, 0, 0, 1)
    assert (snapshot.seconds.total, snapshot.size.total, snapshot.failed) == (6.004, 2**20 + 2**11, 1)
