"""Keeps endpoints whose MIG slices are what a profile is for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Diagnosis, Endpoint, Finding, InferenceRequest, Reading, SchedulingResult
from turnout.plugins.mig.layout import parse_layout
from turnout.plugins.mig.profiles import MigProfile, profile_named
from turnout.plugins.violations import Violations

Mode: TypeAlias = Literal["strict", "preferred"]

MAX_LAYOUTS = 1024
"""Different labels that are remembered; a pool has a handful."""

RULE = "mig_profile"


class MigFilter:
    """Keeps the endpoints with a slice that fits: of one of the ``profiles``, if any are named, and with at least
    ``min_compute_slices`` of seven and ``min_memory_gb``.

    An endpoint's slices are in its ``label``, such as ``1g.5gb:7,2g.10gb:3``. Without the label it runs on whole GPUs,
    and is kept unless ``whole_gpus`` is false. One whose label makes no sense is not kept, and is a finding. With
    ``mode: preferred`` all are kept where none fits; ``topology_violations_total`` counts it if the request is sent to
    one of those.

    Raises:
        ValueError: a profile is one that no GPU has, or a number is out of its range.
    """

    def __init__(
        self,
        profiles: Sequence[str] = (),
        min_compute_slices: int = 0,
        min_memory_gb: int = 0,
        whole_gpus: bool = True,
        mode: Mode = "strict",
        label: str = "mig-config",
    ) -> None:
        if not 0 <= min_compute_slices <= 7:
            raise ValueError(f"min_compute_slices must be from 0 to 7, got {min_compute_slices}")
        if min_memory_gb < 0:
            raise ValueError(f"min_memory_gb must be at least 0, got {min_memory_gb}")
        self._profiles = frozenset(profile_named(name) for name in profiles)
        self._compute, self._memory = min_compute_slices, min_memory_gb
        self._whole = whole_gpus
        self._prefers = mode == "preferred"
        self._label = label
        self._violations = Violations([RULE] if self._prefers else [])
        self._layouts: dict[str, Mapping[MigProfile, int] | str] = {}

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        found = [endpoint for endpoint in endpoints if self._fits(endpoint)]
        if found or not self._prefers:
            return found
        self._violations.dropped(state, [RULE], endpoints)
        return endpoints

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Counts a request that goes to an endpoint that does not fit."""
        self._violations.dispatched(state, result)

    def readings(self) -> Iterable[Reading]:
        """Requests without a slice that fits; none with ``mode: strict``."""
        return self._violations.readings()

    def _fits(self, endpoint: Endpoint) -> bool:
        label = endpoint.labels.get(self._label)
        if label is None:
            return self._whole
        layout = self._layout(label)
        return not isinstance(layout, str) and any(self._suits(profile) for profile in layout)

    def _suits(self, profile: MigProfile) -> bool:
        named = not self._profiles or profile in self._profiles
        return named and profile.compute_slices >= self._compute and profile.memory_gb >= self._memory

    def _layout(self, label: str) -> Mapping[MigProfile, int] | str:
        """What the label says, or what is wrong with it."""
        found = self._layouts.get(label)
        if found is None:
            try:
                found = parse_layout(label)
            except ValueError as error:
                found = str(error)
            if len(self._layouts) >= MAX_LAYOUTS:
                self._layouts.clear()
            self._layouts[label] = found
        return found

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Endpoints whose labels make no sense."""
        findings = []
        for endpoint in endpoints:
            label = endpoint.labels.get(self._label)
            layout = None if label is None else self._layout(label)
            if isinstance(layout, str):
                findings.append(Finding("unreadable-mig-layout", f"label {self._label}: {layout}", endpoint.name))
        return Diagnosis(findings)
