"""How fast NVLink and PCIe are, for links whose speed the driver does not tell. Bytes per second, each way."""

from collections.abc import Mapping
from types import MappingProxyType

# nvmlDeviceGetNvLinkVersion answers with a number of nvmlNvlinkVersion_t (nvml.h of CUDA 13), not with the version:
# an A100 says 5 and means 3.1 (github.com/open-mpi/hwloc issue 658).
NVLINK_VERSIONS: Mapping[int, str] = MappingProxyType(
    {1: "1.0", 2: "2.0", 3: "2.2", 4: "3.0", 5: "3.1", 6: "4.0", 7: "5.0", 8: "6.0"}
)

# Per link. Version 1: 20 GB/s (P100, 4 links, 160 GB/s both ways together); 2 to 4: 25 GB/s (V100 6 links and
# 300 GB/s, A100 12 and 600, H100 18 and 900); 5: 50 GB/s (B200, 18 links, 1,800 GB/s). From NVIDIA's page on NVLink
# (nvidia.com/en-us/data-center/nvlink) and github.com/open-mpi/hwloc issue 574. Drivers tell 26.562 and 53.125 GB/s
# for versions 4 and 5, encoding included. Version 6 is not stated per link there, so it is not here.
_NVLINK_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "1.0": 20_000_000_000,
        "2.0": 25_000_000_000,
        "2.2": 25_000_000_000,
        "3.0": 25_000_000_000,
        "3.1": 25_000_000_000,
        "4.0": 25_000_000_000,
        "5.0": 50_000_000_000,
    }
)

# Per lane, from the PCI Express Base Specifications: transfers per second times the share that is data. Generations
# 1 and 2 send 8 of 10 bits, 3 to 5 send 128 of 130, 6 sends 242 of 256 bytes of a flit (rest: CRC and FEC).
_PCIE_LANE_BYTES: Mapping[int, float] = MappingProxyType(
    {
        1: 2.5e9 * 8 / 10 / 8,
        2: 5e9 * 8 / 10 / 8,
        3: 8e9 * 128 / 130 / 8,
        4: 16e9 * 128 / 130 / 8,
        5: 32e9 * 128 / 130 / 8,
        6: 64e9 * 242 / 256 / 8,
    }
)


def nvlink_rate(version: str) -> int | None:
    """Of one link of this NVLink version; None if unknown."""
    return _NVLINK_BYTES.get(version)


def pcie_rate(generation: int | None, width: int | None) -> int | None:
    """Of a PCIe link; None if it or its generation is unknown."""
    if generation is None or width is None or generation not in _PCIE_LANE_BYTES:
        return None
    return round(_PCIE_LANE_BYTES[generation] * width)
