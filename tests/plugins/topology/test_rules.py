from dataclasses import replace

import pytest

from turnout.plugins.topology.keys import Hardware, Place, Reach, Route
from turnout.plugins.topology.rules import (
    BREAKS,
    MEETS,
    UNKNOWN,
    HardwareRule,
    Locality,
    Verdict,
    at_least_as_fast,
    at_least_gpus,
    at_least_memory,
    group_at_least_as_fast,
    group_on_nvlink,
    of_type,
    within,
)

NODE = Route(Reach.NODE, 1e9, 0.0, measured=True)
LABELS_ONLY = Route(Reach.NODE, 1e9, 0.0)
NVLINK = Route(Reach.NVLINK, 4e11, 0.0, measured=True)
NVLINK_ON_ONE_SOCKET = replace(NVLINK, same_socket=True)
SOCKET = Route(Reach.SOCKET, 3e10, 0.0, same_socket=True, measured=True)
RACK = Route(Reach.RACK, 1e9, 0.0)


@pytest.mark.parametrize(
    ("locality", "route", "verdict"),
    [
        pytest.param("any", Route(Reach.APART, 1.0, 1.0), MEETS, id="any: as far as it gets"),
        pytest.param("same-node", NODE, MEETS, id="same node: it is"),
        pytest.param("same-node", NVLINK, MEETS, id="same node: nearer"),
        pytest.param("same-node", LABELS_ONLY, MEETS, id="same node: labels are enough"),
        pytest.param("same-node", RACK, BREAKS, id="same node: the next one"),
        pytest.param("same-socket", SOCKET, MEETS, id="same socket: it is"),
        pytest.param("same-socket", NVLINK_ON_ONE_SOCKET, MEETS, id="same socket: with NVLink besides"),
        pytest.param("same-socket", NVLINK, BREAKS, id="same socket: NVLink between two sockets"),
        pytest.param("same-socket", NODE, BREAKS, id="same socket: the other one"),
        pytest.param("same-socket", LABELS_ONLY, UNKNOWN, id="same socket: labels know no sockets"),
        pytest.param("same-socket", RACK, BREAKS, id="same socket: labels know that it is another node"),
        pytest.param("nvlink", NVLINK, MEETS, id="NVLink: it is"),
        pytest.param(
            "same-socket", replace(NVLINK, measured=False), UNKNOWN, id="same socket: labels know of NVLink only"
        ),
        pytest.param("nvlink", SOCKET, BREAKS, id="NVLink: the same socket, over PCIe"),
        pytest.param("nvlink", replace(SOCKET, measured=False), BREAKS, id="NVLink: who knows sockets knows NVLink"),
        pytest.param("nvlink", LABELS_ONLY, UNKNOWN, id="NVLink: labels do not know"),
        pytest.param("nvlink", replace(NVLINK, measured=False), MEETS, id="NVLink: assumed of a label"),
        pytest.param("nvlink", RACK, BREAKS, id="NVLink: another node"),
    ],
)
def test_locality(locality: Locality, route: Route, verdict: Verdict) -> None:
    assert within(locality)(route) is verdict


@pytest.mark.parametrize(
    ("bytes_per_second", "verdict"),
    [
        pytest.param(644_245_094_400, MEETS, id="600Gi exactly"),
        pytest.param(644_245_094_399, BREAKS, id="a byte less"),
    ],
)
def test_bandwidth(bytes_per_second: int, verdict: Verdict) -> None:
    route = Route(Reach.NVLINK, float(bytes_per_second), 0.0)
    assert at_least_as_fast(644_245_094_400)(route) is verdict
    hardware = Hardware(Place(), group_bytes_per_second=float(bytes_per_second))
    assert group_at_least_as_fast(644_245_094_400)(hardware) is verdict


def on(**known: object) -> Hardware:
    return replace(Hardware(Place()), **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "hardware", "verdict"),
    [
        pytest.param(group_at_least_as_fast(1e9), on(gpu_count=1), MEETS, id="bandwidth: a GPU alone"),
        pytest.param(group_at_least_as_fast(1e9), on(gpu_count=2), UNKNOWN, id="bandwidth: two, nobody knows"),
        pytest.param(group_at_least_as_fast(1e9), on(), UNKNOWN, id="bandwidth: nothing known at all"),
        pytest.param(group_on_nvlink, on(group_nvlink=True), MEETS, id="NVLink: it is"),
        pytest.param(group_on_nvlink, on(group_nvlink=False), BREAKS, id="NVLink: it is not"),
        pytest.param(group_on_nvlink, on(gpu_count=1), MEETS, id="NVLink: a GPU alone"),
        pytest.param(group_on_nvlink, on(gpu_count=2), UNKNOWN, id="NVLink: nobody knows"),
        pytest.param(at_least_gpus(2), on(gpu_count=2), MEETS, id="count: as many"),
        pytest.param(at_least_gpus(2), on(gpu_count=1), BREAKS, id="count: fewer"),
        pytest.param(at_least_gpus(2), on(), UNKNOWN, id="count: nobody knows"),
        pytest.param(at_least_memory(2**36), on(gpu_memory=2**36), MEETS, id="memory: as much"),
        pytest.param(at_least_memory(2**36), on(gpu_memory=2**36 - 1), BREAKS, id="memory: a byte less"),
        pytest.param(at_least_memory(2**36), on(), UNKNOWN, id="memory: nobody knows"),
        pytest.param(of_type(["H100"]), on(), UNKNOWN, id="type: nobody knows"),
    ],
)
def test_what_an_endpoint_runs_on(rule: HardwareRule, hardware: Hardware, verdict: Verdict) -> None:
    assert rule(hardware) is verdict


@pytest.mark.parametrize(
    ("wanted", "known", "verdict"),
    [
        pytest.param("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-80GB-HBM3", MEETS, id="the whole name"),
        pytest.param("H100", "NVIDIA-H100-80GB-HBM3", MEETS, id="a part"),
        pytest.param("h100", "NVIDIA-H100-80GB-HBM3", MEETS, id="in another case"),
        pytest.param("H100-80GB", "NVIDIA-H100-80GB-HBM3", MEETS, id="two parts"),
        pytest.param("NVIDIA H100", "NVIDIA-H100-80GB-HBM3", MEETS, id="with spaces, as the driver has them"),
        pytest.param("H100", "NVIDIA H100 80GB HBM3", MEETS, id="a part of the driver's name"),
        pytest.param("H10", "NVIDIA-H100-80GB-HBM3", BREAKS, id="half a part"),
        pytest.param("H100", "NVIDIA-H100X", BREAKS, id="the beginning of a part"),
        pytest.param("H200", "NVIDIA-H100-80GB-HBM3", BREAKS, id="another type"),
    ],
)
def test_types_of_gpus(wanted: str, known: str, verdict: Verdict) -> None:
    assert of_type(["B200", wanted])(on(gpu_type=known)) is verdict
