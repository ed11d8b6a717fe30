import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import CounterReading, GaugeReading
from turnout.plugins.sla.ledger import Ledger
from turnout.plugins.sla.targets import LoadFactor, SlaTarget
from turnout.plugins.sla.verdicts import EXCUSED, FAILED, UNMEASURED, Outcome, Reason, Verdict

TARGET = SlaTarget("chat", "ttft", 90.0, timedelta(seconds=1), level="gold", window=timedelta(minutes=2))
IN_TIME, LATE = Verdict(Outcome.MET, None, 0.5), Verdict(Outcome.VIOLATED, Reason.LATE, 2.0)


def ledger_of(*verdicts: Verdict, target: SlaTarget = TARGET, now: float = 0.0) -> Ledger:
    ledger = Ledger(target)
    for verdict in verdicts:
        ledger.enter(verdict, now)
    return ledger


@pytest.mark.parametrize(
    ("verdicts", "compliance", "burn_rate"),
    [
        pytest.param([IN_TIME] * 10, 1.0, 0.0, id="all met"),
        pytest.param([IN_TIME] * 9 + [LATE], 0.9, 1.0, id="as promised"),
        pytest.param([IN_TIME] * 8 + [LATE, FAILED], 0.8, 2.0, id="twice as many violations"),
        pytest.param([LATE], 0.0, 10.0, id="none met"),
        pytest.param([IN_TIME, LATE, EXCUSED, UNMEASURED], 0.5, 5.0, id="what is not judged does not count"),
        pytest.param([EXCUSED, UNMEASURED], None, 0.0, id="nothing judged"),
        pytest.param([], None, 0.0, id="no requests"),
    ],
)
def test_compliance_and_burn_rate(verdicts: list[Verdict], compliance: float | None, burn_rate: float) -> None:
    status = ledger_of(*verdicts).status(0.0, 0.0)
    for window in (status.short, status.long):
        assert window.compliance == (None if compliance is None else pytest.approx(compliance))
        assert window.burn_rate == pytest.approx(burn_rate)


@pytest.mark.parametrize(("percentile", "requests"), [(50.0, 2), (90.0, 10), (99.0, 100), (99.9, 1000)])
def test_exactly_as_promised_does_not_burn_and_one_more_does(percentile: float, requests: int) -> None:
    ledger = Ledger(SlaTarget("t", "ttft", percentile, timedelta(seconds=1)))
    for verdict in [*[IN_TIME] * (requests - 1), LATE]:
        ledger.enter(verdict, 0.0)
    assert not ledger.status(0.0, 0.0).is_burning
    ledger.enter(LATE, 0.0)
    assert ledger.status(0.0, 0.0).is_burning


def test_the_long_window_is_twelve_times_the_short_one() -> None:
    status = ledger_of(LATE).status(125.0, 0.0)
    assert (status.short.seconds, status.short.requests, status.short.burn_rate) == (120.0, 0, 0.0)
    assert (status.long.seconds, status.long.requests, round(status.long.burn_rate, 9)) == (1440.0, 1, 10.0)
    assert ledger_of(LATE).status(1440.0, 0.0).long.requests == 0


def test_a_status_says_what_was_promised_and_seen() -> None:
    status = ledger_of(IN_TIME, IN_TIME, LATE).status(0.0, 0.0)
    assert (status.target, status.metric, status.percentile, status.selects) == (
        "chat",
        "ttft",
        90.0,
        {"level": "gold"},
    )
    assert status.target_seconds == 1.0
    assert list(status.observed_seconds) == [0.5, 0.9]
    assert status.observed_seconds[0.5] == pytest.approx(0.5, rel=0.01)
    assert ledger_of(FAILED).status(0.0, 0.0).observed_seconds == {}


def test_the_target_shown_is_that_of_the_present_load() -> None:
    relaxed = SlaTarget("t", "e2e", 99.9, timedelta(seconds=10), relax_with_load=LoadFactor(0.0, 1.0, 1.0, 3.0))
    assert ledger_of(target=relaxed).status(0.0, 0.5).target_seconds == 20.0
    assert ledger_of(target=SlaTarget("t", "ttft", 50.0, from_request=True)).status(0.0, 0.5).target_seconds is None


