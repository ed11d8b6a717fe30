from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.topology.hardware_labels import HardwareLabels, Stated

GIB = 2**30
LABELS = HardwareLabels()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({}, Stated(), id="nothing"),
        pytest.param({"turnout/gpus": "0-2_5"}, Stated(gpus=(0, 1, 2, 5)), id="GPUs as Kubernetes can write them"),
        pytest.param({"turnout/gpus": "3, 1"}, Stated(gpus=(1, 3)), id="GPUs with commas"),
        pytest.param({"gpu-memory": "80Gi"}, Stated(gpu_memory=80 * GIB), id="memory as a quantity"),
        pytest.param({"nvidia.com/gpu.memory": "81920"}, Stated(gpu_memory=80 * GIB), id="memory in MiB"),
        pytest.param(
            {"gpu-type": "h100", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            Stated(gpu_type="h100"),
            id="the first name counts",
        ),
        pytest.param({"nvidia.com/gpu.count": "8"}, Stated(host_gpu_count=8), id="GPUs of the host"),
        pytest.param({"gpu-count": "2"}, Stated(gpu_count=2), id="GPUs of the endpoint"),
        pytest.param({"gpu-topology": "nvswitch"}, Stated(nvlink=True), id="all linked"),
        pytest.param({"gpu-topology": "pcie"}, Stated(nvlink=False), id="none linked"),
        pytest.param({"gpu-topology": "nvlink-islands"}, Stated(), id="some linked"),
        pytest.param({"mig-config": "1g.5gb:7,2g.10gb:3"}, Stated(mig_profiles=("1g.5gb", "2g.10gb")), id="slices"),
        pytest.param(
            {"mig-config": "1g.5gb.x7_1g.10gb+me"},
            Stated(mig_profiles=("1g.5gb", "1g.10gb+me")),
            id="slices as Kubernetes can write them",
        ),
    ],
)
def test_labels_are_read(labels: Mapping[str, str], expected: Stated) -> None:
    assert LABELS.read(labels) == expected


@pytest.mark.parametrize(
    ("label", "text", "problem"),
    [
        pytest.param("turnout/gpus", "0;1", "indices of GPUs below 64, such as 0-3 or 0_1", id="another separator"),
        pytest.param("turnout/gpus", "3-1", "indices of GPUs below 64", id="a range backwards"),
        pytest.param("turnout/gpus", "0-64", "indices of GPUs below 64", id="more than a machine has"),
        pytest.param("gpu-memory", "80GB", "a number of MiB or a quantity such as 80Gi", id="a unit that is none"),
        pytest.param("gpu-memory", "80", "a number of MiB or a quantity", id="gigabytes without a unit"),
        pytest.param("gpu-memory", "81920Gi", "a number of MiB or a quantity", id="MiB with the unit of GiB"),
        pytest.param("gpu-count", "two", "a number from 1 to 64", id="a word"),
        pytest.param("gpu-count", "0", "a number from 1 to 64", id="none"),
        pytest.param("gpu-topology", "mesh", "one of nvlink, nvswitch, pcie, nvlink-islands", id="unknown topology"),
        pytest.param("mig-config", "1g:7", "a list of MIG profiles such as 1g.5gb:7,2g.10gb:3", id="half a profile"),
        pytest.param("gpu-type", "x" * 300, "1 to 256 characters", id="a long name"),
    ],
)
def test_a_label_that_makes_no_sense_is_told_and_ignored(label: str, text: str, problem: str) -> None:
    found = LABELS.read({label: text})
    assert found == Stated(problems=found.problems)
    (told,) = found.problems
    assert told.startswith(f"label {label} must be ")
    assert problem in told
    assert f"got {text[:40]!r}" in told


NAMES = ["turnout/gpus", "gpu-memory", "gpu-count", "nvidia.com/gpu.count", "gpu-topology", "mig-config", "gpu-type"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=400)))
def test_no_label_can_do_harm(labels: dict[str, str]) -> None:
    found = LABELS.read(labels)
    assert len(found.gpus) <= 64
    assert len(found.problems) <= len(labels)
