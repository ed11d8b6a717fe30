from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import CounterReading, Endpoint, EndpointMetrics, Finding, Usage
from turnout.framework.testing import make_endpoint
from turnout.plugins.prefix_cache.agreement import Agreement, Prediction, Tally

A = "default/a"


def reports(queries: float, hits: float, at: float, name: str = "a") -> Endpoint:
    seen = {"prefix_cache_queries": at, "prefix_cache_hits": at}
    return make_endpoint(
        name, metrics=EndpointMetrics(prefix_cache_queries=queries, prefix_cache_hits=hits, observed_at=seen)
    )


def usage(prompt: int, cached: int | None) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached)


def compare(agreement: Agreement, prediction: Prediction, cached: int | None, now: float, times: int = 1) -> None:
    for _ in range(times):
        agreement.sent(A, prediction, now)
        agreement.answered(A, prediction, usage(prediction.prompt_tokens, cached), now)


def causes(agreement: Agreement, now: float) -> list[str]:
    return [finding.cause for finding in agreement.findings(now)]


@pytest.mark.parametrize(
    ("prediction", "reported", "agrees"),
    [
        pytest.param(Prediction(64, 100), usage(100, 64), True, id="to the token"),
        pytest.param(Prediction(64, 100), usage(100, 63), False, id="a token less and no tolerance"),
        pytest.param(Prediction(64, 100, 16), usage(100, 80), True, id="a block more"),
        pytest.param(Prediction(64, 100, 16), usage(100, 81), False, id="more than a block more"),
        pytest.param(
            Prediction(100, 200), usage(400, 200), True, id="the same share of a prompt that we estimate short"
        ),
        pytest.param(Prediction(100, 200, 10), usage(400, 220), True, id="the tolerance is on our scale, too"),
        pytest.param(Prediction(100, 100), usage(100, 10**9), True, id="an absurd report counts as the whole prompt"),
        pytest.param(Prediction(0, 100), usage(100, -5), True, id="a negative report counts as none"),
    ],
)
def test_a_report_agrees_by_its_share_of_the_prompt(prediction: Prediction, reported: Usage, agrees: bool) -> None:
    agreement = Agreement()
    agreement.answered(A, prediction, reported, 0.0)
    assert (agreement.total(A).compared, agreement.total(A).agreeing) == (1, int(agrees))


@pytest.mark.parametrize(
    ("prediction", "reported"),
    [
        pytest.param(Prediction(0, 100), usage(100, None), id="an engine that never told cached tokens"),
        pytest.param(Prediction(0, 100), usage(0, 0), id="a usage without a prompt"),
        pytest.param(Prediction(0, 0), usage(100, 0), id="a request without a prompt"),
    ],
)
def test_what_says_nothing_is_not_compared(prediction: Prediction, reported: Usage) -> None:
    agreement = Agreement()
    agreement.answered(A, prediction, reported, 0.0)
    assert agreement.total(A) == Tally()


def test_an_engine_that_tells_cached_tokens_means_none_when_it_leaves_them_out() -> None:
    agreement = Agreement()
    compare(agreement, Prediction(64, 100), 64, 0.0)
    compare(agreement, Prediction(64, 100), None, 0.0)
    assert agreement.total(A) == Tally(2, 200, 128, 0, 2, 1, 200, 128, 64)


def test_figures_are_of_the_window_and_totals_of_all() -> None:
    agreement = Agreement(window_seconds=300.0)
    compare(agreement, Prediction(50, 100), 50, 0.0)
    compare(agreement, Prediction(80, 100), 60, 200.0)
    agreement.observe(reports(1000, 500, 190.0), 190.0)
    agreement.observe(reports(1400, 600, 210.0), 210.0)
    assert agreement.figures(299.0)[A]["requests"] == 2
    assert agreement.figures(301.0) == {
        A: {
            "requests": 1,
            "predicted_cached_tokens": 80,
            "predicted_hit_rate": 0.8,
            "compared_requests": 1,
            "agreeing_requests": 0,
            "compared_predicted_tokens": 80,
            "reported_cached_tokens": 60,
            "reported_hit_rate": 0.6,
            "engine_hit_rate": 0.25,
            "total_requests": 2,
            "total_compared_requests": 2,
            "total_agreeing_requests": 1,
            "total_predicted_cached_tokens": 130,
            "total_reported_cached_tokens": 110,
            "total_engine_restarts": 0,
        }
    }


def test_without_reports_there_is_none_to_show() -> None:
    agreement = Agreement()
    agreement.sent(A, Prediction(0, 0), 0.0)
    figures = agreement.figures(0.0)[A]
    rates = ("predicted_hit_rate", "reported_cached_tokens", "reported_hit_rate", "engine_hit_rate")
    assert [figures[name] for name in rates] == [None, None, None, None]