verdicts_at = st.lists(
    st.tuples(
        st.floats(0.0, 200.0),
        st.sampled_from([EXCUSED, UNMEASURED, FAILED]) | st.floats(1e-6, 1e6).map(lambda seconds: _compared(seconds)),
    ),
    max_size=80,
)


def _compared(seconds: float) -> Verdict:
    return Verdict(Outcome.MET, None, seconds) if seconds <= 1.0 else Verdict(Outcome.VIOLATED, Reason.LATE, seconds)


@given(steps=verdicts_at, later=st.floats(0.0, 2000.0))
def test_a_ledger_says_what_a_list_of_everything_says(steps: list[tuple[float, Verdict]], later: float) -> None:
    ledger, now = Ledger(TARGET), 0.0
    everything: list[tuple[float, Verdict]] = []
    for step, verdict in steps:
        now += step
        ledger.enter(verdict, now)
        everything.append((now, verdict))
    now += later
    status = ledger.status(now, 0.0)
    for window, width in ((status.short, 10.0), (status.long, 120.0)):
        inside = [verdict for at, verdict in everything if at // width > now // width - 12]
        judged = [verdict for verdict in inside if verdict.outcome in (Outcome.MET, Outcome.VIOLATED)]
        met = sum(verdict.outcome is Outcome.MET for verdict in judged)
        assert window.requests == len(judged)
        assert window.compliance == (pytest.approx(met / len(judged)) if judged else None)
        assert window.burn_rate == pytest.approx((1 - met / len(judged)) / 0.1 if judged else 0.0)
    recent = sorted(
        verdict.seconds for at, verdict in everything if at // 10.0 > now // 10.0 - 12 and verdict.seconds is not None
    )
    for quantile, seconds in status.observed_seconds.items():
        assert seconds == pytest.approx(recent[math.floor(quantile * (len(recent) - 1))], rel=0.01 + 1e-9)
    assert sum(ledger.outcomes.values()) == len(everything)


def test_the_figures_of_the_metrics_page() -> None:
    ledger = ledger_of(*[IN_TIME] * 7, LATE, FAILED, EXCUSED, UNMEASURED)
    values = {
        (reading.name, *sorted(reading.labels.values())): round(reading.value, 2)
        for reading in ledger.readings(0.0, 0.0)
        if isinstance(reading, CounterReading | GaugeReading)
    }
    assert values == {
        ("sla_compliance_ratio", "chat"): 0.78,
        ("sla_burn_rate", "chat", "short"): 2.22,
        ("sla_burn_rate", "chat", "long"): 2.22,
        ("sla_target_seconds", "chat"): 1.0,
        ("sla_observed_seconds", "0.5", "chat"): 0.5,
        ("sla_observed_seconds", "0.9", "chat"): 0.5,
        ("sla_requests_total", "chat", "met"): 7,
        ("sla_requests_total", "chat", "violated"): 2,
        ("sla_requests_total", "chat", "excused"): 1,
        ("sla_requests_total", "chat", "unmeasured"): 1,
        ("sla_violations_total", "chat", "late"): 1,
        ("sla_violations_total", "chat", "failed"): 1,
        ("sla_violations_total", "chat", "refused"): 0,
        ("sla_violations_total", "chat", "client-left"): 0,
    }


def test_without_requests_there_is_no_compliance_to_show_but_a_burn_rate_of_zero() -> None:
    readings = list(ledger_of().readings(0.0, 0.0))
    gauges = [reading for reading in readings if isinstance(reading, GaugeReading)]
    assert [(reading.name, reading.value) for reading in gauges] == [
        ("sla_burn_rate", 0.0),
        ("sla_burn_rate", 0.0),
        ("sla_target_seconds", 1.0),
    ]
    assert {reading.value for reading in readings if isinstance(reading, CounterReading)} == {0}
