from collections.abc import Sequence
from types import MappingProxyType

import pytest

from epp.flowcontrol.fakes import Aging, Broken, Ceilings, Windows, band, policies_of, request, settings
from turnout.epp.flowcontrol.entry import Entry
from turnout.framework import Deferral, EffectivePriority, Named, PluginError, QueuedRequest, QueueMix, QueueOutlook


def test_usage_limits_see_all_known_priorities_and_learn_those_that_come() -> None:
    seen: list[list[int]] = []

    class Spy(Ceilings):
        def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
            seen.append(list(priorities))
            return [1.0 - number / 10 for number in range(len(priorities))]

    bands = MappingProxyType({-5: band(), 10: band()})
    _, policies = policies_of(settings(bands=bands, usage_limit=Named(Spy(), "spy")), lambda error: None)
    assert policies.ceilings(0.5, -5) == (0.8, 1.0)
    assert policies.ceilings(0.5, 3) == (0.9, 1.0)
    assert seen == [[10, 0, -5], [10, 3, 0, -5]]


def test_priorities_beyond_the_bound_are_asked_about_alone() -> None:
    _, policies = policies_of(settings(), lambda error: None)
    for priority in range(1000):
        policies.ceilings(0.5, priority)
    assert len(policies._known) == 256


def test_the_effective_priority_is_that_of_the_requests_own_band() -> None:
    named = band(Aging(step=10.0, max_wait=30.0))
    bands = MappingProxyType({5: type(named)(named.fairness, Named(named.ordering.plugin, "aging"))})
    _, policies = policies_of(settings(bands=bands), lambda error: None)
    assert policies.effective_priority(QueuedRequest(request(priority=5), 0.0), 25.0) == (7, 30.0, 30.0)
    assert policies.effective_priority(QueuedRequest(request(priority=1), 0.0), 25.0).priority == 1


def test_failures_are_reported_with_the_plain_answer() -> None:
    failures: list[PluginError] = []
    broken = Named(Broken(), "broken")
    made = settings(ordering=Broken(), usage_limit=broken, gates=(broken,))
    _, policies = policies_of(made, failures.append)
    item = QueuedRequest(request(priority=5), 3.0)
    assert policies.rank(item, 5, 4.0) == 3.0
    assert policies.effective_priority(item, 4.0) == EffectivePriority(5)
    assert policies.ceilings(0.5, 0) == (1.0, 1.0) or len(failures) == 2
    assert policies.fits(Entry(item, "all", 1), (), 4.0)
    assert {failure.plugin for failure in failures} == {"ordering", "broken"}


def test_without_entry_or_adaptive_policies_nobody_is_refused_or_reordered() -> None:
    _, policies = policies_of(settings(), lambda error: None)
    entry = Entry(QueuedRequest(request(), 0.0), "all", 1)
    assert policies.entry_refusal(entry, QueueOutlook(None, 0, 0.0, 0.0), 1.0) is None
    assert not policies.adapts
    assert not policies.adapt(QueueMix(1, 0.0, 0.0, 0.0), 1.0)


def test_a_request_is_deferred_until_the_first_policy_wants_to_be_asked_again() -> None:
    windows = Named(Windows(length=10.0), "tens"), Named(Windows(length=7.0, patience=20.0, refuses=True), "sevens")
    _, policies = policies_of(settings(deferral_policies=windows), lambda error: None)
    item = QueuedRequest(request(level="later"), 1.0)
    assert policies.defers
    assert policies.deferral(item, 2.0) == Deferral(7.0, 21.0)
    assert policies.deferral(item, 8.0) == Deferral(10.0)
    assert policies.deferral(item, 10.0) is None
    assert policies.deferral(QueuedRequest(request(), 1.0), 2.0) is None


@pytest.mark.parametrize("answer", [Deferral(4.0), Deferral(float("nan")), Deferral(9.0, float("nan"))])
def test_a_deferral_that_is_over_already_is_no_answer(answer: Deferral) -> None:
    class Impatient:
        def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
            return answer

    failures: list[PluginError] = []
    _, policies = policies_of(settings(deferral_policies=(Named(Impatient(), "later"),)), failures.append)
    assert policies.deferral(QueuedRequest(request(), 3.0), 4.0) is None
    assert [failure.plugin for failure in failures] == ["later"]


@pytest.mark.parametrize("until", [4.0, 3.0, float("nan")])
def test_a_priority_that_is_to_change_in_the_past_is_no_answer(until: float) -> None:
    class Impatient(Aging):
        def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
            return EffectivePriority(9, until)

    failures: list[PluginError] = []
    _, policies = policies_of(settings(ordering=Impatient()), failures.append)
    assert policies.effective_priority(QueuedRequest(request(priority=5), 3.0), 4.0).priority == 5
    assert len(failures) == 1
