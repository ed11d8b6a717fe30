"""Keeps requests away from spot endpoints where they would not be well there, or too many of them would be."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from turnout.framework import (
    CounterReading,
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    GaugeReading,
    InferenceRequest,
    Reading,
    SchedulingResult,
)
from turnout.plugins.spot.headroom import Headroom
from turnout.plugins.spot.interruptible import INSTANCE_TYPE_LABEL, Interruptible
from turnout.plugins.spot.interruptions import MAX_REMEMBERED, Interruptions
from turnout.plugins.spot.notices import DRAIN_LABEL
from turnout.plugins.spot.shares import RecentShares

MAX_WINDOW = 1_000_000
_SPOT = "spot"
_ON_DEMAND = "on demand"


class SpotFilter:
    """Leaves out spot endpoints that lack ``headroom``, or while the limits for spot endpoints are reached.

    Of the last ``share_window`` dispatches at most ``max_share`` go to spot endpoints, and at most
    ``max_instance_type_share`` to spot endpoints of one instance type. These limits hold at every moment, from
    the first request on. After ``max_interruptions`` within ``interruption_window`` no spot endpoint is used until
    ``pause`` has passed since the last of them; 0 is no limit.

    ``spot_labels`` are the labels of which one makes an endpoint a spot endpoint, by default those of Karpenter, EKS,
    GKE and AKS, and ``turnout/capacity-type: spot``.

    Where only spot endpoints are among the candidates, ``only_spot`` says what happens when none of them may be used:
    ``use`` keeps them all, so that the limits may be passed, which is counted; ``refuse`` keeps none.

    Raises:
        ValueError: a bound is outside its range.
    """

    def __init__(
        self,
        spot_labels: Mapping[str, str] | None = None,
        instance_type_label: str = INSTANCE_TYPE_LABEL,
        headroom: Headroom = Headroom(),  # noqa: B008 - frozen
        max_share: float = 1.0,
        max_instance_type_share: float = 1.0,
        share_window: int = 100,
        max_interruptions: int = 3,
        interruption_window: timedelta = timedelta(minutes=10),
        pause: timedelta = timedelta(minutes=15),
        only_spot: Literal["use", "refuse"] = "use",
        drain_label: str = DRAIN_LABEL,
    ) -> None:
        _check_share("max_share", max_share)
        _check_share("max_instance_type_share", max_instance_type_share)
        if not 1 <= share_window <= MAX_WINDOW:
            raise ValueError(f"share_window must be from 1 to {MAX_WINDOW}, got {share_window}")
        if not 0 <= max_interruptions <= MAX_REMEMBERED:
            raise ValueError(f"max_interruptions must be from 0 to {MAX_REMEMBERED}, got {max_interruptions}")
        for name, value in (("interruption_window", interruption_window), ("pause", pause)):
            if value <= timedelta(0):
                raise ValueError(f"{name} must be above 0, got {value.total_seconds():g} s")
        self._spot = Interruptible(spot_labels, instance_type_label)
        self._headroom = headroom
        self._max_share = max_share
        self._max_type_share = max_instance_type_share
        self._shares = RecentShares(share_window)
        self._type_shares = RecentShares(share_window)
        self._max_interruptions = max_interruptions
        self._pause = pause.total_seconds()
        self._interruptions = Interruptions(self._spot, drain_label, interruption_window.total_seconds())
        self._paused_until = 0.0
        self._refuses = only_spot == "refuse"
        self._overruns = 0
        self.reads = tuple(headroom.keys)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints on demand, and the spot endpoints that may be used."""
        # Asked of every request, for that is when interruptions are dated.
        is_paused = self._is_paused(state.now)
        is_spot = self._spot.is_spot
        spot = [endpoint for endpoint in endpoints if is_spot(endpoint)]
        if not spot:
            return endpoints
        usable = () if is_paused else self._usable(request, state, spot)
        if len(usable) == len(spot):
            return endpoints
        names = {endpoint.name for endpoint in usable}
        kept = [endpoint for endpoint in endpoints if not is_spot(endpoint) or endpoint.name in names]
        return kept if kept or self._refuses else endpoints

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Counts the dispatch."""
        endpoint = result.endpoint
        is_spot = self._spot.is_spot(endpoint)
        kind = _kind(self._spot.instance_type(endpoint))
        self._overruns += is_spot and not self._is_within_shares(kind)
        self._shares.add(_SPOT if is_spot else _ON_DEMAND)
        self._type_shares.add(kind if is_spot else _ON_DEMAND)

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Looks for spot endpoints that were taken away."""
        self._interruptions.endpoints_changed(endpoints)

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Whether spot endpoints are not used because too many were taken away."""
        left = self._paused_until - now
        if left <= 0.0:
            return Diagnosis()
        message = f"spot endpoints are not used for {left:.0f} s more: {self._max_interruptions} were taken away lately"
        return Diagnosis([Finding("spot-paused", message)])

    def readings(self) -> Iterable[Reading]:
        """The share of spot endpoints, and what was interrupted."""
        yield GaugeReading(
            "spot_share", "Share of the last dispatches that went to spot endpoints.", self._shares.share(_SPOT)
        )
        help_text = "Spot endpoints that left the pool or got a drain notice."
        yield CounterReading("spot_interruptions_total", help_text, self._interruptions.total)
        help_text = "Requests that went to a spot endpoint beyond the limits because there was no other."
        yield CounterReading("spot_overruns_total", help_text, self._overruns)

    def _usable(self, request: InferenceRequest, state: CycleState, spot: Sequence[Endpoint]) -> Sequence[Endpoint]:
        if not self._shares.allows(_SPOT, self._max_share):
            return ()
        types = {self._spot.instance_type(endpoint) for endpoint in spot}
        full = {each for each in types if not self._type_shares.allows(_kind(each), self._max_type_share)}
        if full:
            spot = [endpoint for endpoint in spot if self._spot.instance_type(endpoint) not in full]
        if not self._headroom.asks:
            return spot
        return [endpoint for endpoint in spot if self._headroom.is_there(request, state, endpoint)]

    def _is_paused(self, now: float) -> bool:
        if self._max_interruptions:
            last = self._interruptions.last_to_reach(self._max_interruptions, now)
            if last is not None:
                self._paused_until = last + self._pause
        return now < self._paused_until

    def _is_within_shares(self, kind: str) -> bool:
        return self._shares.allows(_SPOT, self._max_share) and self._type_shares.allows(kind, self._max_type_share)


def _kind(instance_type: str) -> str:
    return f"type {instance_type}"


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be from 0 to 1, got {value}")
