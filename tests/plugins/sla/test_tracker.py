import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from plugins.sla.requests import a_request, an_end
from turnout.framework import (
    CLIENT_LEFT,
    Completion,
    CounterReading,
    Diagnosis,
    Event,
    EventSource,
    InferenceRequest,
    Measured,
    Refusal,
    RefusalKind,
    SlaReporter,
)
from turnout.framework.testing import check_signatures, make_state
from turnout.plugins.sla.targets import LoadFactor, Metric, SlaTarget
from turnout.plugins.sla.tracker import SlaTracker

SATURATED = Refusal(RefusalKind.RESOURCE_EXHAUSTED, "full", "rejected-saturated")
LEFT = Refusal(RefusalKind.UNAVAILABLE, "client disconnected", CLIENT_LEFT)


def target(name: str = "t", metric: Metric = "ttft", *, level: str = "", model: str = "") -> SlaTarget:
    return SlaTarget(name, metric, 90.0, timedelta(seconds=1), level, model=model)


def complete(tracker: SlaTracker, end: Completion, request: InferenceRequest | None = None, now: float = 1.0) -> None:
    tracker.response_complete(request or a_request(), make_state(now=now), end)


def refuse(tracker: SlaTracker, refusal: Refusal, request: InferenceRequest | None = None, now: float = 1.0) -> None:
    tracker.request_refused(request or a_request(), make_state(now=now), refusal)


def judged(tracker: SlaTracker, now: float = 1.0) -> list[tuple[str, int, float | None]]:
    return [(status.target, status.short.requests, status.short.compliance) for status in tracker.sla_status(now)]


def listened_to(targets: Sequence[SlaTarget]) -> tuple[SlaTracker, list[Event]]:
    tracker, heard = SlaTracker(targets), list[Event]()
    tracker.announce_to(heard.append)
    return tracker, heard


def test_a_tracker_serves_what_it_says() -> None:
    tracker = SlaTracker([target()])
    check_signatures(tracker)
    assert all(isinstance(tracker, protocol) for protocol in (EventSource, SlaReporter, Measured))


def test_a_request_is_judged_by_every_target_that_is_about_it() -> None:
    tracker = SlaTracker([target("all"), target("gold", level="gold"), target("whole", "e2e"), target("x", model="x")])
    complete(tracker, an_end(first=0.5, duration=3.0), a_request(level="gold"))
    complete(tracker, an_end(first=2.0, duration=3.0), a_request(level="silver"))
    assert judged(tracker) == [("all", 2, 0.5), ("gold", 1, 1.0), ("whole", 2, 0.0), ("x", 0, None)]


def test_a_refused_request_breaks_its_promise_and_a_bad_one_does_not() -> None:
    tracker = SlaTracker([target(), target("tokens", "tpot")])
    refuse(tracker, SATURATED)
    refuse(tracker, Refusal(RefusalKind.BAD_REQUEST, "no model"))
    assert judged(tracker) == [("t", 1, 0.0), ("tokens", 0, None)]


def test_a_client_that_leaves_the_queue_counts_once_the_target_has_passed() -> None:
    tracker = SlaTracker([target()])
    refuse(tracker, LEFT, a_request(received_at=9.5), now=10.0)
    assert judged(tracker, 10.0) == [("t", 0, None)]
    refuse(tracker, LEFT, a_request(received_at=8.5), now=10.0)
    assert judged(tracker, 10.0) == [("t", 1, 0.0)]


def test_a_request_s_own_target_counts_where_it_may() -> None:
    tracker = SlaTracker([target("ours"), SlaTarget("theirs", "ttft", 90.0, from_request=True)])
    complete(tracker, an_end(first=0.5), a_request(ttft=0.1))
    complete(tracker, an_end(first=0.5))
    assert judged(tracker) == [("ours", 2, 1.0), ("theirs", 1, 0.0)]


def test_targets_go_with_the_load_that_was_observed_last() -> None:
    relaxed = SlaTarget("t", "ttft", 90.0, timedelta(seconds=1), relax_with_load=LoadFactor(0.5, 1.0, 1.0, 2.0))
    tracker, heard = listened_to([relaxed])
    complete(tracker, an_end(first=1.5))
    tracker.saturation_observed(1.2, 2.0)
    tracker.saturation_observed(float("nan"), 2.0)
    complete(tracker, an_end(first=1.5))
    tracker.saturation_observed(0.75, 3.0)
    complete(tracker, an_end(first=1.6))
    assert [event.data["target_seconds"] for event in heard] == [1.0, 1.5]
    assert [status.target_seconds for status in tracker.sla_status(3.0)] == [1.5]


