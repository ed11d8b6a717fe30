import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from turnout.epp.observe.series import CellFamily, HistogramFamily
from turnout.framework import Histogram


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        pytest.param(0.0, [1, 0, 0], id="below the first bound"),
        pytest.param(1.0, [1, 0, 0], id="on the first bound"),
        pytest.param(1.5, [0, 1, 0], id="between the bounds"),
        pytest.param(2.0, [0, 1, 0], id="on the last bound"),
        pytest.param(9.0, [0, 0, 1], id="above every bound"),
    ],
)
def test_an_observation_falls_into_the_first_bucket_whose_bound_is_not_below_it(
    value: float, counts: list[int]
) -> None:
    histogram = Histogram((1, 2))
    histogram.observe(value)
    assert histogram.counts == counts
    assert histogram.total == value


def test_a_histogram_is_exposed_with_cumulative_buckets_its_count_and_its_sum() -> None:
    family = HistogramFamily("h", "Words.", ("color",), (1, 2))
    for value in (0.5, 0.5, 1.5, 7.0):
        family.child("red").observe(value)
    (collected,) = family.collect()
    assert [(sample.name, sample.labels, sample.value) for sample in collected.samples] == [
        ("h_bucket", {"color": "red", "le": "1.0"}, 2),
        ("h_bucket", {"color": "red", "le": "2.0"}, 3),
        ("h_bucket", {"color": "red", "le": "+Inf"}, 4),
        ("h_count", {"color": "red"}, 4),
        ("h_sum", {"color": "red"}, 9.5),
    ]


def test_the_same_label_values_give_the_same_child() -> None:
    family = HistogramFamily("h", "Words.", ("color",), (1,))
    assert family.child("red") is family.child("red")
    assert family.child("red") is not family.child("blue")


@pytest.mark.parametrize(
    ("made_of", "sample"),
    [
        pytest.param(CounterMetricFamily, "c_total", id="a counter ends in _total"),
        pytest.param(GaugeMetricFamily, "c", id="a gauge has its plain name"),
    ],
)
def test_cells_are_exposed_under_their_labels(
    made_of: type[CounterMetricFamily] | type[GaugeMetricFamily], sample: str
) -> None:
    family = CellFamily(made_of, "c", "Words.", ("color",))
    family.child("red").value += 2
    family.child("red").value += 1
    (collected,) = family.collect()
    assert [(found.name, found.labels, found.value) for found in collected.samples] == [(sample, {"color": "red"}, 3)]
    assert len(family) == 1
