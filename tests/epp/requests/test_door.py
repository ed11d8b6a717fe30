from dataclasses import dataclass, field

import pytest

from turnout.epp.requests.door import classified, tell_refused
from turnout.framework import (
    Classification,
    CycleState,
    ExtensionPoint,
    InferenceRequest,
    Named,
    PluginError,
    Refusal,
    RefusalKind,
)
from turnout.framework.testing import make_request

FORBIDDEN = Refusal(RefusalKind.FORBIDDEN, "no")


@dataclass
class Says:
    answer: Classification | Refusal | Exception
    saw: list[int] = field(default_factory=list)

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        self.saw.append(request.priority)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_each_classifier_sees_what_the_earlier_ones_found_out() -> None:
    first = Says(Classification(priority=5, level="high", ttft_target=0.5))
    second = Says(Classification())
    third = Says(Classification(priority=7, fairness_id="tenant", tpot_target=0.1))
    found = classified([Named(first), Named(second), Named(third)], make_request(), CycleState())
    assert isinstance(found, InferenceRequest)
    assert (found.priority, found.level, found.fairness_id) == (7, "high", "tenant")
    assert (found.ttft_target, found.tpot_target) == (0.5, 0.1)
    assert (first.saw, second.saw, third.saw) == ([0], [5], [5])


def test_the_first_refusal_ends_it() -> None:
    last = Says(Classification())
    found = classified([Named(Says(FORBIDDEN)), Named(last)], make_request(), CycleState())
    assert found is FORBIDDEN
    assert last.saw == []


def test_a_broken_classifier_is_an_error_that_names_it() -> None:
    with pytest.raises(PluginError) as caught:
        classified([Named(Says(RuntimeError("no")), "says")], make_request(), CycleState())
    assert (caught.value.plugin, caught.value.extension_point) == ("says", ExtensionPoint.CLASSIFIER)


@dataclass
class Hears:
    broken: bool = False
    heard: list[str] = field(default_factory=list)

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        if self.broken:
            raise RuntimeError("no")
        self.heard.append(f"{request.request_id} {refusal.message}")


def test_everybody_hears_of_a_refusal_whoever_fails() -> None:
    broken, hears, failures = Hears(broken=True), Hears(), list[tuple[str, PluginError]]()
    listeners = [Named(broken, "broken"), Named(hears, "hears")]
    tell_refused(listeners, make_request(), CycleState(), FORBIDDEN, lambda *failure: failures.append(failure))
    assert hears.heard == ["r1 no"]
    assert [(request_id, error.plugin) for request_id, error in failures] == [("r1", "broken")]
