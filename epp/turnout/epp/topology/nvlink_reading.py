"""The NVLinks of one GPU."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import pynvml

from turnout.epp.topology.driver_calls import NOT_THERE, GpuCalls
from turnout.epp.topology.rates import NVLINK_VERSIONS, nvlink_rate
from turnout.plugins.topology.machine import MAX_LINKS, NvLink

Peer: TypeAlias = Literal["gpu", "switch", "cpu", "unknown"]

_PEERS: Mapping[int, Peer] = {
    pynvml.NVML_NVLINK_DEVICE_TYPE_GPU: "gpu",
    pynvml.NVML_NVLINK_DEVICE_TYPE_IBMNPU: "cpu",
    pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH: "switch",
}
_FASTEST = 10**13


def read_nvlinks(calls: GpuCalls, handle: object, indices: Mapping[str, int]) -> tuple[NvLink, ...]:
    """All links that the GPU has, up or down. ``indices`` are those of the machine's GPUs by PCI address."""
    # A GPU without a link answers NOT_SUPPORTED, or, as of some number, INVALID_ARGUMENT.
    found = []
    for link in range(min(pynvml.NVML_NVLINK_MAX_LINKS, MAX_LINKS)):
        state = calls.ask(f"NVLink {link}", pynvml.nvmlDeviceGetNvLinkState, handle, link, absent=NOT_THERE)
        if state is not None:
            found.append(_link(calls, handle, link, indices, active=state == pynvml.NVML_FEATURE_ENABLED))
    return tuple(found)


def _link(calls: GpuCalls, handle: object, link: int, indices: Mapping[str, int], *, active: bool) -> NvLink:
    if not active:
        return NvLink(link=link, active=False, peer="unknown")
    what = f"of NVLink {link}"
    version = _version(calls, handle, link)
    bus_id = calls.text(f"the peer {what}", _remote_bus_id, handle, link)
    peer_gpu = indices.get(bus_id)
    said = calls.ask(f"the kind of peer {what}", pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link)
    return NvLink(
        link=link,
        active=True,
        peer="gpu" if peer_gpu is not None else _PEERS.get(said if said is not None else -1, "unknown"),
        peer_gpu=peer_gpu,
        peer_bus_id=bus_id,
        version=version,
        bytes_per_second=_speed(calls, handle, link) or nvlink_rate(version),
    )


def _version(calls: GpuCalls, handle: object, link: int) -> str:
    said = calls.ask(f"the version of NVLink {link}", pynvml.nvmlDeviceGetNvLinkVersion, handle, link)
    return "" if said is None else NVLINK_VERSIONS.get(said, "")


def _remote_bus_id(handle: object, link: int) -> str:
    return bus_id_of(pynvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link))


def bus_id_of(info: pynvml.nvmlPciInfo_t) -> str:
    """The PCI address, as nvidia-smi writes it."""
    bus_id = info.busId
    return (bus_id.decode() if isinstance(bus_id, bytes) else str(bus_id)).upper()


def _speed(calls: GpuCalls, handle: object, link: int) -> int | None:
    """What the driver says; it may not say it of this link, or not know the question."""
    fields = [(pynvml.NVML_FI_DEV_NVLINK_GET_SPEED, link)]
    values = calls.ask(f"the speed of NVLink {link}", pynvml.nvmlDeviceGetFieldValues, handle, fields, absent=NOT_THERE)
    if values is None or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    # "NVLink Speed in MBps" (nvml.h).
    speed = int(values[0].value.uiVal) * 1_000_000
    return speed if 0 < speed <= _FASTEST else None
