"""The machines that the topology is read of. Names, memory and speeds are as real boards report them."""

from collections.abc import Mapping

from epp.topology.doubles import ALL, NO_INSTANCE, SWITCH_PEER, Card, Double, Link, Slice

INTERNAL, SINGLE, MULTIPLE, HOST_BRIDGE, NODE, SYSTEM = 0, 10, 20, 30, 40, 50
NOT_SUPPORTED, NOT_FOUND, IS_LOST, UNKNOWN = 3, 6, 15, 999
GIB = 1024**3

NVLINK_2, NVLINK_3, NVLINK_4 = 2, 5, 6
_SWITCHES = ("00000000:07:00.0", "00000000:08:00.0", "00000000:09:00.0", "00000000:0A:00.0")
_HGX_BUSES = ("18", "2A", "3A", "5D", "9A", "AB", "BA", "DB")


def _switched(count: int, down: int = 0) -> tuple[Link, ...]:
    return tuple(
        Link(_SWITCHES[number % 4], NVLINK_4, 26_562, SWITCH_PEER, active=number >= down) for number in range(count)
    )


def _hgx_card(index: int, bus: str) -> Card:
    half = index // 4
    return Card(
        "NVIDIA H100 80GB HBM3",
        f"00000000:{bus}:00.0",
        81559,
        used_mib=70_000 if index < 2 else 4,
        cpus=(52 * half, 52 * half + 51),
        socket=(52 * half, 52 * half + 51),
        nodes=(half,),
        pcie_max=5,
        can_mig=True,
        busy=97 if index < 2 else 0,
        memory_busy=41 if index < 2 else 0,
        milliwatts=655_300 if index < 2 else 71_200,
        limit=700_000,
        celsius=61 if index < 2 else 29,
        clocks=0x4 if index < 2 else 0x1,
        links=_switched(18),
        processes=((4242, 69_000 * 1024 * 1024, NO_INSTANCE),) if index < 2 else (),
    )


