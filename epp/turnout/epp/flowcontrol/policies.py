"""The policies of a configuration as the core asks them: guarded, by priority."""

from collections.abc import Callable, Sequence

from turnout.epp.flowcontrol.band import Band
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.guard import Guard, a_number, as_many
from turnout.epp.flowcontrol.limits import Limits
from turnout.framework import (
    AdaptivePolicy,
    Deferral,
    DispatchAccounting,
    EffectivePriority,
    EffectivePriorityPolicy,
    Endpoint,
    ExplainedOrdering,
    ExtensionPoint,
    Named,
    OrderingPolicy,
    PluginError,
    QueuedRequest,
    QueueMix,
    QueueOutlook,
    Refusal,
)

MAX_PRIORITIES = 256
"""How many priorities usage limits are asked about together; they come from the configuration, not from clients."""


class Policies:
    """What decides, for one configuration."""

    def __init__(self, limits: Limits, report: Callable[[PluginError], None]) -> None:
        self._limits = limits
        self._settings = limits.settings
        self._guard = Guard(report)
        self._known = tuple(sorted({0, *limits.settings.bands}, reverse=True))
        orderings = _orderings(limits)
        self._moving = {
            named.name: Named(named.plugin, named.name)
            for named in orderings
            if isinstance(named.plugin, EffectivePriorityPolicy)
        }
        self._accounts = [
            Named(named.plugin, named.name)
            for named in limits.settings.gates
            if isinstance(named.plugin, DispatchAccounting)
        ]
        self._adaptive = [
            Named(named.plugin, named.name) for named in orderings if isinstance(named.plugin, AdaptivePolicy)
        ]

    def make_band(self, priority: int) -> Band:
        """An empty band for an effective priority."""
        return Band(priority, self._limits.band(priority).fairness, self._guard)

    def rank(self, item: QueuedRequest, band: int, now: float) -> float:
        """The item's place in the flow of the band; order of arrival where the policy fails."""
        ordering = self._limits.band(band).ordering
        return self._guard.ask(
            ordering, ExtensionPoint.ORDERING, lambda policy: a_number(policy.rank(item, now)), item.enqueued_at
        )

    def reason(self, item: QueuedRequest, band: int, now: float) -> str:
        """Why the item's turn came when it came: its order in the flow, and who chose among the flows."""
        settings = self._limits.band(band)
        ordering, plugin = settings.ordering, settings.ordering.plugin
        why = ordering.name
        if isinstance(plugin, ExplainedOrdering):
            explained = Named(plugin, ordering.name)
            said = self._guard.ask(explained, ExtensionPoint.ORDERING, lambda each: str(each.reason(item, now)), "")
            why = f"{why}: {said}" if said else why
        return f"{why}; among flows: {settings.fairness.name}"

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        """The priority by which the item is treated: its own, unless its band's ordering policy says otherwise."""
        own = EffectivePriority(item.request.priority)
        moving = self._moving.get(self._limits.band(item.request.priority).ordering.name)
        if moving is None:
            return own
        return self._guard.ask(
            moving, ExtensionPoint.ORDERING, lambda policy: _checked(policy.effective_priority(item, now), now), own
        )

    def ceilings(self, saturation: float, priority: int) -> tuple[float, float]:
        """The saturation at which a priority is held back, and that at which the highest one is.

        The policy sees every priority that is configured or was seen, so that room is kept for one that has no request
        at the moment. Where the policy fails, both are 1.0.
        """
        if priority not in self._known and len(self._known) < MAX_PRIORITIES:
            self._known = tuple(sorted({*self._known, priority}, reverse=True))
        known = self._known if priority in self._known else (priority,)
        found = self._guard.ask(
            self._settings.usage_limit,
            ExtensionPoint.USAGE_LIMIT,
            lambda policy: tuple(as_many(policy.ceilings(saturation, known), len(known))),
            (1.0,) * len(known),
        )
        return found[known.index(priority)], max(found)

    def dispatched(self, item: QueuedRequest, band: int, now: float) -> None:
        """Tells the gates that keep accounts what goes to an endpoint."""
        for named in self._accounts:
            self._guard.ask(
                named, ExtensionPoint.DISPATCH_GATE, lambda each: each.request_dispatched(item, band, now), None
            )

    def fits(self, entry: Entry, endpoints: Sequence[Endpoint], now: float) -> bool:
        """Whether every gate finds room for the request; a gate that fails is open."""
        item = entry.waiting
        return all(
            self._guard.ask(
                gate, ExtensionPoint.DISPATCH_GATE, lambda policy: policy.fits(item, endpoints, now), instead=True
            )
            for gate in self._settings.gates
        )

    @property
    def defers(self) -> bool:
        """Whether ``deferral`` has anybody to ask."""
        return bool(self._settings.deferral_policies)

    def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
        """Until when the request does not stand in line: until the earliest time at which one of them has to be asked.

        A policy that fails defers nothing.
        """
        found = [
            self._guard.ask(
                named, ExtensionPoint.DEFERRAL, lambda policy: _checked_deferral(policy.deferral(item, now), now), None
            )
            for named in self._settings.deferral_policies
        ]
        deferring = [each for each in found if each is not None]
        if not deferring:
            return None
        return Deferral(min(each.until for each in deferring), min(each.expires_at for each in deferring))

    def entry_refusal(self, entry: Entry, outlook: QueueOutlook, now: float) -> Refusal | None:
        """Why the request may not wait."""
        item = entry.waiting
        for named in self._settings.entry_policies:
            refusal = self._guard.ask(
                named, ExtensionPoint.ENTRY, lambda policy: policy.entry_refusal(item, outlook, now), None
            )
            if refusal is not None:
                return refusal
        return None

    def adapt(self, mix: QueueMix, now: float) -> bool:
        """Whether earlier answers of some policy do not hold any more."""
        answers = [
            self._guard.ask(policy, ExtensionPoint.ORDERING, lambda each: each.adapt(mix, now), instead=False)
            for policy in self._adaptive
        ]
        return any(answers)

    def saturation_observed(self, saturation: float, now: float) -> None:
        """Tells every listener how full the pool is."""
        for named in self._settings.saturation_listeners:
            self._guard.ask(
                named, ExtensionPoint.SATURATION_LISTENER, lambda each: each.saturation_observed(saturation, now), None
            )

    @property
    def adapts(self) -> bool:
        """Whether ``adapt`` has anybody to ask."""
        return bool(self._adaptive)


def _orderings(limits: Limits) -> list[Named[OrderingPolicy]]:
    settings = limits.settings
    bands = (settings.default_band, settings.default_negative_band, *settings.bands.values())
    return list({band.ordering.name: band.ordering for band in bands}.values())


def _checked_deferral(answer: Deferral | None, now: float) -> Deferral | None:
    if answer is None:
        return None
    until, expires_at = answer
    a_number(expires_at)
    if not a_number(until) > now:
        raise ValueError(f"it answered until={until}, which is not after {now}")
    return Deferral(until, expires_at)


def _checked(answer: EffectivePriority, now: float) -> EffectivePriority:
    priority, until, overdue_at = answer
    a_number(overdue_at)
    # A policy that wants to be asked again at once would be asked for ever.
    if not a_number(until) > now:
        raise ValueError(f"it answered until={until}, which is not after {now}")
    return EffectivePriority(priority, until, overdue_at)
