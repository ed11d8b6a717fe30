from collections.abc import Mapping

import msgspec
import pytest

from epp.topology.gpus import gpu, link, machine
from turnout.epp.topology.endpoint_labels import labels
from turnout.plugins.topology.machine import Gpu, Machine, MigInstance

PAIR = machine(gpu(0, link(0, 1)), gpu(1, link(0, 0)))


def sliced(*profiles: str, gpu_instances: tuple[int | None, ...] = (None,) * 4) -> Gpu:
    instances = tuple(
        MigInstance(index=index, profile=profile, gpu_instance=gpu_instance)
        for index, (profile, gpu_instance) in enumerate(zip(profiles, gpu_instances, strict=True))
    )
    return msgspec.structs.replace(gpu(0), mig_enabled=True, mig_instances=instances)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        pytest.param(
            PAIR,
            {
                "gpu-type": "NVIDIA-A100-80GB-PCIe",
                "gpu-memory": "81920Mi",
                "gpu-count": "2",
                "gpu-topology": "nvlink",
            },
            id="NVLink between all",
        ),
        pytest.param(
            machine(gpu(0, link(0, 1)), gpu(1, link(0, 0)), gpu(2)),
            {
                "gpu-type": "NVIDIA-A100-80GB-PCIe",
                "gpu-memory": "81920Mi",
                "gpu-count": "3",
                "gpu-topology": "nvlink-islands",
            },
            id="NVLink between some",
        ),
        pytest.param(
            machine(gpu(0), gpu(1, name="NVIDIA L4", mib=23034)),
            {"gpu-count": "2", "gpu-topology": "pcie"},
            id="GPUs that differ have no common type and memory",
        ),
        pytest.param(
            machine(gpu(0), gpu(1, lost=True)),
            {"gpu-type": "NVIDIA-A100-80GB-PCIe", "gpu-memory": "81920Mi", "gpu-count": "1"},
            id="a lost GPU does not count",
        ),
        pytest.param(machine(gpu(0, lost=True)), {}, id="nothing left"),
        pytest.param(
            machine(sliced("1g.10gb", "2g.20gb", "1g.10gb", "")),
            {
                "gpu-type": "NVIDIA-A100-80GB-PCIe",
                "gpu-memory": "81920Mi",
                "gpu-count": "1",
                "mig-config": "1g.10gb:2,2g.20gb:1",
            },
            id="slices",
        ),
        pytest.param(
            machine(sliced("1c.3g.40gb", "2c.3g.40gb", "3g.40gb", gpu_instances=(1, 1, 2))),
            {
                "gpu-type": "NVIDIA-A100-80GB-PCIe",
                "gpu-memory": "81920Mi",
                "gpu-count": "1",
                "mig-config": "3g.40gb:2",
            },
            id="compute instances of one GPU instance count once",
        ),
    ],
)
def test_labels_say_what_all_gpus_have_in_common(described: Machine, expected: Mapping[str, str]) -> None:
    assert labels(described) == expected