# Two sockets with four H100 each; any two GPUs talk through four NVSwitches.
HGX_H100 = Double(
    tuple(_hgx_card(index, bus) for index, bus in enumerate(_HGX_BUSES)),
    [[NODE if row // 4 == column // 4 else SYSTEM for column in range(8)] for row in range(8)],
)


def _pcie_card(index: int, failures: Mapping[str, int] | None = None) -> Card:
    half, peer = index // 2, index ^ 1
    buses = ("00000000:17:00.0", "00000000:65:00.0", "00000000:CA:00.0", "00000000:E3:00.0")
    # Three bridges of four links; the speed is not told, as by drivers before the field was there.
    links = tuple(Link(buses[peer], NVLINK_3) for _ in range(12))
    return Card(
        "NVIDIA A100 80GB PCIe",
        buses[index],
        81920,
        used_mib=1024 * index,
        cpus=(64 * half, 64 * half + 63),
        socket=(64 * half, 64 * half + 63),
        nodes=(half,),
        can_mig=True,
        busy=10 * index,
        milliwatts=48_000 + index,
        limit=300_000,
        celsius=35 + index,
        links=links,
        failures=failures or {},
    )


_PAIRS = [[{0: INTERNAL, 1: SINGLE}.get(row ^ column, SYSTEM) for column in range(4)] for row in range(4)]

# Two sockets, on each two A100 behind one PCIe switch with a NVLink bridge.
A100_PAIRS = Double(
    tuple(map(_pcie_card, range(4))),
    _PAIRS,
    driver="470.256.02",
    without=(
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetNumaNodeId",
    ),
)


def _l4(index: int) -> Card:
    buses = ("00000000:01:00.0", "00000000:02:00.0", "00000000:41:00.0", "00000000:C1:00.0")
    return Card(
        "NVIDIA L4",
        buses[index],
        23034,
        used_mib=22_000 - index,
        cpus=(0, 63),
        socket=(0, 63),
        nodes=(0, 1) if index == 3 else (0,),
        width=8 if index == 2 else 16,
        busy=50,
        milliwatts=71_500,
        limit=72_000,
        celsius=83,
        clocks=0x24,
    )


# One socket, no NVLink: every level of PCIe but the own board.
L4S = Double(
    tuple(map(_l4, range(4))),
    [
        [INTERNAL, SINGLE, HOST_BRIDGE, NODE],
        [SINGLE, INTERNAL, MULTIPLE, NODE],
        [HOST_BRIDGE, MULTIPLE, INTERNAL, NODE],
        [NODE, NODE, NODE, INTERNAL],
    ],
)

_A100 = "NVIDIA A100-SXM4-40GB"
_SLICES = (
    Slice(f"{_A100} MIG 3g.20gb", "MIG-00000000-0000-0000-0000-000000000001", 1, 3, 19968, used_mib=15_000),
    # Two compute instances in one GPU instance.
    Slice(f"{_A100} MIG 1c.2g.10gb", "MIG-00000000-0000-0000-0000-000000000002", 5, 2, 9984, 1),
    # Drivers of early days named the device after the GPU alone.
    Slice(_A100, "MIG-00000000-0000-0000-0000-000000000003", 13, 1, 4864),
    Slice(f"{_A100} MIG 1g.5gb+me", "MIG-00000000-0000-0000-0000-000000000004", 14, 1, 4864),
    # Taken away between the question for its handle and the next one.
    Slice(f"{_A100} MIG 1g.5gb", "MIG-00000000-0000-0000-0000-000000000005", 15, 1, 4864, failures={ALL: NOT_FOUND}),
)

# One A100 cut into slices, one that could be.
MIG_A100 = Double(
    (
        Card(
            _A100,
            "00000000:07:00.0",
            40960,
            used_mib=15_052,
            can_mig=True,
            slices=_SLICES,
            processes=((77, 15 * GIB, 1), (78, 2**64 - 1, 13)),
        ),
        Card(_A100, "00000000:0F:00.0", 40960, used_mib=3, can_mig=True, busy=3),
    ),
    [[INTERNAL, MULTIPLE], [MULTIPLE, INTERNAL]],
)

# Everything that can be wrong at once: see the gaps that the tests expect.
BROKEN = Double(
    (
        # 2 of 12 links to its neighbour are down, here and not there; a wrong number, text that is no UTF-8.
        Card(
            "NVIDIA A100 80GB PCIe",
            "00000000:17:00.0",
            81920,
            can_mig=True,
            busy=4_294_967_295,
            milliwatts=4_000_000_000,
            links=tuple(Link("00000000:65:00.0", NVLINK_3, 25_000, active=number >= 2) for number in range(12)),
            failures={"nvmlDeviceGetTemperature": NOT_SUPPORTED, "nvmlDeviceGetCpuAffinityWithinScope": UNKNOWN},
        ),
        Card(
            "NVIDIA A100 80GB PCIe",
            "00000000:65:00.0",
            81920,
            can_mig=True,
            links=tuple(Link("00000000:17:00.0", NVLINK_3, 25_000) for _ in range(12)),
            failures={"nvmlDeviceGetEnforcedPowerLimit": NOT_SUPPORTED, "nvmlDeviceGetMaxPcieLinkGeneration": UNKNOWN},
        ),
        # Fell off the bus before, and while, it was read.
        Card("NVIDIA A100 80GB PCIe", "00000000:CA:00.0", 81920, failures={ALL: IS_LOST}),
        Card(
            "NVIDIA A100 80GB PCIe",
            "00000000:E3:00.0",
            81920,
            links=(Link("00000000:CA:00.0", NVLINK_3, 25_000),),
            failures={"nvmlDeviceGetPowerUsage": IS_LOST},
        ),
        # An unknown level, and another one in the other direction.
        Card("NVIDIA A100 80GB PCIe", "00000000:E4:00.0", 81920),
    ),
    [
        [INTERNAL, SINGLE, SYSTEM, SYSTEM, SYSTEM],
        [SINGLE, INTERNAL, SYSTEM, SYSTEM, 99],
        [SYSTEM, SYSTEM, INTERNAL, SINGLE, NODE],
        [SYSTEM, SYSTEM, SINGLE, INTERNAL, NODE],
        [NODE, SYSTEM, NODE, NODE, INTERNAL],
    ],
)

MACHINES: Mapping[str, Double] = {
    "eight H100 with NVSwitch": HGX_H100,
    "four A100 in pairs": A100_PAIRS,
    "four L4 without NVLink": L4S,
    "an A100 in slices": MIG_A100,
    "a broken machine": BROKEN,
}

THIS_MACHINE = "this machine"
