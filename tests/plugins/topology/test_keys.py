import pytest

from turnout.plugins.topology.keys import TOPOLOGY, Reach, Route


def test_who_names_no_producer_means_the_default_one() -> None:
    assert TOPOLOGY.of("").producer == "topology-producer"


@pytest.mark.parametrize(
    ("size", "seconds"), [pytest.param(0, 0.001, id="nothing"), pytest.param(3e9, 1.501, id="3 GB at 2 GB/s")]
)
def test_data_takes_the_latency_and_the_time_on_the_narrowest_part(size: float, seconds: float) -> None:
    assert Route(Reach.NODE, 2e9, 0.001).seconds(size) == pytest.approx(seconds)


def test_a_reach_is_less_the_nearer_it_is() -> None:
    assert Reach.NVLINK < Reach.SOCKET < Reach.NODE < Reach.RACK < Reach.ZONE < Reach.REGION < Reach.APART