def test_a_producer_s_own_figures_stand_beside_them() -> None:
    agreement = Agreement()
    agreement.sent(A, Prediction(0, 1), 0.0)
    figures = agreement.figures(0.0, {A: {"blocks": 7}, "default/b": {"stream": "lost"}})
    assert (figures[A]["requests"], figures[A]["blocks"]) == (1, 7)
    assert figures["default/b"] == {"stream": "lost"}


def test_totals_that_fall_are_a_restart_and_what_came_before_no_longer_counts() -> None:
    agreement = Agreement()
    compare(agreement, Prediction(80, 100), 80, 0.0, times=30)
    assert not agreement.observe(reports(5000, 100, 1.0), 1.0)
    assert not agreement.observe(reports(5000, 100, 1.0), 2.0)
    assert not agreement.observe(reports(6000, 200, 2.0), 2.0)
    assert agreement.observe(reports(10, 0, 3.0), 3.0)
    assert not agreement.observe(reports(20, 0, 4.0), 4.0)
    assert agreement.window(A, 4.0) == Tally(engine_queries=10.0, restarts=1)
    assert agreement.total(A).requests == 30
    assert causes(agreement, 4.0) == ["engine-restarted"]
    assert causes(agreement, 302.9) == ["engine-restarted"]
    assert causes(agreement, 303.0) == []


def test_hits_that_fall_alone_are_a_restart_too() -> None:
    agreement = Agreement()
    agreement.observe(reports(100, 100, 1.0), 1.0)
    assert agreement.observe(reports(200, 0, 2.0), 2.0)


def test_a_restart_while_nobody_looked_is_seen_by_the_totals_of_the_process_before() -> None:
    before, after, late = Agreement(), Agreement(), Agreement()
    assert before.engine_totals(A) is None
    before.observe(reports(100, 40, 1.0), 1.0)
    assert before.engine_totals(A) == (100, 40)
    after.resume(A, 100, 40)
    assert after.engine_totals(A) is None
    assert after.observe(reports(90, 10, 2.0), 2.0)
    late.observe(reports(90, 10, 2.0), 2.0)
    late.resume(A, 100, 40)
    assert not late.observe(reports(95, 10, 3.0), 3.0)


def test_traffic_while_nobody_looked_is_not_counted() -> None:
    agreement = Agreement()
    agreement.resume(A, 100, 40)
    assert not agreement.observe(reports(5000, 40, 2.0), 2.0)
    assert agreement.window(A, 2.0) == Tally()


def test_an_engine_without_totals_is_never_restarted() -> None:
    agreement = Agreement()
    assert not agreement.observe(make_endpoint("a"), 0.0)
    assert agreement.window(A, 0.0) == Tally()


