import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.saturation.load import LoadGauge


@pytest.mark.parametrize(
    ("waiting", "cache", "load"),
    [
        pytest.param(0, 0.0, 0.0, id="idle"),
        pytest.param(10, 0.4, 2.0, id="by the queue"),
        pytest.param(1, 0.4, 0.5, id="by the cache"),
        pytest.param(1, float("nan"), 0.2, id="a cache that is no number"),
    ],
)
def test_the_fuller_of_queue_and_cache_counts(waiting: int, cache: float, load: float) -> None:
    assert LoadGauge(5, 0.8).of(make_endpoint("a", waiting=waiting, kv_cache_utilization=cache)) == load
