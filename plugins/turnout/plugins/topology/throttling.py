"""What slows the clocks of a GPU, as bits of the driver."""

from collections.abc import Mapping
from types import MappingProxyType

# nvmlClocksEventReasons of nvml.h; DCGM passes the same bits on as DCGM_FI_DEV_CLOCK_THROTTLE_REASONS.
_SW_POWER_CAP, _HW_SLOWDOWN, _SW_THERMAL, _HW_THERMAL, _HW_POWER_BRAKE = 0x4, 0x8, 0x20, 0x40, 0x80

REASONS: Mapping[str, int] = MappingProxyType(
    {
        "power": _SW_POWER_CAP | _HW_POWER_BRAKE,
        "thermal": _SW_THERMAL | _HW_THERMAL,
        # On its own: heat, an external power brake or a voltage that is too low, the board does not say which.
        "hardware": _HW_SLOWDOWN,
    }
)


def reasons(bits: int) -> tuple[str, ...]:
    """The words for these bits; an idle GPU, or one whose clocks somebody set, is not slowed by anything."""
    return tuple(word for word, mask in REASONS.items() if bits & mask)