@pytest.mark.parametrize(
    ("predicted", "cached", "times", "expected"),
    [
        pytest.param(50, 50, 100, [], id="agreement"),
        pytest.param(50, 0, 19, [], id="a zero of too few requests"),
        pytest.param(50, 0, 20, ["silent-zero-reported"], id="the engine reports nothing"),
        pytest.param(0, 50, 20, ["silent-zero-predicted"], id="nothing is predicted"),
        pytest.param(80, 50, 20, ["over-prediction"], id="less is reported"),
        pytest.param(50, 80, 20, ["under-prediction"], id="more is reported"),
        pytest.param(50, None, 100, [], id="no reports are no finding"),
    ],
)
def test_usage_of_enough_requests_is_judged(
    predicted: int, cached: int | None, times: int, expected: list[str]
) -> None:
    agreement = Agreement()
    for second in (0.0, 30.0, 60.0):
        compare(agreement, Prediction(predicted, 100), cached, second, times=times // 3)
    compare(agreement, Prediction(predicted, 100), cached, 60.0, times=times % 3)
    assert causes(agreement, 60.0) == expected


def send_for_a_minute(agreement: Agreement, prediction: Prediction) -> None:
    for second in range(0, 90, 3):
        agreement.sent(A, prediction, float(second))


@pytest.mark.parametrize(
    ("predicted", "queries", "hits", "expected"),
    [
        pytest.param(50, 3000, 1500, [], id="agreement"),
        pytest.param(50, 3000, 0, ["silent-zero-reported"], id="all misses"),
        pytest.param(50, 0, 0, ["silent-zero-reported"], id="no lookups at all"),
        pytest.param(0, 0, 0, [], id="no lookups and nothing expected"),
        pytest.param(0, 3000, 1500, ["silent-zero-predicted"], id="hits that nobody expected"),
        pytest.param(80, 3000, 1500, ["over-prediction"], id="fewer hits"),
        pytest.param(50, 3000, 2400, ["under-prediction"], id="more hits"),
        pytest.param(80, 9000, 4500, [], id="most of what the engine looks up comes from others"),
        pytest.param(80, 900, 450, [], id="the engine has looked up a part of it"),
    ],
)
def test_without_usage_the_engine_s_totals_are_judged(
    predicted: int, queries: float, hits: float, expected: list[str]
) -> None:
    agreement = Agreement()
    agreement.observe(reports(70_000, 10_000, 0.0), 0.0)
    send_for_a_minute(agreement, Prediction(predicted, 100))
    agreement.observe(reports(70_000 + queries, 10_000 + hits, 100.0), 100.0)
    assert causes(agreement, 100.0) == expected


def test_totals_that_were_read_too_early_are_not_judged() -> None:
    agreement = Agreement()
    agreement.observe(reports(70_000, 10_000, 0.0), 0.0)
    send_for_a_minute(agreement, Prediction(50, 100))
    agreement.observe(reports(70_000, 10_000, 31.0), 31.0)
    assert causes(agreement, 100.0) == []


def test_findings_end_with_the_window() -> None:
    agreement = Agreement()
    compare(agreement, Prediction(50, 100), 0, 0.0, times=20)
    assert causes(agreement, 299.0) == ["silent-zero-reported"]
    assert causes(agreement, 300.0) == []


@pytest.mark.parametrize(
    ("own", "end"),
    [
        pytest.param((), "Look at it.", id="the producer knows nothing"),
        pytest.param((Finding("no-events", "none", A),), "Known causes: no-events; see there.", id="of this endpoint"),
        pytest.param((Finding("no-tokens", "none"),), "Known causes: no-tokens; see there.", id="of all"),
        pytest.param((Finding("no-events", "none", "default/b"),), "Look at it.", id="of another one"),
    ],
)
def test_what_the_producer_knows_is_named_as_the_cause(own: Sequence[Finding], end: str) -> None:
    agreement = Agreement(advice={"silent-zero-reported": "Look at it."})
    compare(agreement, Prediction(50, 100), 0, 0.0, times=20)
    *kept, judged = agreement.findings(0.0, own)
    assert kept == list(own)
    assert (judged.cause, judged.endpoint) == ("silent-zero-reported", A)
    assert judged.message.endswith(end)


def test_the_counters_are_of_compared_requests_and_of_five_hundred_endpoints() -> None:
    agreement = Agreement()
    compare(agreement, Prediction(80, 100), 60, 0.0)
    agreement.sent(A, Prediction(80, 100), 0.0)
    agreement.sent("default/silent", Prediction(0, 1), 0.0)
    for number in range(600):
        agreement.answered(f"default/e{number}", Prediction(0, 1), usage(1, 0), 0.0)
    predicted, reported, *others = agreement.readings()
    assert isinstance(predicted, CounterReading)
    assert isinstance(reported, CounterReading)
    assert (predicted.name, predicted.value) == ("prefix_predicted_cached_tokens_total", 80)
    assert (reported.name, reported.value) == ("prefix_reported_cached_tokens_total", 60)
    assert reported.labels == {"endpoint_name": "a", "namespace": "default"}
    assert len(others) == 998


def test_a_forgotten_endpoint_leaves_nothing() -> None:
    agreement = Agreement()
    agreement.sent(A, Prediction(0, 1), 0.0)
    agreement.forget(A)
    agreement.forget(A)
    assert agreement.figures(0.0) == {}
    assert agreement.total(A) == Tally()


def test_endpoints_and_slices_are_bounded() -> None:
    agreement = Agreement()
    for number in range(5_000):
        agreement.sent(f"e{number}", Prediction(0, 1), 0.0)
    assert len(agreement.figures(0.0)) == 4_096
    for hour in range(100):
        agreement.sent(A, Prediction(0, 1), hour * 3600.0)
    for second in range(1000):
        agreement.sent(A, Prediction(0, 1), 400_000.0 + second)
    assert len(agreement._records[A].slices) == 10


events = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 100), st.integers(0, 100), st.floats(0.0, 60.0))


@given(events=st.lists(events, max_size=40))
def test_the_window_is_what_a_list_of_all_events_says(events: list[tuple[str, int, int, float]]) -> None:
    agreement, kept, now = Agreement(window_seconds=100.0), [], 0.0
    for name, predicted, reported, pause in events:
        now += pause
        compare_with = Prediction(predicted, 100)
        agreement.answered(name, compare_with, usage(100, reported), now)
        kept.append((name, predicted, reported, now))
    for name in ("a", "b"):
        slices = [(p, r) for n, p, r, at in kept if n == name and at // 10.0 > now // 10.0 - 10]
        window = agreement.window(name, now)
        assert (window.compared, window.agreeing) == (len(slices), sum(p == r for p, r in slices))
        assert window.compared_predicted_tokens == sum(p for p, _ in slices)
        assert window.reported_tokens == sum(r for _, r in slices)
