import json
import re
from collections.abc import Callable, Mapping

import msgspec
import pytest

from epp.topology.gpus import gpu, link, machine
from epp.topology.machines import MACHINES
from turnout.epp.topology.document import MAX_BYTES, encoded, labels, parse
from turnout.epp.topology.machine import Gpu, Machine, MigInstance

PAIR = machine(gpu(0, link(0, 1)), gpu(1, link(0, 0)))


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(encoded(PAIR)), **fields}).encode()


def pairs(*changes: Mapping[str, object]) -> list[object]:
    (pair,) = json.loads(encoded(PAIR))["pairs"]
    return [{**pair, **change} for change in changes]


@pytest.mark.parametrize("name", MACHINES)
def test_what_the_command_prints_is_read_unchanged(name: str, printed_by: Callable[..., str]) -> None:
    printed = printed_by(name, "--json")
    machine = parse(printed.encode())
    assert json.loads(encoded(machine)) == json.loads(printed)
    assert machine.node == "worker-7"


def test_unknown_fields_are_ignored_so_that_a_newer_agent_can_be_read() -> None:
    assert parse(changed(humidity=0.4)) == PAIR


GPUS = json.loads(encoded(PAIR))["gpus"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(b" " * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes", id="without end"),
        pytest.param(b"", "no topology document: Input data was truncated", id="empty"),
        pytest.param(b"<html>", "no topology document: JSON is malformed", id="no JSON"),
        pytest.param(b"[" * 100_000, "no topology document", id="deep"),
        pytest.param(b"{}", "missing required field `schema`", id="something else"),
        pytest.param(changed(schema="turnout.topology/v2"), "schema is 'turnout.topology/v2', this reads", id="newer"),
        pytest.param(changed(gpus=[{"index": 0}] * 300), "length <= 256", id="more GPUs than a machine has"),
        pytest.param(changed(node="n" * 300), "length <= 256", id="a long name"),
        pytest.param(changed(gpus=[GPUS[0], GPUS[0]]), "one is there twice", id="a GPU twice"),
        pytest.param(changed(gpus=GPUS[::-1]), "not in order", id="GPUs in another order"),
        pytest.param(changed(gpus=[{**GPUS[0], "utilization": 1.5}, GPUS[1]]), "<= 1", id="busier than busy"),
        pytest.param(changed(gpus=[{**GPUS[0], "socket": 3}, GPUS[1]]), "socket 3, which is not", id="no such socket"),
        pytest.param(changed(pairs=[]), "one pair for each two GPUs", id="a pair is missing"),
        pytest.param(changed(pairs=pairs({}, {})), "one pair for each two GPUs", id="a pair twice"),
        pytest.param(changed(pairs=pairs({"b": 2})), "one pair for each two GPUs", id="a pair with a stranger"),
        pytest.param(changed(pairs=pairs({"a": 1, "b": 0})), "one pair for each two GPUs", id="a pair backwards"),
        pytest.param(changed(pairs=pairs({"nvlinks": 0})), "is 'NV1' with 0 NVLinks", id="NVLinks that are none"),
        pytest.param(changed(pairs=pairs({"level": "NEAR"})), "Invalid enum value", id="no level"),
        pytest.param(changed(pairs=pairs({"bytes_per_second": -1})), ">= 0", id="slower than nothing"),
        pytest.param(
            changed(gpus=[{**GPUS[0], "nvlinks": [{**GPUS[0]["nvlinks"][0], "peer_gpu": 0}]}, GPUS[1]]),
            "GPU 0 has an NVLink to itself",
            id="a link to itself",
        ),
    ],
)
def test_a_document_that_cannot_be_is_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse(text)


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
