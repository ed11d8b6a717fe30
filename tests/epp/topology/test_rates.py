import pytest

from turnout.epp.topology.rates import NVLINK_VERSIONS, nvlink_rate, pcie_rate


@pytest.mark.parametrize(
    ("said", "version", "rate"),
    [
        pytest.param(2, "2.0", 25_000_000_000, id="V100"),
        pytest.param(5, "3.1", 25_000_000_000, id="A100"),
        pytest.param(6, "4.0", 25_000_000_000, id="H100"),
        pytest.param(7, "5.0", 50_000_000_000, id="B200"),
        pytest.param(8, "6.0", None, id="newer than the table of rates"),
    ],
)
def test_what_the_driver_says_of_nvlink_is_a_number_in_a_list(said: int, version: str, rate: int | None) -> None:
    assert NVLINK_VERSIONS[said] == version
    assert nvlink_rate(version) == rate


@pytest.mark.parametrize(
    ("generation", "width", "rate"),
    [
        pytest.param(1, 1, 250_000_000, id="the first"),
        pytest.param(3, 16, 15_753_846_154, id="3 x16"),
        pytest.param(4, 16, 31_507_692_308, id="4 x16"),
        pytest.param(5, 16, 63_015_384_615, id="5 x16"),
        pytest.param(5, 8, 31_507_692_308, id="half of the lanes"),
        pytest.param(6, 16, 121_000_000_000, id="6 x16"),
        pytest.param(7, 16, None, id="an unknown generation"),
        pytest.param(None, 16, None, id="no generation"),
        pytest.param(4, None, None, id="no width"),
    ],
)
def test_pcie_carries_what_its_generation_and_lanes_carry(
    generation: int | None, width: int | None, rate: int | None
) -> None:
    assert pcie_rate(generation, width) == rate
