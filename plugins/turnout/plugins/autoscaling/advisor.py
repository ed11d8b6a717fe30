"""Advises a number of replicas from the tokens in queue, and from the lag of a queue that replicas consume."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

from turnout.framework import (
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    InferenceRequest,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    ScalingAdvice,
    SchedulingResult,
)
from turnout.plugins.autoscaling.decision import Limits, Reason, decide, first_decision
from turnout.plugins.autoscaling.groups import MAX_GROUPS, Group, Groups, rate_of, shares_of_waiting
from turnout.plugins.autoscaling.needs import LagTarget, most_needed, replicas_for_arrivals, replicas_for_queue
from turnout.plugins.inflight_load.keys import TOKEN_LOAD, TokenLoad

TOKENS = "tokens"
LAG = "lag"

DEFAULT_TTFT_TARGET = timedelta(seconds=1)
DEFAULT_UP_COOLDOWN = timedelta(seconds=30)
DEFAULT_DOWN_COOLDOWN = timedelta(minutes=5)


class AutoscalingAdvisor:
    """Advises desired = ceil(queued tokens / (tokens per second of a replica x ttft_target)), within bounds.

    With a ``target_utilization`` it is at least what keeps up with the tokens that come: a pool that does has no queue.
    With ``lag`` there is a second advice: ceil(lag / (rate per replica x drain seconds)). Endpoints with one value of
    ``group_label`` are a group with advice of its own; without a label the whole pool is one. ``groups`` are values of
    the label that are advised on even where no endpoint has them. A replica is ``endpoints_per_replica`` endpoints.

    The advice goes up at once, unless it changed less than ``up_cooldown`` ago or the load asks for no more than a
    ``tolerance`` beyond it; and down, to the most that was needed meanwhile, once the load has asked for less for
    ``down_cooldown``. At first it is what the pool has. ``token_load_producer_name`` is the plugin that measures; empty
    means ``token-load-producer``.

    Raises:
        ValueError: there is nothing to advise by, or a parameter is out of its range.
    """

    def __init__(
        self,
        ttft_target: timedelta | None = DEFAULT_TTFT_TARGET,
        target_utilization: float | None = None,
        lag: LagTarget | None = None,
        group_label: str = "",
        groups: Sequence[str] = (),
        min_replicas: int = 1,
        max_replicas: int = 10,
        up_cooldown: timedelta = DEFAULT_UP_COOLDOWN,
        down_cooldown: timedelta = DEFAULT_DOWN_COOLDOWN,
        tolerance: float = 0.1,
        endpoints_per_replica: int = 1,
        token_load_producer_name: str = "",
    ) -> None:
        if ttft_target is None and lag is None:
            raise ValueError("ttft_target or lag must be given, got neither")
        if ttft_target is not None and ttft_target <= timedelta():
            raise ValueError(f"ttft_target must be positive, got {ttft_target}")
        if target_utilization is not None and not 0.0 < target_utilization <= 1.0:
            raise ValueError(f"target_utilization must be within (0, 1], got {target_utilization}")
        if endpoints_per_replica < 1:
            raise ValueError(f"endpoints_per_replica must be at least 1, got {endpoints_per_replica}")
        cooldowns = up_cooldown.total_seconds(), down_cooldown.total_seconds()
        self._limits = Limits(min_replicas, max_replicas, *cooldowns, tolerance)
        self._target = None if ttft_target is None else ttft_target.total_seconds()
        self._utilization = target_utilization
        self._lag = lag
        self._per_replica = endpoints_per_replica
        self._groups = Groups(group_label, groups)
        self._key = TOKEN_LOAD.of(token_load_producer_name)
        self.reads = () if ttft_target is None else (self._key,)
        # The view is kept between requests: advice is asked for when there are none.
        self._load: TokenLoad | None = None
        self._latest: Sequence[ScalingAdvice] = ()

    # --- where the view of the load comes from ------------------------------------------------------------

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        """Learns of the load; refuses nothing."""
        self._load = item.state.get(self._key, self._load)
        return None

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """Learns of the load."""
        self._load = state.get(self._key, self._load)

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        """Learns of the load."""
        self._load = state.get(self._key, self._load)
        return None

    # --- the advice ---------------------------------------------------------------------------------------

    def scaling_advice(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[ScalingAdvice]:
        """The advice for each group: by tokens, by lag, or both."""
        groups = self._groups.update(endpoints, now)
        advice: list[ScalingAdvice] = []
        if self._target is not None:
            shares = {} if self._load is None else shares_of_waiting(groups, self._load)
            advice += (self._by_tokens(group, shares.get(group.name, 0.0), self._target, now) for group in groups)
        if self._lag is not None:
            advice += (self._by_lag(group, self._lag, now) for group in groups)
        self._latest = advice
        return advice

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Groups that need more than they may have, and those for which there is no place."""
        found = [_at_most(one) for one in self._latest if one.reason == Reason.MAXIMUM]
        if self._groups.left_out:
            found.append(
                Finding("too-many-groups", f"{self._groups.left_out} groups beyond {MAX_GROUPS} get no advice.")
            )
        return Diagnosis(found)

    def _by_tokens(self, group: Group, waiting: float, target: float, now: float) -> ScalingAdvice:
        load = self._load
        if load is None:
            # No request has come yet, so nothing is queued.
            return self._decided(group, TOKENS, 0.0, {"queued_tokens": 0.0}, now)
        queued = waiting + sum(load.queued_tokens(endpoint, now) for endpoint in group.endpoints)
        rate = rate_of(group.endpoints, load) * self._per_replica
        group.arrivals.see({one.name: load.sent_tokens(one.name) for one in group.endpoints}, now)
        arriving = group.arrivals.per_second
        needed = replicas_for_queue(queued, rate, target)
        if self._utilization is not None:
            needed = most_needed(needed, replicas_for_arrivals(arriving, rate, self._utilization))
        figures = {
            "queued_tokens": queued,
            "tokens_per_second_per_replica": rate,
            "arriving_tokens_per_second": arriving,
            "ttft_target_seconds": target,
        }
        return self._decided(group, TOKENS, needed, figures, now)

    def _by_lag(self, group: Group, target: LagTarget, now: float) -> ScalingAdvice:
        lag = target.lag(group.endpoints, now)
        figures = {
            **({} if lag is None else {"lag": lag}),
            "rate_per_replica": target.rate_per_replica,
            "drain_seconds": target.drain.total_seconds(),
        }
        return self._decided(group, LAG, target.replicas(lag), figures, now)

    def _decided(
        self, group: Group, basis: str, needed: float | None, figures: Mapping[str, float], now: float
    ) -> ScalingAdvice:
        current = math.ceil(len(group.endpoints) / self._per_replica)
        limits = self._limits
        before = group.decisions.get(basis) or first_decision(limits, current)
        decision = decide(limits, before, needed, now)
        # An empty pool may not be known yet: what it is at first is not what it has to come down from.
        if current or basis in group.decisions or decision.desired > before.desired:
            group.decisions[basis] = decision
        return ScalingAdvice(
            group.name,
            basis,
            decision.desired,
            current,
            needed,
            limits.minimum,
            limits.maximum,
            decision.reason.value,
            figures,
        )


def _at_most(advice: ScalingAdvice) -> Finding:
    needed = "" if advice.needed is None else f" of the {advice.needed:.1f} that its load asks for"
    whose = f"group {advice.group!r}" if advice.group else "the pool"
    message = f"{whose} may have {advice.maximum} replicas{needed} by {advice.basis}; raise maxReplicas."
    return Finding(f"at-maximum:{advice.basis}:{advice.group}", message)