@pytest.mark.parametrize("saturation", [float("inf"), float("-inf"), -5.0, 1e300])
def test_a_load_that_is_no_load_does_no_harm(saturation: float) -> None:
    tracker = SlaTracker([SlaTarget("t", "ttft", 90.0, timedelta(seconds=1), relax_with_load=LoadFactor())])
    tracker.saturation_observed(saturation, 0.0)
    complete(tracker, an_end())
    assert [status.target_seconds for status in tracker.sla_status(1.0)] in ([1.0], [1.5])


def test_every_violation_is_told_with_what_was_promised_and_what_was_measured() -> None:
    tracker, heard = listened_to([target(), target("whole", "e2e")])
    complete(tracker, an_end(first=1.5, duration=0.9), a_request(level="gold", objective="chat"), now=7.0)
    assert [(event.kind, event.at) for event in heard] == [("sla-violation", 7.0)]
    assert json.loads(json.dumps(heard[0].data)) == {
        "target": "t",
        "request_id": "r1",
        "level": "gold",
        "objective": "chat",
        "model": "m",
        "reason": "late",
        "value_seconds": 1.5,
        "target_seconds": 1.0,
    }
    refuse(tracker, SATURATED)
    assert [(event.data["target"], event.data["reason"], event.data["value_seconds"]) for event in heard[1:]] == [
        ("t", "refused", None),
        ("whole", "refused", None),
    ]


def test_whoever_wants_to_hear_last_is_told() -> None:
    tracker, first = listened_to([target()])
    second: list[Event] = []
    tracker.announce_to(second.append)
    refuse(tracker, SATURATED)
    assert (len(first), len(second)) == (0, 1)


def causes(diagnosis: Diagnosis) -> list[str]:
    return [finding.cause for finding in diagnosis.findings]


def test_a_budget_that_is_spent_too_fast_in_both_windows_is_a_finding() -> None:
    tracker = SlaTracker([target(), target("fine", model="x")])
    for number in range(100):
        complete(tracker, an_end(first=2.0 if number % 4 == 0 else 0.5))
    diagnosis = tracker.diagnose([], 1.0)
    assert causes(diagnosis) == ["burning:t"]
    assert diagnosis.findings[0].message == (
        "90% of requests with ttft up to 1 s: the error budget is spent 2.5 times too fast over 300 s (75.00% of 100 "
        "requests met it), 2.5 times too fast over 3600 s (75.00% of 100 requests met it)."
    )


def test_a_budget_that_was_spent_too_fast_is_none() -> None:
    tracker = SlaTracker([target()])
    refuse(tracker, SATURATED)
    assert causes(tracker.diagnose([], 1.0)) == ["burning:t"]
    assert causes(tracker.diagnose([], 400.0)) == []


def test_a_target_that_cannot_be_measured_is_a_finding_until_it_is() -> None:
    tracker = SlaTracker([target(metric="tpot")])
    assert causes(tracker.diagnose([], 1.0)) == []
    complete(tracker, an_end(tokens=None))
    assert causes(tracker.diagnose([], 1.0)) == ["unmeasured:t"]
    complete(tracker, an_end(tokens=5))
    assert causes(tracker.diagnose([], 1.0)) == []


def test_a_load_that_nobody_tells_is_a_finding_once_requests_come() -> None:
    tracker = SlaTracker([SlaTarget("t", "ttft", 90.0, timedelta(seconds=1), relax_with_load=LoadFactor())])
    assert causes(tracker.diagnose([], 1.0)) == []
    complete(tracker, an_end())
    assert causes(tracker.diagnose([], 1.0)) == ["load-unknown:t"]
    tracker.saturation_observed(0.0, 1.0)
    assert causes(tracker.diagnose([], 1.0)) == []


def test_the_metrics_page_shows_the_window_as_of_the_last_diagnosis() -> None:
    tracker = SlaTracker([target(), target("other")])
    refuse(tracker, SATURATED)

    def shown(name: str) -> list[float]:
        return [reading.value for reading in tracker.readings() if reading.name == name]  # type: ignore[union-attr]

    assert shown("sla_compliance_ratio") == [0.0, 0.0]
    tracker.diagnose([], 400.0)
    assert shown("sla_compliance_ratio") == []
    totals = [reading for reading in tracker.readings() if isinstance(reading, CounterReading)]
    assert sum(reading.value for reading in totals if reading.labels.get("reason") == "refused") == 2


@pytest.mark.parametrize(
    ("targets", "problem"),
    [
        pytest.param([], "targets must be 1 to 64, got 0", id="none"),
        pytest.param([target(str(number)) for number in range(65)], "targets must be 1 to 64, got 65", id="many"),
        pytest.param([target("a"), target("b"), target("a")], "names of their own, got a twice", id="one name"),
    ],
)
def test_targets_are_few_and_have_names(targets: list[SlaTarget], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SlaTracker(targets)
