import pytest

from turnout.epp.topology.mig_profiles import profile_in, profile_of


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        pytest.param("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "1g.5gb", id="a whole GPU instance"),
        pytest.param("NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb", "1c.3g.40gb", id="a part of its compute"),
        pytest.param("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", "1g.10gb+me", id="with media engines"),
        pytest.param("NVIDIA RTX PRO 6000 MIG 1g.24gb-me", "1g.24gb-me", id="without media engines"),
        pytest.param("NVIDIA A100-SXM4-40GB", "", id="the name of the GPU alone"),
        pytest.param("NVIDIA A100 MIG 9g.5gb", "", id="more slices than there are"),
    ],
)
def test_the_profile_is_at_the_end_of_the_name(name: str, profile: str) -> None:
    assert profile_in(name) == profile


@pytest.mark.parametrize(
    ("slices", "compute", "mib", "gpu_mib", "profile"),
    [
        pytest.param(1, 1, 4864, 40960, "1g.5gb", id="A100 40 GB, an eighth"),
        pytest.param(2, 2, 9984, 40960, "2g.10gb", id="A100 40 GB, two"),
        pytest.param(3, 3, 19968, 40960, "3g.20gb", id="A100 40 GB, three slices with half of the memory"),
        pytest.param(4, 4, 19968, 40960, "4g.20gb", id="A100 40 GB, four slices with half of the memory"),
        pytest.param(7, 7, 40192, 40960, "7g.40gb", id="A100 40 GB, all"),
        pytest.param(1, 1, 9984, 81559, "1g.10gb", id="H100, an eighth"),
        pytest.param(1, 1, 20096, 81559, "1g.20gb", id="H100, one slice with a quarter of the memory"),
        pytest.param(1, 1, 16384, 143771, "1g.18gb", id="H200, an eighth"),
        pytest.param(2, 2, 33280, 143771, "2g.35gb", id="H200, two"),
        pytest.param(1, 1, 22400, 183359, "1g.23gb", id="B200, 22.5 rounded up"),
        pytest.param(3, 1, 19968, 40960, "1c.3g.20gb", id="a third of the compute of a GPU instance"),
    ],
)
def test_a_profile_is_named_after_slices_and_eighths_of_the_memory(
    slices: int, compute: int, mib: int, gpu_mib: int, profile: str
) -> None:
    assert profile_of(slices, compute, mib, gpu_mib) == profile
