"""The page of NVIDIA's DCGM exporter: how the GPUs of a host are, and which endpoint has which. Pure.

Metrics and labels: github.com/NVIDIA/dcgm-exporter. A slice of a GPU has the GPU's index and UUID, and labels
``GPU_I_ID`` and ``GPU_I_PROFILE`` of its own; its utilization is ``DCGM_FI_PROF_GR_ENGINE_ACTIVE`` alone. A value that
there is none of may be written as a number near 2^63.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from turnout.plugins.topology.keys import GpuState
from turnout.plugins.topology.machine import MAX_GPUS
from turnout.plugins.topology.structure import together, worst
from turnout.plugins.topology.throttling import reasons

MAX_ROWS = 16_384
MAX_PROFILES = 16
MAX_ROW_BYTES = 4_096
"""Of a page, and of one row: a row has about 400 bytes. The parser's time grows with the square of a row's length."""

_MIB = 2**20
_MAX_VALUE = 1e15

_BUSY, _ACTIVE = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
_USED, _FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
_WATTS, _LIMIT = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_POWER_MGMT_LIMIT"
_THROTTLES = ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS")
_WANTED_BYTES = frozenset(name.encode() for name in (_BUSY, _ACTIVE, _USED, _FREE, _WATTS, _LIMIT, *_THROTTLES))
_LONGEST_NAME = 64


@dataclass(slots=True)
class DcgmGpu:
    """One GPU, or one slice of it, with the values that were found. ``owner`` is ``namespace/name`` of its user."""

    index: int
    profile: str = ""
    owner: str = ""
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DcgmPage:
    """All GPUs and slices of a host."""

    gpus: Sequence[DcgmGpu]

    def indices_of(self, owner: str) -> tuple[int, ...]:
        """The GPUs of which an endpoint has all or a slice; empty if the page does not say."""
        return tuple(sorted({gpu.index for gpu in self.gpus if gpu.owner == owner}))

    def profiles_of(self, owner: str) -> tuple[str, ...]:
        """The profiles of the slices that an endpoint has."""
        return tuple(sorted({gpu.profile for gpu in self.gpus if gpu.owner == owner and gpu.profile}))[:MAX_PROFILES]

    def state(self, owner: str, indices: Sequence[int], profiles: Sequence[str]) -> GpuState | None:
        """How an endpoint's part is: what the page says is its, else these GPUs or their slices of these profiles."""
        own = [gpu for gpu in self.gpus if gpu.owner == owner]
        if not own:
            wanted, sliced = frozenset(indices), frozenset(profiles)
            here = [gpu for gpu in self.gpus if not wanted or gpu.index in wanted]
            own = [gpu for gpu in here if gpu.profile in sliced] if sliced else [g for g in here if not g.profile]
            if own and (sliced or not wanted):
                # Which of them is the endpoint's is not known: as it is at the worst of them.
                return worst([_state(gpu) for gpu in own])
        return together([_state(gpu) for gpu in own]) if own else None


def parse_dcgm(content: bytes) -> DcgmPage:
    """The page's GPUs.

    Raises:
        ValueError: it is no page of metrics, has none of DCGM, or too many rows.
    """
    found: dict[tuple[int, str, str], DcgmGpu] = {}
    for sample in _samples(_wanted_rows(content)):
        labels, index = sample.labels, _index(sample.labels.get("gpu", ""))
        if index is None or not 0 <= sample.value < _MAX_VALUE:
            continue
        key = (index, labels.get("UUID", ""), labels.get("GPU_I_ID", ""))
        gpu = found.setdefault(key, DcgmGpu(index, labels.get("GPU_I_PROFILE", "")))
        gpu.values[sample.name] = sample.value
        gpu.owner = gpu.owner or _owner(labels)
    return DcgmPage(tuple(found.values()))


class _Sample(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def value(self) -> float: ...


def _wanted_rows(content: bytes) -> str:
    """The rows of the page that matter: a page has three times as many, and parsing is what costs."""
    rows, known = [], False
    for row in content.splitlines():
        known = known or row.startswith(b"DCGM_")
        name = row[:_LONGEST_NAME].partition(b"{")[0]
        if name in _WANTED_BYTES:
            if len(row) > MAX_ROW_BYTES:
                raise ValueError(f"a row has {len(row)} bytes, more than {MAX_ROW_BYTES}")
            rows.append(row)
    if not known:
        raise ValueError("it has no metric of DCGM")
    if len(rows) > MAX_ROWS:
        raise ValueError(f"it has more than {MAX_ROWS} rows")
    try:
        return b"\n".join([*rows, b""]).decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def _samples(page: str) -> Iterable[_Sample]:
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only who follows DCGM needs it

    try:
        for family in text_string_to_metric_families(page):
            yield from family.samples
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # The parser has more ways to fail than it says.
        raise ValueError(f"it is no page of metrics: {type(error).__name__}") from error


def _index(text: str) -> int | None:
    index = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else MAX_GPUS
    return index if index < MAX_GPUS else None


def _owner(labels: Mapping[str, str]) -> str:
    # Prometheus renames what it scrapes beside labels of its own.
    name = labels.get("pod") or labels.get("exported_pod")
    namespace = labels.get("namespace") or labels.get("exported_namespace")
    return f"{namespace}/{name}" if name and namespace else ""


def _state(gpu: DcgmGpu) -> GpuState:
    values = gpu.values
    free, used, watts, limit = (values.get(name) for name in (_FREE, _USED, _WATTS, _LIMIT))
    slowed = [reasons(int(values[name])) for name in _THROTTLES if name in values]
    return GpuState(
        memory_free=None if free is None else int(free) * _MIB,
        memory_total=None if free is None or used is None else int(free + used) * _MIB,
        utilization=_busy(gpu),
        power=watts / limit if watts is not None and limit else None,
        throttled=frozenset().union(*slowed) if slowed else None,
    )


def _busy(gpu: DcgmGpu) -> float | None:
    if not gpu.profile and _BUSY in gpu.values:
        return min(1.0, gpu.values[_BUSY] / 100.0)
    active = gpu.values.get(_ACTIVE)
    return None if active is None else min(1.0, active)
