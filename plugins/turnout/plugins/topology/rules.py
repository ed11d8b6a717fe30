"""What a rule says about an endpoint: that it meets it, that it does not, or that nobody knows."""

from collections.abc import Callable, Collection
from enum import IntEnum
from functools import lru_cache
from typing import Literal, TypeAlias

from turnout.plugins.topology.keys import Hardware, Reach, Route

MAX_TYPES = 256
"""Names of GPUs that are remembered; a pool has a handful."""

Locality: TypeAlias = Literal["any", "same-node", "same-socket", "nvlink"]


class Verdict(IntEnum):
    """The better the higher, so that of several rules the least counts."""

    BREAKS = 0
    UNKNOWN = 1
    MEETS = 2


BREAKS, UNKNOWN, MEETS = Verdict.BREAKS, Verdict.UNKNOWN, Verdict.MEETS

RouteRule: TypeAlias = Callable[[Route], Verdict]
HardwareRule: TypeAlias = Callable[[Hardware], Verdict]


# --- the way to the peer ---------------------------------------------------------------------------------


def within(locality: Locality) -> RouteRule:
    """That the way is no longer than this."""
    rules: dict[Locality, RouteRule] = {
        "any": lambda _: MEETS,
        "same-node": lambda route: MEETS if route.reach <= Reach.NODE else BREAKS,
        "same-socket": lambda route: MEETS if route.same_socket else _unless_measured(route),
        "nvlink": lambda route: MEETS if route.reach is Reach.NVLINK else _unless_measured(route),
    }
    return rules[locality]


def _unless_measured(route: Route) -> Verdict:
    """Labels tell that two endpoints are on one node, perhaps one with NVLink, but not who is at which socket."""
    by_labels = route.reach in (Reach.NVLINK, Reach.NODE) and not route.measured
    return UNKNOWN if by_labels else BREAKS


def at_least_as_fast(bytes_per_second: float) -> RouteRule:
    """That the narrowest part of the way has this bandwidth."""
    return lambda route: MEETS if route.bytes_per_second >= bytes_per_second else BREAKS


# --- the endpoint's own GPUs -----------------------------------------------------------------------------


def group_at_least_as_fast(bytes_per_second: float) -> HardwareRule:
    """That any two GPUs of the group have this bandwidth between them; a single one has nobody to talk to."""

    def judge(hardware: Hardware) -> Verdict:
        known = hardware.group_bytes_per_second
        if known is None:
            return _if_alone(hardware)
        return MEETS if known >= bytes_per_second else BREAKS

    return judge


def group_on_nvlink(hardware: Hardware) -> Verdict:
    """That any two GPUs of the group have NVLink between them."""
    if hardware.group_nvlink is None:
        return _if_alone(hardware)
    return MEETS if hardware.group_nvlink else BREAKS


def of_type(wanted: Collection[str]) -> HardwareRule:
    """That the GPUs are of one of these types: a whole name, or whole parts of one between dashes or spaces."""
    marked = [_marked(name) for name in wanted]

    @lru_cache(maxsize=MAX_TYPES)
    def judge(name: str) -> Verdict:
        if not name:
            return UNKNOWN
        known = _marked(name)
        return MEETS if any(part in known for part in marked) else BREAKS

    return lambda hardware: judge(hardware.gpu_type)


def at_least_gpus(count: int) -> HardwareRule:
    """That the endpoint has so many GPUs, or slices."""

    def judge(hardware: Hardware) -> Verdict:
        known = hardware.gpu_count
        if known is None:
            return UNKNOWN
        return MEETS if known >= count else BREAKS

    return judge


def at_least_memory(size: int) -> HardwareRule:
    """That each of its GPUs, or slices, has so many bytes."""

    def judge(hardware: Hardware) -> Verdict:
        known = hardware.gpu_memory
        if known is None:
            return UNKNOWN
        return MEETS if known >= size else BREAKS

    return judge


def _if_alone(hardware: Hardware) -> Verdict:
    return MEETS if hardware.gpu_count == 1 else UNKNOWN


def _marked(name: str) -> str:
    return f"-{'-'.join(name.casefold().split())}-"
