"""Follows what waits: one strategy after another, each for a while."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from turnout.framework import (
    PROMPT,
    CounterReading,
    EffectivePriority,
    GaugeReading,
    QueuedRequest,
    QueueMix,
    Reading,
)
from turnout.plugins.strategies.cost_optimized import CostOptimizedOrderingPolicy
from turnout.plugins.strategies.expected_work import DEFAULT_OUTPUT_TOKENS
from turnout.plugins.strategies.fifo import FifoOrderingPolicy
from turnout.plugins.strategies.hysteresis import HysteresisSwitch, Thresholds
from turnout.plugins.strategies.max_wait import DEFAULT_MAX_WAIT
from turnout.plugins.strategies.priority import PriorityOrderingPolicy
from turnout.plugins.strategies.slo_aware import SloAwareOrderingPolicy
from turnout.plugins.strategies.strategy import Strategy

DEFAULT_BUSY_SATURATION = Thresholds(enter=0.9, leave=0.7)
DEFAULT_TARGET_SHARE = Thresholds(enter=0.3, leave=0.15)
DEFAULT_HIGH_PRIORITY_SHARE = Thresholds(enter=0.1, leave=0.05)
DEFAULT_LONG_QUEUE = Thresholds(enter=100, leave=50)


class AdaptiveOrderingPolicy:
    """Orders by the strategy that suits what waits, asked about once a second in ``adapt``:

    1. ``fifo`` while the pool is not busy: its saturation is below ``busy_saturation``;
    2. ``slo-aware`` when the share of requests with a TTFT target reaches ``target_share``;
    3. ``priority`` when the share of those with a priority above 0 reaches ``high_priority_share``;
    4. ``cost-optimized`` when the number that waits reaches ``long_queue``;
    5. ``priority`` otherwise.

    Each of the four has a threshold to enter and a lower one to leave, and nothing changes in between. Two changes of
    strategy are at least ``min_dwell`` apart. The other parameters are those of the strategies; ``max_wait`` holds for
    all but ``fifo``, where nobody is overtaken.

    Raises:
        ValueError: ``min_dwell`` is negative, or what the strategies refuse.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        busy_saturation: Thresholds = DEFAULT_BUSY_SATURATION,
        target_share: Thresholds = DEFAULT_TARGET_SHARE,
        high_priority_share: Thresholds = DEFAULT_HIGH_PRIORITY_SHARE,
        long_queue: Thresholds = DEFAULT_LONG_QUEUE,
        min_dwell: timedelta = timedelta(seconds=10),
        prefill_tokens_per_second: float = 15928.0,
        output_weight: float = 2.0,
        expected_output_tokens: int = DEFAULT_OUTPUT_TOKENS,
        max_wait: timedelta = DEFAULT_MAX_WAIT,
    ) -> None:
        if min_dwell < timedelta():
            raise ValueError(f"min_dwell must be at least 0s, got {min_dwell}")
        self._busy = HysteresisSwitch(busy_saturation)
        self._targets = HysteresisSwitch(target_share)
        self._priorities = HysteresisSwitch(high_priority_share)
        self._long_queue = HysteresisSwitch(long_queue)
        self._min_dwell = min_dwell.total_seconds()
        self._strategies: Mapping[str, Strategy] = {
            "fifo": FifoOrderingPolicy(),
            "priority": PriorityOrderingPolicy(max_wait),
            "slo-aware": SloAwareOrderingPolicy(prefill_tokens_per_second, max_wait),
            "cost-optimized": CostOptimizedOrderingPolicy(output_weight, expected_output_tokens, max_wait),
        }
        self._current = "fifo"
        self._switched_at = float("-inf")
        self._switches = 0

    @property
    def current(self) -> str:
        """The name of the strategy in effect."""
        return self._current

    def adapt(self, mix: QueueMix, now: float) -> bool:
        """Looks at what waits. True if another strategy is in effect from now on."""
        wanted = self._wanted(mix)
        if wanted == self._current or now - self._switched_at < self._min_dwell:
            return False
        self._current = wanted
        self._switched_at = now
        self._switches += 1
        return True

    def rank(self, item: QueuedRequest, now: float) -> float:
        return self._strategies[self._current].rank(item, now)

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        return self._strategies[self._current].effective_priority(item, now)

    def reason(self, item: QueuedRequest, now: float) -> str:
        """The strategy in effect, and what it says."""
        return f"{self._current}: {self._strategies[self._current].reason(item, now)}"

    def readings(self) -> Iterable[Reading]:
        """Which strategy is in effect, and how often that changed."""
        for name in self._strategies:
            in_effect = float(name == self._current)
            yield GaugeReading("ordering_strategy", "1 for the strategy in effect.", in_effect, {"strategy": name})
        help_text = "Changes from one strategy to another."
        yield CounterReading("ordering_strategy_changes_total", help_text, self._switches)

    def _wanted(self, mix: QueueMix) -> str:
        # Every switch sees every mix, whichever of them decides.
        busy = self._busy.see(mix.saturation)
        targets = self._targets.see(mix.with_target)
        priorities = self._priorities.see(mix.high_priority)
        long_queue = self._long_queue.see(mix.queued)
        if not busy:
            return "fifo"
        if targets:
            return "slo-aware"
        return "cost-optimized" if long_queue and not priorities else "priority"
