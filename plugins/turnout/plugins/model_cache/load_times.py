"""How long it takes to load a model: as configured, corrected by what was observed."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from turnout.plugins.model_cache.stated import LONGEST_LOAD_SECONDS
from turnout.plugins.model_cache.tiers import Tier

MAX_LEARNT = 1_024
"""Models whose times are remembered, the least recently used dropped first."""

# A load that was observed moves the estimate by so much of the difference: a single slow one proves little.
LEARNING_RATE = 0.3


@dataclass(frozen=True, slots=True)
class LoadSpeeds:
    """How long a model takes from local disk, and from where all models are.

    ``disk`` and ``remote`` hold for a model of unknown size; ``disk_gb_per_second`` and ``remote_gb_per_second`` for
    the models in ``sizes_gb``, by name.

    Raises:
        ValueError: a time is negative or longer than a day, or a speed or a size is not positive and finite.
    """

    disk: timedelta = timedelta(seconds=10)
    remote: timedelta = timedelta(seconds=60)
    disk_gb_per_second: float = 2.0
    remote_gb_per_second: float = 0.25
    sizes_gb: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name, time in (("disk", self.disk), ("remote", self.remote)):
            if not 0.0 <= time.total_seconds() <= LONGEST_LOAD_SECONDS:
                raise ValueError(f"{name} must be within [0s, 24h], got {time}")
        positive = {
            "disk_gb_per_second": self.disk_gb_per_second,
            "remote_gb_per_second": self.remote_gb_per_second,
            **{f"sizes_gb.{model}": size for model, size in self.sizes_gb.items()},
        }
        for name, value in positive.items():
            if not 0.0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite, got {value}")

    def seconds(self, model: str, tier: Tier) -> float:
        """The time for a model that is not loaded; that of one that is being loaded is that of its disk."""
        size = self.sizes_gb.get(model)
        remote = tier is Tier.NOWHERE
        if size is None:
            return (self.remote if remote else self.disk).total_seconds()
        return min(LONGEST_LOAD_SECONDS, size / (self.remote_gb_per_second if remote else self.disk_gb_per_second))


@dataclass(slots=True)
class _Learnt:
    """Of one model: the usual TTFT where it is loaded, and the load time by tier. In seconds."""

    usual: float | None = None
    loads: dict[Tier, float] = field(default_factory=dict)


class LoadTimes:
    """Load times by model and tier; memory for at most 1,024 models."""

    def __init__(self, speeds: LoadSpeeds) -> None:
        self._speeds = speeds
        self._learnt: OrderedDict[str, _Learnt] = OrderedDict()

    def seconds(self, model: str, tier: Tier) -> float:
        """Seconds until an endpoint that has the model in this tier could begin with it."""
        known = self._learnt.get(model)
        learnt = None if known is None else known.loads.get(Tier.NOWHERE if tier is Tier.NOWHERE else Tier.DISK)
        return self._speeds.seconds(model, tier) if learnt is None else learnt

    def first_token(self, model: str, tier: Tier, ttft: float) -> None:
        """Learns from the time to the first token of a request that did not have to wait for others.

        What a first request takes longer than others of its model is the load. Before one of a loaded model was seen,
        nothing can be told apart, so nothing is learnt of the load.
        """
        known = self._entry(model)
        if tier is Tier.LOADED:
            known.usual = ttft if known.usual is None else known.usual + LEARNING_RATE * (ttft - known.usual)
        elif known.usual is not None and tier is not Tier.LOADING:
            load = min(LONGEST_LOAD_SECONDS, max(0.0, ttft - known.usual))
            before = self.seconds(model, tier)
            known.loads[tier] = before + LEARNING_RATE * (load - before)

    def learnt(self) -> Iterator[tuple[str, Tier, float]]:
        """Models, tiers and seconds that were learnt."""
        for model, known in self._learnt.items():
            for tier, seconds in known.loads.items():
                yield model, tier, seconds

    def _entry(self, model: str) -> _Learnt:
        known = self._learnt.setdefault(model, _Learnt())
        self._learnt.move_to_end(model)
        if len(self._learnt) > MAX_LEARNT:
            self._learnt.popitem(last=False)
        return known
