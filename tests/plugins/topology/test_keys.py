import pytest

from turnout.framework import Quantity
from turnout.plugins.topology.keys import TOPOLOGY, KvTransfer, Reach, Route


def test_who_names_no_producer_means_the_default_one() -> None:
    assert TOPOLOGY.of("").producer == "topology-producer"


@pytest.mark.parametrize(
    ("size", "seconds"), [pytest.param(0, 0.001, id="nothing"), pytest.param(3e9, 1.501, id="3 GB at 2 GB/s")]
)
def test_data_takes_the_latency_and_the_time_on_the_narrowest_part(size: float, seconds: float) -> None:
    assert Route(Reach.NODE, 2e9, 0.001).seconds(size) == pytest.approx(seconds)


def test_a_reach_is_less_the_nearer_it_is() -> None:
    assert Reach.NVLINK < Reach.SOCKET < Reach.NODE < Reach.RACK < Reach.ZONE < Reach.REGION < Reach.APART


@pytest.mark.parametrize(
    ("tokens", "model", "seconds"),
    [
        pytest.param(10_000, "m", 1.31172, id="a model that is not listed: 131,072 bytes for each token"),
        pytest.param(10_000, "large", 3.27780, id="a model that is listed: 327,680"),
        pytest.param(0, "m", 0.0, id="nothing is sent, so that nothing takes time"),
    ],
)
def test_a_kv_cache_takes_as_long_as_its_bytes(tokens: int, model: str, seconds: float) -> None:
    transfer = KvTransfer(by_model={"large": Quantity(327_680)})
    assert transfer.seconds(Route(Reach.NODE, 1e9, 0.001), tokens, model) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("default", "of_a_model", "message"),
    [
        pytest.param(0, 1, "bytes_per_token must be at least 1, got 0", id="of all models"),
        pytest.param(1, 0, "bytes_per_token of large must be at least 1, got 0", id="of one"),
    ],
)
def test_a_token_has_at_least_a_byte(default: int, of_a_model: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KvTransfer(Quantity(default), {"large": Quantity(of_a_model)})
